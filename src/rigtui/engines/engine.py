"""What every engine room offers, as values: builds, spawns, events and failures."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class BuildDevice(Struct, frozen=True, kw_only=True):
    """A device as the build itself lists it, in its own order."""

    device: str
    """`CUDA0`, `Vulkan1`, `CPU`."""
    name: str
    total_bytes: int | None = None
    free_bytes: int | None = None


class Build(Struct, frozen=True, kw_only=True):
    """One installed engine binary and what it can do."""

    engine: str
    label: str
    """For people: `llama-server b6500 (CUDA)` or `embedded (xllamacpp 2026.10, CPU only)`."""
    version: str
    argv: tuple[str, ...]
    """How it is started: `("/usr/bin/llama-server",)` or `(python, "-m", "rigtui.engines.llamacpp.embedded")`."""
    devices: tuple[BuildDevice, ...] = ()
    """GPUs only; empty means CPU only."""
    options: frozenset[str] = frozenset()
    """Long and short flags its `--help` names."""
    embedded: bool = False
    gpu: bool = True
    """Sees GPUs on a rig that has them. False: every plan with it is a CPU plan."""


class Found(Struct, frozen=True, kw_only=True):
    """The builds in order of preference, and one sentence for each that is there but cannot be used."""

    builds: tuple[Build, ...]
    problems: tuple[str, ...] = ()


Api = Literal["llama-server", "vllm"]


class Spawn(Struct, frozen=True, kw_only=True):
    """An engine to start as a process. No shell is involved."""

    argv: tuple[str, ...]
    env: dict[str, str] = {}
    """Set on top of the environment."""
    not_inherited: tuple[str, ...] = ()
    """Variables of rigtui's own environment that the engine does not get: they would decide what the plan has decided."""
    key_variable: str | None = None
    """The variable that the first key of the API key file is put into when the engine starts; None: the command names the file."""
    api: Api = "llama-server"
    """How it is measured."""
    host: str
    port: int
    model_name: str
    weights_bytes: int


Phase = Literal["starting", "loading", "ready", "stopping", "stopped", "failed"]


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something the engine said, read from its log. Which fields are set depends on `kind`.

    kinds, and the fields they set:

    - `version`, `listening` (URL), `fit`, `error` (device, where one said it), `retry` (a recovery the engine makes by itself): text
    - `using_device`: device, text (its name, where the engine says it), free_bytes
    - `load_started`, `ready`: nothing
    - `progress`: value (0..1)
    - `offloaded`: value, total (layers, the output head counts as one)
    - `buffer`: device, buffer (weights, kv, compute, output, recurrent, graphs), bytes
    - `context` (of all slots together), `request_context` (of one), `kv_cells`, `slots`, `pipeline` (0 or 1), `flash_attention` (0 or 1):
      value
    - `graph_splits`: value (prompt), total (generation, where it differs)
    - `timing`: text (prefill, decode), value (tok/s), total (tokens)
    """

    kind: str
    device: str | None = None
    buffer: str | None = None
    bytes: int | None = None
    free_bytes: int | None = None
    value: float | None = None
    total: float | None = None
    text: str | None = None
    line: str | None = None
    """The log line, cleaned, where it is worth showing."""


Stage = Literal["weights", "kv", "compute", "runtime"]


class Failure(Struct, frozen=True, kw_only=True):
    """Why an attempt ended: a stable code, one sentence, and the log line that shows it."""

    code: str
    """`out_of_vram`, `no_fit` (more than the card has at all), `context_too_long` (the KV cache alone is), `out_of_ram`, `oom_killed` (by
    the system), `spill`, `port_in_use`, `model_bad`, `unsupported_model`, `bad_argument`, `gpu_lost`, `driver`, `toolkit_missing`,
    `engine_missing`, `disk_full`, `timeout`, `killed`, `crash`, `exited`."""
    text: str
    line: str | None = None
    device: str | None = None
    """As the engine calls it."""
    stage: Stage | None = None
    """`runtime`: while computing, the first request included."""
    asked_bytes: int | None = None
    """What was asked for in the allocation that failed."""
    missing_bytes: int | None = None
    """How much more should have been free for it; None where it is not known what was free."""
    utilization: float | None = None
    """The share of the card that the engine says would have passed."""
    context: int | None = None
    """The longest request, in tokens, that the engine says would have passed."""
    sequences: int | None = None
    """Requests at the same time that the engine says would have passed."""

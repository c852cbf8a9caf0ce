"""What a run was and what it came to, as `runs.results` stores it: values only. Sizes are bytes, speeds tokens per second.

Observed values come from NVML or the engine, never from the plan; what could not be observed is None and left out of the file.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from rigtui.intent.intent import Overrides
from rigtui.planning.constraints import Constraint
from rigtui.planning.plan import PlanHost


class ResultGpu(Struct, frozen=True, kw_only=True):
    """A card of the rig, used or not."""

    uuid: str | None = None
    name: str
    total_bytes: int | None = None
    free_bytes: int | None = None
    """Before the run started anything."""


class ResultDevice(Struct, frozen=True, kw_only=True):
    """One device of the plan: planned beside observed."""

    device: str
    uuid: str | None = None
    name: str
    layers: int
    """Planned, like the next two."""
    first_layer: int = 0
    output: bool = False
    headroom_bytes: int
    """Wanted."""
    planned_bytes: int
    """Runtime included."""
    floor_bytes: int | None = None
    """Planned for the runtime."""
    planned_weights_bytes: int | None = None
    peak_bytes: int | None = None
    """Observed by NVML, like the next two."""
    free_before_bytes: int | None = None
    """Free on the card just before this attempt."""
    free_least_bytes: int | None = None
    """The least that was free on the card while it loaded and was measured."""
    engine_free_bytes: int | None = None
    """This and the next three: as the engine's log says. Free when its runtime was there and nothing else."""
    weights_bytes: int | None = None
    kv_bytes: int | None = None
    """With recurrent state."""
    compute_bytes: int | None = None
    graphs_bytes: int | None = None
    """CUDA graphs; like the one before as the engine's log says."""


class AttemptResult(Struct, frozen=True, kw_only=True):
    """One plan launched and observed."""

    outcome: str
    failure: str | None = None
    """Code."""
    line: str | None = None
    """The log line that shows it."""
    failed_device: str | None = None
    """As the engine calls it."""
    stage: str | None = None
    """Where it failed: weights, kv, compute, runtime."""
    asked_bytes: int | None = None
    """Asked for in the allocation that failed."""
    missing_bytes: int | None = None
    """How much more should have been free for it; None where it is not known what was free."""
    change: str | None = None
    constraints: tuple[Constraint, ...] = ()
    """What this attempt's plan had to respect beside the user's settings."""
    context: int
    """Total over all slots."""
    context_per_slot: int
    parallel: int
    kv_type: tuple[str, ...]
    split_mode: str
    batch: int | None = None
    ubatch: int | None = None
    layers: int | None = None
    """Layers on GPUs as the engine counts them, the output head as one."""
    host: PlanHost | None = None
    """Planned in RAM."""
    fit_target_mib: tuple[int, ...] = ()
    pipeline: bool | None = None
    """The engine keeps several copies of the inputs (llama.cpp's pipeline parallelism), as its log says."""
    graph_splits: int | None = None
    kv_tokens: int | None = None
    load_s: float | None = None
    ttft_s: float | None = None
    prefill_tok_s: float | None = None
    decode_tok_s: float | None = None
    estimated_tok_s: float | None = None
    """Decode speed as it was estimated from bandwidths alone, before any measurement was known."""
    prompt_tokens: int | None = None
    peak_basis: str | None = None
    spilled: str | None = None
    """It served although a part of it lay in RAM unplanned; how that showed: one sentence. Its figures are none of the plan's."""
    devices: tuple[ResultDevice, ...] = ()


class Trial(Struct, frozen=True, kw_only=True):
    """A run that tries settings."""

    tuning: str
    """Which tuning it belongs to."""
    settings: Overrides = Overrides()
    """What it tried beside the user's own settings; empty: nothing, to have something to compare with."""


class GivenUp(Struct, frozen=True, kw_only=True):
    """An engine that could not serve a model, in whose place another one serves another file of the same model."""

    engine: str
    build: str
    """As people know it."""
    fingerprint: str
    """Of the file that it could not serve."""
    instead: str
    """The file that is served."""
    why: str = ""


class RunResult(Struct, frozen=True, kw_only=True):
    """One `[[run]]`."""

    run: str
    started: str
    node: str
    profile: str | None = None
    model: str
    fingerprint: str = ""
    architecture: str = ""
    use_case: str
    requested: Overrides | None = None
    """What the user set by hand, without environment and secrets; None: not known."""
    engine: str
    build: str
    driver: str | None = None
    platform: Literal["linux", "wsl2", "macos", "windows"] | None = None
    simulated: bool = False
    """Planned for another rig: never a lesson."""
    trial: Trial | None = None
    chosen: bool = False
    """The best trial of its tuning: later plans begin with its settings."""
    given_up: GivenUp | None = None
    """What this run is in the place of."""
    forgotten: bool = False
    """The user said so: it is shown, and teaches nothing any more."""
    outcome: str
    gpus: tuple[ResultGpu, ...] = ()
    command: tuple[str, ...]
    """Without secrets."""
    attempt: tuple[AttemptResult, ...] = ()


def cards_of(run: RunResult) -> frozenset[str]:
    """The cards of the run's rig: UUIDs, or names and sizes."""
    return frozenset(gpu.uuid or f"{gpu.name} {gpu.total_bytes}" for gpu in run.gpus)


_SECRET_FLAGS = ("--api-key", "--hf-token", "-hft", "--api_key")


def without_secrets(argv: tuple[str, ...]) -> tuple[str, ...]:
    """A command that can be stored and shown: values of flags that carry keys are replaced by `***`."""
    shown: list[str] = []
    hide = False
    for word in argv:
        flag, equals, _ = word.partition("=")
        if hide:
            shown.append("***")
        elif equals and flag in _SECRET_FLAGS:
            shown.append(f"{flag}=***")
        else:
            shown.append(word)
        hide = not hide and word in _SECRET_FLAGS
    return tuple(shown)


def requested(overrides: Overrides) -> Overrides:
    """What the user set, as it is stored: an environment may hold secrets and stays out, like the keys among the arguments."""
    return replace(overrides, env={}, engine_args=without_secrets(overrides.engine_args))

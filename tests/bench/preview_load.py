"""What real llama-server decides and allocates for a case, remembered: a case is loaded once per version of engine and cards."""

from __future__ import annotations

import re
import signal
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.preview_cases import Case
from engine.build_llamacpp import CACHE, VERSION, llamacpp, virtual_gpus
from engine.virtual_rig import Card, LlamaServer, VirtualRig, buffers_of, describe
from nvml_stub import StubRig, build
from tools.make_gguf import model_file

DECIDED = "fitting params to free memory took"
READY = re.compile(r"listening on http")
_ASSIGNED = re.compile(r"load_tensors: layer +(\d+) assigned to device (\S+),")
_CONTEXT = re.compile(r"llama_context: n_ctx +=\s*(\d+)")
_FAILED_FIT = re.compile(r"(?:failed|an error while trying) to fit params to free device memory: ([^\n]+)")
_ERROR = re.compile(r"[\d.]+ E ([^\n]+)")


NOT_ENOUGH_RAM = "ggml_aligned_malloc: insufficient memory"
"""What the engine says when this machine, not the rig, has no room for a cache in RAM."""


PATIENCE_S = 300
"""An engine that is not ready then has counted below zero: it tries placements for many minutes. Others take seconds."""
ENDLESS = "--fit does not end"


class BeyondThisMachineError(Exception):
    """The case needs more RAM than this machine has: nothing can be said of it."""


class Load(Struct, frozen=True):
    """What an engine said; MiB, rounded to 0.01."""

    ready: bool
    error: str
    """The first line of what went wrong, and those of the load itself."""
    context: int
    layers: dict[str, int]
    """Blocks and head per device, `CPU` among them."""
    buffers: dict[str, tuple[float, float, float]]
    """Weights, KV and compute per device and host buffer."""
    pipeline: bool
    retried: bool
    """The compute buffers did not fit, and it went on without pipeline parallelism."""
    gave_up: str
    """Why `--fit` gave up, or empty."""


class Loads:
    """Loads cases, or knows them already."""

    def __init__(self) -> None:
        self.home = llamacpp()
        self.library = virtual_gpus(self.home)
        self.stub = build(CACHE / "nvml_stub")
        self.models = CACHE / "models"
        self.models.mkdir(parents=True, exist_ok=True)
        self.file = CACHE / "preview" / f"{VERSION}-{self.library.parent.name}.jsonl"
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.known: dict[str, Load] = {}
        if self.file.exists():
            for line in self.file.read_bytes().splitlines():
                self.known.update(msgspec.json.decode(line, type=dict[str, Load]))

    def __call__(self, case: Case) -> Load:
        """Load `case`, and remember what came of it. Raises BeyondThisMachineError."""
        if case.key not in self.known:
            load = self._load(case)
            if NOT_ENOUGH_RAM in load.error:
                raise BeyondThisMachineError
            self.known[case.key] = load
            with self.file.open("ab") as stream:
                stream.write(msgspec.json.encode({case.key: self.known[case.key]}) + b"\n")
        return self.known[case.key]

    def _load(self, case: Case) -> Load:
        cards = [Card(name=name, total_mib=total, free_mib=free, compute_capability=cc) for name, total, free, cc in case.cards]
        with tempfile.TemporaryDirectory(prefix="rigtui-preview-") as folder:
            state = Path(folder) / "nvml"
            stub = StubRig(state, self.stub, describe(cards, compute=False, paced=False, ram_gb_s=0))
            rig = VirtualRig(Path(folder) / "rig", self.home, self.library, stub, cards, 262144)
            words = [str(rig.llama_server), "-m", str(model_file(case.model, Path(folder))), *case.arguments, "--no-warmup"]
            server = LlamaServer(words, Path(folder) / "log", {}, verbosity=5)
            try:
                until = time.monotonic() + PATIENCE_S
                while not READY.search(server.log) and server.process.poll() is None and time.monotonic() < until:
                    time.sleep(0.02)
                ready = READY.search(server.log) is not None
                if server.process.returncode == -signal.SIGKILL:  # by the kernel: nobody else does that
                    raise BeyondThisMachineError
            finally:
                server.process.kill()  # nothing to finish
                server.process.wait()
            return read(server.log, ready=ready)


def read(log: str, *, ready: bool) -> Load:
    """A log at verbosity 5. What was tried while fitting does not count."""
    real = log.rpartition(DECIDED)[2]
    layers: dict[int, str] = {int(layer): device for layer, device in _ASSIGNED.findall(real)}
    counts: dict[str, int] = defaultdict(int)
    for device in layers.values():
        counts[device] += 1
    context = _CONTEXT.search(real)
    gave_up = _FAILED_FIT.search(log)
    return Load(
        ready=ready,
        error="" if ready else " / ".join(dict.fromkeys([*_ERROR.findall(log)[:1], *_ERROR.findall(real)[:3]])) or ENDLESS,
        context=int(context[1]) if context else 0,
        layers=counts,
        buffers=sizes(real),
        pipeline="pipeline parallelism enabled" in real,
        retried="retrying without pipeline" in real,
        gave_up=gave_up[1].strip() if gave_up else "",
    )


def sizes(log: str) -> dict[str, tuple[float, float, float]]:
    """Buffers by device."""
    return {device: (b.weights / 2**20, b.kv / 2**20, b.compute / 2**20) for device, b in buffers_of(log).items()}

"""A rig, models, plans and runs made by hand, and services that answer with them at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from rigtui.doctor.check import Check
from rigtui.engines.engine import Build, Failure
from rigtui.engines.live import Live
from rigtui.errors import RigtuiError, UsageError
from rigtui.intent.intent import Intent, Overrides, UseCase
from rigtui.intent.profile import Profile, ProfileOverrides
from rigtui.models.library import LibraryEntry
from rigtui.models.model import Experts, Model
from rigtui.planning.plan import Alternative, Expected, Plan, PlanDevice, PlanHost, PlanModel, Reason
from rigtui.rig.process_facts import ProcessFacts
from rigtui.rig.rig import Gpu, GpuProcess, Rig
from rigtui.runs.results import AttemptResult, ResultDevice, RunResult
from rigtui.runs.state import AttemptState, LaunchRequest, Measured, RunState
from rigtui.runs.tune import TrialResult
from rigtui.tui.exporting import ExportText, in_every_format
from rigtui.tui.services import (
    Launch,
    LineChunk,
    LoadedProfile,
    LogChunk,
    LogLine,
    Others,
    ProfileRow,
    SavedRig,
    Services,
    Speed,
    TuningView,
    Turn,
)
from rigtui.tui.shelf import Shelf
from rigtui.tui.tips import TIPS

MIB = 1 << 20


def gpu(index: int, name: str, total: int, free: int, **more: Any) -> Gpu:
    """A card; sizes in MiB, also those in `more` that end in `_mib`."""
    sizes = {key.replace("_mib", "_bytes"): value * MIB for key, value in more.items() if key.endswith("_mib")}
    rest = {key: value for key, value in more.items() if not key.endswith("_mib")}
    return Gpu(
        index=index, name=f"NVIDIA GeForce {name}", uuid=f"GPU-{index}", total_bytes=total * MIB, free_bytes=free * MIB, **sizes, **rest
    )


def two_cards(**more: Any) -> Rig:
    """A 4090 and a 5070 Ti that drives the desktop."""
    cards = (
        gpu(0, "RTX 4090", 24564, 23700, reserved_mib=464, others_mib=400, temperature_c=41, utilization=12),
        gpu(
            1,
            "RTX 5070 Ti",
            16303,
            12800,
            reserved_mib=403,
            desktop_mib=2900,
            others_mib=200,
            display=True,
            temperature_c=38,
            utilization=2,
        ),
    )
    return Rig(
        name="mixed-rig",
        platform="linux",
        gpus=cards,
        driver="580.95",
        cuda="13.0",
        ram_total_bytes=64000 * MIB,
        ram_free_bytes=51000 * MIB,
        **more,
    )


def busy_cards() -> Rig:
    """The two cards with everyone who holds memory on them by name."""
    rig = two_cards()
    first = (GpuProcess(pid=4102, name="ollama", kind="compute", bytes=8200 * MIB),)
    second = (
        GpuProcess(pid=1201, name="gnome-shell", kind="graphics", bytes=900 * MIB),
        GpuProcess(pid=2210, name="firefox", kind="graphics", bytes=2000 * MIB),
        GpuProcess(pid=3055, name="python3 ComfyUI/main.py", kind="compute", bytes=200 * MIB),
    )
    cards = (
        replace(rig.gpus[0], processes=first, others_bytes=8200 * MIB, free_bytes=15900 * MIB),
        replace(rig.gpus[1], processes=second),
    )
    return replace(rig, gpus=cards)


def wsl_rig() -> Rig:
    """One 4090 under WSL: what Windows holds is unknown."""
    card = gpu(0, "RTX 4090", 24564, 21000, reserved_mib=464, unknown_mib=3100, temperature_c=44, utilization=5)
    return Rig(
        name="wsl-desk",
        platform="wsl2",
        gpus=(card,),
        driver="581.15",
        cuda="13.0",
        ram_total_bytes=32000 * MIB,
        ram_free_bytes=27000 * MIB,
    )


def no_gpu_rig() -> Rig:
    """A machine without a card."""
    return Rig(
        name="mini-pc",
        platform="linux",
        ram_total_bytes=32000 * MIB,
        ram_free_bytes=26500 * MIB,
        cpu_name="AMD Ryzen 7 8845HS",
        problem="this machine has no NVIDIA card",
    )


def eight_cards() -> Rig:
    """Eight equal cards, one of them lost."""
    cards = [gpu(at, "RTX 3060", 12288, 11910, reserved_mib=378, temperature_c=40 + at, utilization=0) for at in range(8)]
    cards[5] = Gpu(
        index=5, name="NVIDIA GeForce RTX 3060", uuid="GPU-5", error="the card fell off the bus: shut the machine down and check its riser"
    )
    return Rig(
        name="mining-frame",
        platform="linux",
        gpus=tuple(cards),
        driver="580.95",
        cuda="13.0",
        ram_total_bytes=64000 * MIB,
        ram_free_bytes=60000 * MIB,
    )


def model(name: str, gib: float, architecture: str, quantization: str, trained: int, experts: int = 0) -> Model:
    """A model without tensors."""
    return Model(
        name=name,
        path=f"/models/{name}.gguf",
        files=(f"/models/{name}.gguf",),
        format="gguf",
        architecture=architecture,
        layers=48,
        context_trained=trained,
        embedding_length=5120,
        vocabulary=151936,
        heads=(40,) * 48,
        kv_heads=(8,) * 48,
        key_length=128,
        value_length=128,
        experts=Experts(count=experts, used=8, feed_forward=768) if experts else None,
        quantization=quantization,
        weights_bytes=int(gib * 1024 * MIB),
    )


MODELS = (
    model("Qwen3-Coder-30B-A3B-Instruct-Q4_K_M", 17.3, "qwen3moe", "Q4_K_M", 262144, 128),
    model("Qwen3-32B-Q4_K_M", 18.4, "qwen3", "Q4_K_M", 40960),
    model("gemma-3-27b-it-Q4_K_M", 15.4, "gemma3", "Q4_K_M", 131072),
    model("gpt-oss-20b-mxfp4", 11.3, "gpt-oss", "MXFP4", 131072, 32),
    model("GLM-4.7-Flash-Q4_K_M", 16.9, "deepseek2", "Q4_K_M", 202752, 64),
)
BROKEN = LibraryEntry(
    ref="/models/half.gguf",
    name="half-downloaded-Q8_0",
    source="~/models",
    path="/models/half.gguf",
    size_bytes=4 << 30,
    error="half.gguf ends in the middle of its header: download it again",
)


def candidates(*models: Model) -> tuple[LibraryEntry, ...]:
    """Rows of the picker."""
    return tuple(
        LibraryEntry(ref=one.path, name=one.name, source="~/models", path=one.path, size_bytes=one.weights_bytes, model=one)
        for one in models
    )


USE_CASES = (
    UseCase(name="chat", description="one person, long talks", context=65536, context_least=4096),
    UseCase(name="coding", description="agents: long prompts and tool schemas", context=65536, context_least=8192),
    UseCase(name="long", description="whole books and repositories", context=262144, context_least=32768),
    UseCase(name="batch", description="many short requests at once", context=8192, context_least=4096, parallel=8),
)
BUILD = Build(engine="llama.cpp", label="llama-server b6500 (CUDA)", version="b6500", argv=("/usr/bin/llama-server",))


def device(
    index: int, name: str, layers: tuple[int, int], sizes: tuple[int, int, int, int], free: int, headroom: int, *, output: bool = False
) -> PlanDevice:
    """A card in a plan; sizes (weights, KV, compute, floor) and free in MiB."""
    used = sum(sizes) * MIB
    return PlanDevice(
        device=f"CUDA{index}",
        uuid=f"GPU-{index}",
        name=f"NVIDIA GeForce {name}",
        layers=layers[1] - layers[0] + 1,
        first_layer=layers[0],
        output=output,
        weights_bytes=sizes[0] * MIB,
        kv_bytes=sizes[1] * MIB,
        compute_bytes=sizes[2] * MIB,
        floor_bytes=sizes[3] * MIB,
        used_bytes=used,
        free_before_bytes=free * MIB,
        free_after_bytes=free * MIB - used,
        headroom_bytes=headroom * MIB,
    )


def plan_for(rig: Rig, chosen: Model, intent: Intent, builds: tuple[Build, ...]) -> Plan:
    """A plan that follows the intent in a way a test can check: the context is the user's or the use case's, KV grows with it."""
    use_case, own = intent.use_case, intent.overrides
    slots = own.parallel or use_case.parallel
    context = own.context or min(use_case.context or chosen.context_trained, chosen.context_trained)
    if context > 1_000_000:
        raise RigtuiError("a context of more than a million tokens is more than this test's models can take")
    kv = own.kv_type or ("q8_0", "q8_0")
    kv_mib = context * slots // 32 * (1 if kv[0] == "q8_0" else 2) // 4
    weights = chosen.weights_bytes // MIB
    usable = [card for card in rig.usable_gpus if not own.gpus or card.uuid in own.gpus]
    devices: tuple[PlanDevice, ...] = ()
    if len(usable) == 1:
        card = usable[0]
        devices = (
            device(
                card.index,
                card.name.removeprefix("NVIDIA GeForce "),
                (0, 47),
                (weights, kv_mib, 600, 450),
                (card.free_bytes or 0) // MIB,
                1024,
                output=True,
            ),
        )
    elif usable:
        first = (weights * 2 // 3, kv_mib * 2 // 3, 660, 450)
        second = (weights - first[0], kv_mib - first[1], 700, 450)
        devices = (
            device(0, "RTX 4090", (0, 31), first, 23700, 128),
            device(1, "RTX 5070 Ti", (32, 47), second, 12800, 1024, output=True),
        )
    over = any(one.free_after_bytes < 0 for one in devices)
    status = "no_fit" if over else "fits" if devices else "offload"
    return Plan(
        status=status,
        engine="llama.cpp",
        engine_build=builds[0].version if builds else None,
        model=PlanModel(
            name=chosen.name,
            path=chosen.path,
            architecture=chosen.architecture,
            layers=chosen.layers,
            weights_bytes=chosen.weights_bytes,
            context_trained=chosen.context_trained,
            experts=chosen.experts.count if chosen.experts else 0,
        ),
        use_case=use_case.name,
        context=context * slots,
        context_per_slot=context,
        parallel=slots,
        kv_type=kv,
        split_mode="layer" if len(devices) > 1 else "none",
        devices=devices,
        host=PlanHost(weights_bytes=600 * MIB)
        if devices
        else PlanHost(weights_bytes=chosen.weights_bytes, kv_bytes=kv_mib * MIB, offloaded_layers=chosen.layers),
        fit_target_mib=tuple(one.headroom_bytes // MIB for one in devices),
        command=(
            "llama-server",
            "--model",
            chosen.path,
            "--ctx-size",
            str(context * slots),
            "--cache-type-k",
            kv[0],
            "--cache-type-v",
            kv[1],
            "--fit-target",
            "128,1024",
            "--jinja",
        ),
        expected=Expected(decode_tok_s=38.0 if devices else 4.2, basis="estimated"),
        reasons=(
            Reason("split", "The RTX 4090 alone is 1.9 GiB short of the wanted context, so the last layers go to the RTX 5070 Ti."),
            Reason("headroom", "GPU 1 drives a desktop that holds 2.8 GiB now; 1,024 MiB more are left for it."),
        ),
        warnings=(Reason("display", "A game or a browser with many tabs can need more than the headroom on GPU 1."),),
        alternatives=(
            Alternative(
                engine="llama.cpp", summary="RTX 4090 alone, KV q4_0", status="tight", context=40960, expected=Expected(decode_tok_s=46.0)
            ),
            Alternative(engine="llama.cpp", summary="2 GPUs, KV f16", status="fits", context=32768, expected=Expected(decode_tok_s=37.0)),
        ),
    )


def run_state(run: str = "4f1c", phase: str = "ready", **more: Any) -> RunState:
    """A run of the first model."""
    values: dict[str, Any] = {
        "run": run,
        "node": "here",
        "boot_id": "b",
        "host": "127.0.0.1",
        "port": 8080,
        "url": "http://127.0.0.1:8080",
        "model": MODELS[0].name,
        "model_id": "qwen3-coder-30b",
        "model_path": MODELS[0].path,
        "engine": "llama.cpp",
        "build": "b6500",
        "context": 65536,
        "started": "2026-03-01T19:20:21Z",
        "heartbeat": 0.0,
        "phase": phase,
    }
    if phase == "ready":
        values["measured"] = Measured(load_s=7.4, ttft_s=0.21, prefill_tok_s=1204.0, decode_tok_s=38.2)
    if phase == "loading":
        values["progress"] = 0.42
    if phase == "failed":
        failure = Failure(
            code="out_of_vram",
            text="GPU 1 ran out of memory while the KV cache was made: 372 MiB were missing",
            line="ggml_backend_cuda_buffer_type_alloc_buffer: cudaMalloc failed: out of memory",
        )
        values.update(failure=failure, attempts=(AttemptState(outcome="failed", failure=failure),))
    return RunState(**(values | more))


CHECKS = (
    Check(id="driver", status="ok", text="driver 580.95, CUDA 13.0, 2 GPUs"),
    Check(id="gpu0", status="ok", text="GPU 0 NVIDIA GeForce RTX 4090: 23.1 GiB of 24.0 GiB free"),
    Check(id="gpu1", status="ok", text="GPU 1 NVIDIA GeForce RTX 5070 Ti: 12.5 GiB of 15.9 GiB free, drives the desktop"),
    Check(id="engine", status="ok", text="llama-server b6500 (CUDA), sees CUDA0, CUDA1"),
    Check(id="ram", status="ok", text="49.8 GiB of 62.5 GiB RAM free"),
    Check(
        id="permissions",
        status="fail",
        text="/home/anna/.local/state/rigtui cannot be written: no run can be started",
        mend="sudo chown -R $USER /home/anna/.local/state/rigtui",
    ),
    Check(
        id="cuda_order",
        status="warn",
        text="CUDA numbers cards by speed, nvidia-smi by PCI bus; rigtui passes UUIDs, but other programs may take the wrong card",
        mend="export CUDA_DEVICE_ORDER=PCI_BUS_ID",
    ),
    Check(id="docker", status="unknown", text="no Docker client here; it is needed only for engines in containers"),
)


class FakeLog:
    """A log that has lines once."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        self._lines = lines

    def read(self) -> LogChunk:
        lines, self._lines = self._lines, ()
        return LogChunk(lines)


class FakeLines:
    """A log that gives what was added since."""

    def __init__(self, lines: list[LogLine]) -> None:
        self._lines, self._given = lines, 0

    def read_lines(self) -> LineChunk:
        new, self._given = tuple(self._lines[self._given :]), len(self._lines)
        return LineChunk(new)


class FakeLive:
    """How an engine works, as the world says."""

    def __init__(self, read: Callable[[], Live | None]) -> None:
        self.read = read


class FakeAnswer:
    """An answer in three pieces."""

    speed = Speed(first_s=0.21, tokens=43, tok_s=38.2)

    def __iter__(self) -> Iterator[str]:
        yield from ("A home ", "assistant that ", "never phones home.")

    def close(self) -> None:
        """Nothing to stop."""


PROFILES = (
    Profile(name="coder", model=MODELS[0].path, use_case="coding", overrides=ProfileOverrides(context=32768, kv_type="q8_0")),
    Profile(name="gpt-oss-120b", model="hf:ggml-org/gpt-oss-120b-GGUF", description="OpenAI's large model\nmore"),
    Profile(name="writer", model=MODELS[2].path, use_case="long"),
)


def result(started: str, build: str, decode: float | None, *, failure: str | None = None) -> RunResult:
    """A run of the profile coder."""
    devices = tuple(
        ResultDevice(device=f"CUDA{at}", name=name, layers=24, headroom_bytes=0, planned_bytes=planned * MIB, peak_bytes=peak * MIB)
        for at, (name, planned, peak) in enumerate((("RTX 4090", 13800, 13650), ("RTX 5070 Ti", 7400, 7420)))
    )
    attempt = AttemptResult(
        outcome="failed" if failure else "ready",
        failure=failure,
        context=32768,
        context_per_slot=32768,
        parallel=1,
        kv_type=("q8_0", "q8_0"),
        split_mode="layer",
        decode_tok_s=decode,
        prefill_tok_s=1204.0,
        ttft_s=0.21,
        devices=devices,
    )
    return RunResult(
        run=started,
        started=started,
        node="here",
        model=MODELS[0].name,
        use_case="coding",
        engine="llama.cpp",
        build=build,
        outcome=attempt.outcome,
        command=(),
        attempt=(attempt,),
    )


def trial(settings: Overrides, decode: float | None, prefill: float = 1204.0) -> TrialResult:
    """A trial of the profile writer; None: it failed."""
    return TrialResult(
        run=f"t{decode}",
        settings=settings,
        value=decode * 1.6 if decode else 0.0,
        ttft_s=0.84 if decode else None,
        prefill_tok_s=prefill if decode else None,
        decode_tok_s=decode,
        graph_splits=3 if decode else None,
        context=65536,
        failure=None if decode else "out_of_vram",
    )


TRIALS = (
    trial(Overrides(), 34.2),
    trial(Overrides(gpus=("GPU-0", "GPU-1")), 36.8),
    trial(Overrides(gpus=("GPU-0", "GPU-1"), ubatch=1024, fit_target_mib=(2048,)), 37.4, 1530.0),
    trial(Overrides(gpus=("GPU-0", "GPU-1"), ubatch=2048), None),
)


class FakeTuner:
    """A tuning whose trials end when the test says so."""

    def __init__(self) -> None:
        self.done = 0
        self.gate = threading.Semaphore(0)
        """One release: one trial is over."""
        self.engine = False
        """Whether a trial's engine runs."""
        self.saved: list[Overrides] = []

    def look(self) -> TuningView:
        tried = TRIALS[: self.done]
        worked = [one for one in tried if one.value]
        return TuningView(
            axes=("gpus", "ubatch", "fit_target_mib"),
            limit=6,
            trials=tried,
            best=max(worked, key=lambda one: one.value).settings if worked else None,
            following=TRIALS[self.done].settings if self.done < len(TRIALS) else None,
            cards={"GPU-0": "GPU 0", "GPU-1": "GPU 1"},
        )

    def run(self, told: Callable[[TuningView], object], watching: Callable[[RunState], object], given_up: Callable[[], bool]) -> None:
        told(self.look())
        while self.done < len(TRIALS):
            self.engine = True
            watching(run_state("t", "loading", profile="writer", trial=True))
            while not self.gate.acquire(timeout=0.02):
                if given_up():
                    self.engine = False
                    return
            self.done += 1
            self.engine = False
            told(self.look())

    def save(self) -> str:
        best = self.look().best
        assert best is not None
        self.saved.append(best)
        return "/config/profiles/writer.toml"


class FakeProfiles:
    """A store of profiles in memory."""

    def __init__(self) -> None:
        self.stored = {profile.name: profile for profile in PROFILES}
        self.measured = {
            "coder": (
                result("2026-02-11T18:02:00Z", "llama-server b6211 (CUDA)", 36.4),
                result("2026-02-20T09:40:00Z", "llama-server b6500 (CUDA)", None, failure="out_of_vram"),
                result("2026-03-01T19:20:21Z", "llama-server b6500 (CUDA)", 38.2),
            )
        }
        self.removed: list[str] = []
        self.written: list[tuple[str, str]] = []
        self.tuned = FakeTuner()

    def tuner(self, name: str, again: bool, say: Callable[[str], object]) -> FakeTuner:
        say("asking the engine")
        if again:
            self.tuned = FakeTuner()
        return self.tuned

    def read(self) -> tuple[tuple[ProfileRow, ...], tuple[str, ...]]:
        rows = (
            ProfileRow(
                profile=one,
                model_state="not downloaded" if one.model.startswith("hf:") else "here",
                missing=f"{one.model} is not downloaded; get it with: hf download {one.model[3:]}" if one.model.startswith("hf:") else "",
                shipped=one.name.startswith("gpt"),
                path=f"/config/profiles/{one.name}.toml",
            )
            for one in self.stored.values()
        )
        return tuple(sorted(rows, key=lambda row: row.profile.name)), ()

    def results(self, name: str) -> tuple[RunResult, ...]:
        return self.measured.get(name, ())

    def load(self, name: str) -> LoadedProfile:
        profile = self.stored[name]
        chosen = next(one for one in MODELS if one.path == profile.model)
        return LoadedProfile(candidates(chosen)[0], profile.intent({one.name: one for one in USE_CASES}))

    def duplicate(self, name: str, new: str) -> str:
        self.stored[new] = replace(self.stored[name], name=new)
        return f"/config/profiles/{new}.toml"

    def rename(self, name: str, new: str) -> str:
        self.stored[new] = replace(self.stored.pop(name), name=new)
        return f"/config/profiles/{new}.toml"

    def remove(self, name: str) -> str:
        self.removed.append(name)
        return f"/config/profiles/{name}.toml"

    def text(self, name: str) -> str:
        return f'[profile]\nname = "{name}"\nmodel = "{self.stored[name].model}"\n'

    def write(self, name: str, text: str) -> str:
        if "model" not in text:
            raise UsageError("the edited profile: `profile.model` is missing")
        self.written.append((name, text))
        return f"/config/profiles/{name}.toml"

    def edit_outside(self, name: str) -> str | None:
        return None

    def export(self, name: str) -> tuple[ExportText, ...]:
        return in_every_format({"models.conf": f"[{name}]\nMODEL=model.gguf\n", "sh": f"#!/bin/sh\n# {name}\nexec llama-server\n"}.get)


class World:
    """What the fake services say, and what they were asked for."""

    def __init__(self, rig: Rig, models: tuple[LibraryEntry, ...] = candidates(*MODELS)) -> None:
        self.rig = rig
        self.models = models
        self.runs: tuple[RunState, ...] = ()
        self.exports: dict[str, str] = {}
        self.rigs: tuple[SavedRig, ...] = ()
        self.saved_rigs: dict[str, Rig] = {}
        self.history: tuple[RunState, ...] = ()
        self.requests: dict[str, LaunchRequest] = {}
        self.log: tuple[str, ...] = ()
        self.lines: list[LogLine] = []
        """Of the log's page; whatever is appended comes at the next look."""
        self.live: Live | None = None
        self.launched: list[tuple[str, Intent, Others]] = []
        self.stopped: list[str] = []
        self.asked: list[tuple[Turn, ...]] = []
        self.steps_taken: list[tuple[str, int]] = []
        self.saved: list[tuple[str, str, Intent]] = []
        self.hurried: list[bool] = []
        self.taken: set[str] = set()
        self.folders: list[str] = []
        self.themes: list[str] = []
        self.others: tuple[Plan, ...] = ()
        self.shelf = Shelf()
        self.used: dict[str, str] = {}
        self.processes: dict[int, ProcessFacts] = {}
        self.profiles = FakeProfiles()
        self.checks = CHECKS
        self.examined = 0
        self.launch_problem: str | None = None
        self.launch_says = ""
        self.launch_gate = threading.Event()
        self.launch_gate.set()
        self.tips: frozenset[str] = frozenset(TIPS)
        self.verifiable = False
        self.verified: list[Intent] = []
        """What dry runs have answered."""
        self.verify_calls = 0
        self.called_off = 0
        self.verify_gate = threading.Event()
        self.verify_problem: str | None = None
        self.derive_gate = threading.Event()
        self.derive_gate.set()

    def watch_rig(self, tell: Callable[[Rig], object]) -> Callable[[], None]:
        ended = threading.Event()

        def loop() -> None:
            while not ended.is_set():
                tell(self.rig)
                ended.wait(0.05)

        threading.Thread(target=loop, daemon=True).start()
        return ended.set

    def derive(self, rig: Rig, chosen: Model, intent: Intent, builds: tuple[Build, ...]) -> Plan:
        self.derive_gate.wait(120)
        plan = plan_for(rig, chosen, intent, builds)
        return replace(plan, basis="verified") if intent in self.verified else plan

    def verify(self, plan: Plan, chosen: Model, intent: Intent, builds: tuple[Build, ...], cancelled: Callable[[], bool]) -> None:
        self.verify_calls += 1
        while not self.verify_gate.wait(0.01):
            if cancelled():
                self.called_off += 1
                raise RigtuiError("called off")
        if self.verify_problem:
            raise RigtuiError(self.verify_problem)
        self.verified.append(intent)

    def launch(self, candidate: LibraryEntry, intent: Intent, plan: Plan, others: Others, say: Callable[[str], object]) -> Launch:
        if self.launch_says:
            say(self.launch_says)
        self.launch_gate.wait(120)
        if self.launch_problem:
            raise RigtuiError(self.launch_problem)
        self.launched.append((candidate.path, intent, others))
        self.runs = (() if others == "replace" else self.runs) + (
            run_state("new1", "loading", model=candidate.name, model_path=candidate.path),
        )
        return Launch("new1")

    def ask(self, run: RunState, turns: tuple[Turn, ...]) -> FakeAnswer:
        self.asked.append(turns)
        return FakeAnswer()

    def export(self, candidate: LibraryEntry, intent: Intent, plan: Plan) -> tuple[ExportText, ...]:
        def write(name: str) -> str:
            if name == "sh":
                raise RigtuiError("this test's engine is not started by a command")
            return f"[{Path(candidate.path).stem}]\nMODEL={Path(candidate.path).name}\nCTX_SIZE={plan.context}\n"

        return in_every_format(write)

    def write_export(self, path: str, text: str, replaces: bool) -> str:
        if path in self.exports and not replaces:
            raise UsageError(f"{path} is already there")
        self.exports[path] = text
        return path

    def load_rig(self, path: str) -> Rig:
        raise UsageError(f"cannot read {path}: No such file or directory")

    def save_rig(self, name: str, rig: Rig) -> str:
        self.saved_rigs[name] = rig
        return f"/config/rigs/{name}.toml"

    def stop(self, run: str) -> None:
        self.stopped.append(run)
        self.runs = tuple(replace(one, phase="stopped") if one.run == run else one for one in self.runs)

    def keep_shelf(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def examine(self) -> tuple[Check, ...]:
        self.examined += 1
        return self.checks

    def save(self, name: str, candidate: LibraryEntry, intent: Intent, overwrite: bool) -> str:
        if name in self.taken and not overwrite:
            raise UsageError(f"there is a profile {name} already")
        self.saved.append((name, candidate.path, intent))
        return f"/config/profiles/{name}.toml"

    def keep_tips(self, tips: frozenset[str]) -> None:
        self.tips = tips

    def services(self) -> Services:
        """The services of this world."""
        return Services(
            watch_rig=self.watch_rig,
            hurry=self.hurried.append,
            read_use_cases=lambda: USE_CASES,
            find_builds=lambda: (BUILD,),
            scan=lambda report, cancelled: self.models,
            model_folders=lambda: ("~/models", "~/.cache/huggingface/hub", "~/.lmstudio/models"),
            read_shelf=lambda: self.shelf,
            keep_shelf=self.keep_shelf,
            last_used=lambda: self.used,
            keep_theme=self.themes.append,
            add_folder=self.folders.append,
            derive=self.derive,
            derive_others=lambda rig, model, intent, builds: self.others,
            read_rigs=lambda: self.rigs,
            load_rig=self.load_rig,
            save_rig=self.save_rig,
            can_verify=lambda plan, builds: self.verifiable and plan.basis == "estimated",
            verify=self.verify,
            read_runs=lambda: self.runs,
            read_history=lambda: (*self.history, *self.runs),
            read_request=self.requests.get,
            open_log=lambda run: FakeLog(self.log),
            open_lines=lambda run: FakeLines(self.lines),
            open_live=lambda run: FakeLive(lambda: self.live),
            launch=self.launch,
            stop=self.stop,
            ask=self.ask,
            take_step=lambda run, number: self.steps_taken.append((run, number)),
            save_profile=self.save,
            profiles=self.profiles,
            examine=self.examine,
            read_process=lambda pid: self.processes.get(pid, ProcessFacts()),
            export=self.export,
            write_export=self.write_export,
            read_tips=lambda: self.tips,
            keep_tips=self.keep_tips,
            run_interval_s=0.05,
            verify_delay_s=0.02,
            live_interval_s=0.05,
        )

"""What a foreground run says while attempts follow each other."""

from __future__ import annotations

from msgspec.structs import replace

from rigtui.cli.run_text import Progress, measured_lines, ready_lines
from rigtui.engines.engine import Failure
from rigtui.runs.state import AttemptState, Measured, RunState
from runs.support import a_plan

STATE = RunState(
    run="a", node="n", boot_id="b", host="127.0.0.1", port=8080, url="http://127.0.0.1:8080", model="tiny", model_id="tiny",
    model_path="/models/tiny.gguf", engine="llama.cpp", build="b1", context=8192, started="2026-03-01T19:20:21Z", heartbeat=0,
)  # fmt: skip
FAILED = AttemptState(
    outcome="failed", failure=Failure(code="out_of_vram", text="CUDA1 had no VRAM left", line="cudaMalloc failed: out of memory")
)
CHANGE = "RTX 5070 Ti ran out by 372 MiB: headroom 1,024 → 1,536 MiB"


def test_what_the_cards_hold_stands_beside_what_was_planned() -> None:
    """The bare process's own 10 MiB are in no buffer of the engine's log."""
    sizes = {"GPU-1": 100 << 20, "GPU-2": 60 << 20}
    planned, runtime = {"GPU-1": 108 << 20}, {"GPU-1": 10 << 20}
    state = replace(
        STATE, phase="ready", planned_bytes=planned, runtime_bytes=runtime, logged_bytes=sizes, measured=Measured(peak_bytes=sizes)
    )
    names = {"GPU-1": "RTX 4090", "GPU-2": "RTX 3060"}
    assert ready_lines(state, names)[0] == "buffers: RTX 4090 100 MiB of 98 MiB planned, RTX 3060 60 MiB"
    assert measured_lines(state, names) == ["peak VRAM: RTX 4090 100 MiB of 108 MiB planned, RTX 3060 60 MiB"]


def test_every_attempt_says_once_why_the_one_before_failed_and_what_it_changes() -> None:
    progress = Progress(a_plan())
    assert progress.lines(replace(STATE, phase="loading", progress=0.5)) == ["loading 50%"]
    second = replace(STATE, phase="loading", attempt=2, attempts=(FAILED, AttemptState(change=CHANGE)), progress=0.1)
    assert progress.lines(second) == [
        "attempt 1 failed: CUDA1 had no VRAM left",
        "  the engine said: cudaMalloc failed: out of memory",
        f"attempt 2 of 5: {CHANGE}",
        "loading 10%",
    ]
    assert progress.lines(second) == []
    ready = progress.lines(replace(second, phase="ready", ready_at="2026-03-01T19:21:00Z", measuring=True))
    assert ready[0].startswith("ready: base URL http://127.0.0.1:8080/v1")

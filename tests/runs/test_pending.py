"""What a launch beside, or in place of, running engines can count on."""

from __future__ import annotations

from rigtui.rig.rig import Gpu, GpuProcess, Rig
from rigtui.runs.pending import beside, instead_of_engines
from rigtui.runs.state import RunState

GIB = 1 << 30


def rig(free: int, engines: int, *, listed: int | None) -> Rig:
    processes = () if listed is None else (GpuProcess(pid=7, name="llama-server", kind="compute", bytes=listed * GIB, engine=True),)
    gpu = Gpu(
        index=0, name="A", uuid="GPU-a", total_bytes=24 * GIB, free_bytes=free * GIB, engines_bytes=engines * GIB, processes=processes
    )
    return Rig(name="desk", platform="linux", gpus=(gpu,))


def run(phase: str, *, logged: int = 0) -> RunState:
    return RunState(
        run="r",
        node="n",
        boot_id="b",
        pid=7,
        phase=phase,  # type: ignore[arg-type]
        host="127.0.0.1",
        port=1,
        url="",
        model="m",
        model_id="m",
        model_path="/m",
        engine="llama.cpp",
        build="b",
        context=1,
        started="",
        heartbeat=0.0,
        planned_bytes={"GPU-a": 10 * GIB},
        logged_bytes={"GPU-a": logged * GIB},
    )


def test_a_loading_run_counts_with_all_it_planned() -> None:
    seen = beside(rig(20, 3, listed=3), [run("loading")]).gpus[0]
    assert (seen.free_bytes, seen.engines_bytes) == (13 * GIB, 10 * GIB)


def test_without_a_process_list_the_engines_own_log_counts() -> None:
    assert beside(rig(20, 4, listed=None), [run("loading", logged=4)]).gpus[0].free_bytes == 14 * GIB


def test_a_ready_run_holds_what_it_holds() -> None:
    reading = rig(20, 3, listed=3)
    assert beside(reading, [run("ready")]) == reading


def test_in_place_of_engines_their_memory_is_free() -> None:
    seen = instead_of_engines(rig(20, 3, listed=3)).gpus[0]
    assert (seen.free_bytes, seen.engines_bytes) == (23 * GIB, 0)

"""The highest use of each card: attributed to the engine where processes are listed, the card's growth where they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nvml_stub import MIXED, StubRig
from rigtui.intent.intent import Overrides
from rigtui.rig.rig import Gpu, GpuProcess, Rig
from rigtui.runs.peaks import Peaks
from rigtui.runs.results import load_results
from runs.support import CARD_0, CARD_1, Runs

GIB = 1 << 30
MIB = 1 << 20


def reading(*used: int, processes: tuple[GpuProcess, ...] | None = ()) -> Rig:
    gpus = tuple(
        Gpu(index=i, name="A", uuid=uuid, total_bytes=24 * GIB, free_bytes=24 * GIB - size, processes=processes if i == 0 else None)
        for i, (uuid, size) in enumerate(zip((CARD_0, CARD_1), used, strict=False))
    )
    return Rig(name="desk", platform="linux", gpus=gpus, driver="580")


def engine(size: int | None) -> tuple[GpuProcess, ...]:
    return (
        GpuProcess(pid=7, name="llama-server", kind="compute", bytes=size, engine=True),
        GpuProcess(pid=8, name="game", kind="graphics", bytes=9 * GIB),
    )


def test_the_engines_own_processes_count_and_nobody_elses() -> None:
    peaks = Peaks(reading(GIB))
    for size in (2, 5, 3):
        peaks.add(reading(12 * GIB, processes=engine(size * GIB)))
    assert peaks.result([CARD_0]) == ({CARD_0: 5 * GIB}, "process")


def test_without_a_process_list_the_cards_growth_counts_on_the_plans_cards_only() -> None:
    peaks = Peaks(reading(2 * GIB, GIB))
    peaks.add(reading(9 * GIB, 4 * GIB, processes=None))
    peaks.add(reading(6 * GIB, 4 * GIB, processes=None))
    assert peaks.result([CARD_0]) == ({CARD_0: 7 * GIB}, "card")


def test_a_list_without_bytes_is_no_list() -> None:
    peaks = Peaks(reading(2 * GIB))
    peaks.add(reading(5 * GIB, processes=engine(None)))
    assert peaks.result([CARD_0]) == ({CARD_0: 3 * GIB}, "card")


@pytest.mark.parametrize("before", [None, Rig(name="desk", platform="linux")])
def test_what_could_not_be_observed_is_left_out(before: Rig | None) -> None:
    peaks = Peaks(before)
    peaks.add(reading(5 * GIB, processes=None))
    assert peaks.result([CARD_0]) == ({}, None)


def test_a_lost_card_changes_nothing() -> None:
    peaks = Peaks(reading(2 * GIB))
    peaks.add(reading(5 * GIB, processes=engine(3 * GIB)))
    peaks.add(Rig(name="desk", platform="linux", gpus=(Gpu(index=0, name="A", uuid=CARD_0, error="fell off the bus"),)))
    assert peaks.result([CARD_0]) == ({CARD_0: 3 * GIB}, "process")


def test_a_run_keeps_the_peak_of_its_engine(
    runs: Runs, nvml_stub: Callable[[str], StubRig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the real NVML bindings and a stub of the driver."""
    nvml = nvml_stub(MIXED)
    gate = tmp_path / "gate"
    directory = runs.launch("--log", runs.loading_log(), "--gate", gate)
    loading = runs.wait(directory, "loading")
    nvml.hold(loading.pid or 0, 0, 15_700)
    gate.touch()
    ready = runs.wait(directory, "ready", measured=True)
    assert ready.measured is not None
    assert ready.measured.peak_bytes == {CARD_0: 15_700 * MIB}
    assert ready.measured.peak_basis == "process"
    (result,) = load_results("tiny")
    assert result.driver == "580.95.05"
    assert {gpu.uuid: gpu.name for gpu in result.gpus}[CARD_1] == "NVIDIA GeForce RTX 5070 Ti"
    first, second = result.attempt[0].devices
    assert (first.planned_bytes, first.peak_bytes) == (6 * GIB, 15_700 * MIB)
    assert second.peak_bytes is None
    assert round((first.weights_bytes or 0) / MIB) == 2846
    before, least = first.free_before_bytes, first.free_least_bytes
    assert before is not None
    assert least is not None
    assert before - least == 15_700 * MIB, "what the card had free before, and at the worst moment"
    # "using device CUDA0 (…) - … MiB free" of the recorded log
    assert first.engine_free_bytes is not None
    assert (result.platform, result.attempt[0].ubatch) == ("linux", 512)
    assert result.requested == Overrides()

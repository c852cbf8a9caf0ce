"""How much was missing when an allocation failed, from what was seen free and what the engine had by its own words."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from rigtui.engines.engine import Event, Failure
from rigtui.rig.rig import Gpu, GpuProcess, Rig
from rigtui.runs.observe import Observed
from rigtui.runs.peaks import Peaks
from rigtui.runs.shortage import measured
from runs.support import CARD_0, a_plan

MIB = 1 << 20
TOTAL = 24_000


def reading(free: int, held: int | None = None) -> Rig:
    """The plan's first card with so many MiB free, and so many held by the engine."""
    processes = () if held is None else (GpuProcess(pid=7, name="llama-server", kind="compute", bytes=held * MIB, engine=True),)
    gpu = Gpu(index=0, name="A", uuid=CARD_0, total_bytes=TOTAL * MIB, free_bytes=free * MIB, processes=processes)
    return Rig(name="desk", platform="linux", gpus=(gpu,))


def failed(asked: int, **changes: Any) -> Failure:
    found = Failure(code="out_of_vram", text="CUDA0 had no VRAM left", device="CUDA0", stage="kv", asked_bytes=asked * MIB)
    return replace(found, **changes)


def after(
    failure: Failure, now: int, *seen: Rig, before: int = 20_000, weights: int | None = None, engine_free: int | None = None
) -> Failure:
    peaks, observed = Peaks(reading(before)), Observed({"CUDA0": CARD_0})
    for rig in seen:
        peaks.add(rig)
    if engine_free is not None:
        observed.add(Event(kind="using_device", device="CUDA0", free_bytes=engine_free * MIB))
    if weights is not None:
        observed.add(Event(kind="buffer", device="CUDA0", buffer="weights", bytes=weights * MIB))
    return measured(failure, a_plan(), peaks, observed, reading(now))


def missing_mib(failure: Failure) -> int | None:
    return None if failure.missing_bytes is None else failure.missing_bytes // MIB


def test_the_least_that_was_seen_free_counts() -> None:
    found = after(failed(4000), 20_000, reading(9000, 10_000), reading(3628, 10_000))
    assert missing_mib(found) == 372
    assert "372 MiB too little was free (NVIDIA GeForce RTX 4090)" in found.text


def test_memory_taken_after_the_last_reading_shows_when_the_engine_is_gone() -> None:
    """15,000 free now, of which the engine had 11,000: 4,000 were free for the 5,000 it asked for."""
    assert missing_mib(after(failed(5000), 15_000, reading(9000, 11_000))) == 1000


def test_what_the_engine_had_is_known_by_its_own_words_too() -> None:
    """Its runtime took 300 (20,000 free before, 19,700 as it saw them), its weights 10,700."""
    assert missing_mib(after(failed(5000), 15_000, weights=10_700, engine_free=19_700)) == 1000


def test_enough_by_the_driver_and_still_refused_is_not_known() -> None:
    """Under WSL an engine sees less than the driver shows."""
    found = after(failed(4000), 20_000, reading(9000, 10_000))
    assert found.missing_bytes is None
    assert found.text == "CUDA0 had no VRAM left"


@pytest.mark.parametrize(
    ("stage", "code", "words"), [("kv", "context_too_long", "the KV cache of this context"), ("weights", "no_fit", "at all")]
)
def test_more_than_the_card_has_in_all_has_a_name_of_its_own(stage: str, code: str, words: str) -> None:
    found = after(failed(30_000, stage=stage), 20_000)
    assert found.code == code
    assert words in found.text
    assert "24,000 MiB in all" in found.text
    assert missing_mib(found) == 10_000


@pytest.mark.parametrize("changes", [{"device": "CUDA7"}, {"asked_bytes": None}, {"code": "out_of_ram"}])
def test_what_is_no_allocation_on_a_card_of_the_plan_is_left_alone(changes: dict[str, Any]) -> None:
    failure = failed(5000, **changes)
    assert after(failure, 1000) == failure

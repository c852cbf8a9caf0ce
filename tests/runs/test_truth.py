"""What was planned against what is observed: slow, fatter than planned, and spilled into RAM without a word."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from rigtui.engines.engine import Event
from rigtui.planning.plan import Expected, Plan, PlanHost
from rigtui.rig.rig import Gpu, Rig
from rigtui.runs.observe import Observed
from rigtui.runs.state import Measured
from rigtui.runs.truth import Load, Verdict, judge
from runs.support import CARD_0, CARD_1, a_plan

GIB = 1 << 30
MIB = 1 << 20
PLAN = replace(a_plan(), expected=Expected(decode_tok_s=48.0))


def reading(busy: int | None = None, bus: int | None = None, *, card: str = CARD_0, ram: int = 60 * GIB) -> Rig:
    gpu = Gpu(index=0, name="A", uuid=card, utilization=busy, memory_utilization=bus)
    return Rig(name="desk", platform="wsl2", gpus=(gpu,), ram_free_bytes=ram)


def load(*pairs: tuple[int | None, int | None], card: str = CARD_0) -> Load:
    found = Load(reading())
    found.begin()
    for busy, bus in pairs:
        found.add(reading(busy, bus, card=card))
    return found


def verdict(
    decode: float | None, seen: Load, plan: Plan = PLAN, events: tuple[Event, ...] = (), *, wsl: bool = True, **measured: Any
) -> Verdict:
    observed = Observed({})
    for event in events:
        observed.add(event)
    return judge(plan, Measured(decode_tok_s=decode, **measured), observed, seen, wsl=wsl)


SPILLS = ((100, 2), (99, 2), (98, 3), (100, 1))


def test_a_busy_card_with_an_idle_bus_and_a_tenth_of_the_speed_has_spilled() -> None:
    spill = verdict(4.9, load(*SPILLS)).spill
    assert spill is not None
    assert (spill.code, spill.device) == ("spill", "CUDA0")
    assert "100 % busy" in spill.text
    assert "4.9 tok/s where 48 are expected" in spill.text
    assert "Windows moves memory" in spill.text


@pytest.mark.parametrize(
    ("decode", "pairs", "card"),
    [
        (40.0, SPILLS, CARD_0),  # fast enough, whatever the counters say
        (4.9, ((100, 80), (99, 75), (98, 82)), CARD_0),  # slow, but it reads its memory
        (4.9, ((20, 2), (25, 1), (15, 2)), CARD_0),  # slow, because it waits for something else
        (4.9, ((100, 2), (99, 2)), CARD_0),  # too few readings to say so
        (4.9, ((100, None), (None, 2), (98, None)), CARD_0),  # a driver that does not tell
        (4.9, SPILLS, "GPU-another"),  # not a card of the plan
        (None, SPILLS, CARD_0),
    ],
)
def test_nothing_else_is_called_a_spill(decode: float | None, pairs: Any, card: str) -> None:
    assert verdict(decode, load(*pairs, card=card)).spill is None


def test_outside_windows_the_same_signs_are_a_spill_too() -> None:
    """Unified memory, as GGML_CUDA_ENABLE_UNIFIED_MEMORY has it."""
    spill = verdict(4.9, load(*SPILLS), wsl=False).spill
    assert spill is not None
    assert spill.text.endswith("a part of what it computes with lies in RAM")


def test_of_several_cards_the_one_that_spilled_is_named() -> None:
    seen = load((45, 40), (50, 38), (48, 41))
    for busy, bus in SPILLS:
        seen.add(reading(busy, bus, card=CARD_1))
    spill = verdict(4.9, seen).spill
    assert spill is not None
    assert (spill.device, spill.text.split(" spilled")[0]) == ("CUDA1", "NVIDIA GeForce RTX 5070 Ti")


def test_one_odd_reading_hides_no_spill() -> None:
    assert verdict(4.9, load((0, 0), *SPILLS, (35, 30))).spill is not None


def test_a_tenth_of_the_speed_alone_is_slow_and_no_spill() -> None:
    assert verdict(4.9, load((60, 40), (55, 35), (58, 41))) == Verdict(notes=("slow: 4.9 tok/s, where 48 were expected (estimated)",))


def test_under_wsl_with_a_driver_that_does_not_count_memory_that_never_came_is_the_sign() -> None:
    """The card was planned with 6 GiB; its pace is a tenth."""
    spill = verdict(4.9, load(), peak_bytes={CARD_0: 4 * GIB}, peak_basis="card").spill
    assert spill is not None
    assert (spill.device, spill.missing_bytes) == ("CUDA0", 2 * GIB)
    assert "2,048 MiB that were planned on it were never seen there" in spill.text
    assert verdict(4.9, load(), peak_bytes={CARD_0: 4 * GIB}, peak_basis="card", wsl=False).spill is None
    assert verdict(30.0, load(), peak_bytes={CARD_0: 4 * GIB}, peak_basis="card").spill is None, "a plan that was too careful"
    told = load((100, 80), (99, 75), (98, 82))
    assert verdict(4.9, told, peak_bytes={CARD_0: 4 * GIB}, peak_basis="card").spill is None, "slow, but it reads its memory"


def test_under_wsl_what_could_be_a_spill_is_said_where_nothing_tells() -> None:
    (note,) = verdict(4.9, load()).notes
    assert note.startswith("slow: 4.9 tok/s")
    assert note.endswith("Windows may have moved memory of a card to RAM, and the driver does not tell how busy the cards are")


def test_without_an_expected_speed_nothing_is_slow() -> None:
    assert verdict(4.9, load(*SPILLS), replace(PLAN, expected=Expected())) == Verdict()


def test_what_the_cards_did_while_loading_does_not_count() -> None:
    seen = load(*SPILLS)
    seen.begin()
    assert verdict(4.9, seen).spill is None


def test_slow_is_said_with_both_figures_and_later_where_the_expectation_is_a_guess() -> None:
    known = replace(PLAN, expected=Expected(decode_tok_s=48.0, basis="measured"))
    assert verdict(20.0, load(), known).notes == ("slow: 20.0 tok/s, where 48 were expected (measured)",)
    assert verdict(20.0, load()).notes == ()
    assert verdict(15.0, load()).notes == ("slow: 15.0 tok/s, where 48 were expected (estimated)",)


def test_the_bytes_that_were_planned_and_never_seen_are_what_is_missing() -> None:
    spill = verdict(4.9, load(*SPILLS), peak_bytes={CARD_0: 5 * GIB}, peak_basis="card").spill
    assert spill is not None
    assert spill.missing_bytes == GIB


def test_a_peak_above_the_plan_is_said() -> None:
    said = verdict(48.0, load(), peak_bytes={CARD_0: 7 * GIB, CARD_1: 6 * GIB + 100 * MIB}, peak_basis="process").notes
    assert said == ("NVIDIA GeForce RTX 4090 was used up to 7,168 MiB: 1,024 MiB more than the 6,144 MiB planned",)
    assert "other programs" in verdict(48.0, load(), peak_bytes={CARD_0: 7 * GIB}, peak_basis="card").notes[0]


def test_ram_that_nobody_planned_is_said() -> None:
    seen = load()
    seen.add(reading(ram=50 * GIB))
    assert verdict(48.0, seen).notes == ("10,240 MiB of RAM went into use meanwhile, 0 MiB were planned",)
    assert verdict(48.0, seen, replace(PLAN, host=PlanHost(weights_bytes=9 * GIB, offloaded_layers=9))).notes == ()


def weights(device: str, size: int) -> Event:
    return Event(kind="buffer", device=device, buffer="weights", bytes=size)


def test_layers_that_the_engine_itself_moved_to_ram_are_a_spill() -> None:
    events = (weights("CUDA0", 2 * GIB), weights("CPU", 3 * GIB))
    spill = verdict(48.0, load(), replace(PLAN, host=PlanHost(weights_bytes=GIB)), events).spill
    assert spill is not None
    assert spill.missing_bytes == 2 * GIB
    assert "2,048 MiB of the weights spilled into RAM" in spill.text
    planned = replace(PLAN, host=PlanHost(weights_bytes=GIB, offloaded_layers=12))
    assert verdict(48.0, load(), planned, events).spill is None, "layers in RAM by plan"

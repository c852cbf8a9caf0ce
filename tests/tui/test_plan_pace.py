"""Which readings ask for another plan."""

from __future__ import annotations

from itertools import pairwise

from msgspec.structs import replace

from rigtui.rig.rig import Rig
from rigtui.text import MIB
from rigtui.tui.plan_pace import PLAN_READINGS, PlanPace, needs_new_plan
from tui.fakes.rigs import two_cards


def held(mib: int) -> Rig:
    """The rig with so much more held on its first card."""
    rig = two_cards()
    return replace(rig, gpus=(replace(rig.gpus[0], free_bytes=rig.gpus[0].free_bytes - mib * MIB), rig.gpus[1]))


def at_rest() -> PlanPace:
    """Planned on the rig as it is, long ago."""
    pace = PlanPace()
    pace.planned(two_cards())
    for _ in range(PLAN_READINGS):
        assert not pace.due(two_cards())
    return pace


def test_the_first_reading_asks():
    assert PlanPace().due(two_cards())


def test_memory_that_changes_once_is_answered_at_once():
    assert at_rest().due(held(100))


def test_memory_that_moves_all_the_time_asks_at_every_fifth_reading():
    pace, asked = at_rest(), []
    for at in range(4 * PLAN_READINGS):
        if pace.due(held(300 * (1 + at % 2) + at)):
            pace.planned(held(300 * (1 + at % 2) + at))
            asked.append(at)
    assert asked[0] == 0
    assert all(after - before >= PLAN_READINGS for before, after in pairwise(asked))


def test_a_slow_drift_is_held_against_the_plan_and_not_against_the_reading_before():
    pace = at_rest()
    assert any(pace.due(held(10 * step)) for step in range(1, 12))


def test_other_cards_are_answered_at_once():
    pace = PlanPace()
    pace.planned(two_cards())
    assert pace.due(replace(two_cards(), gpus=two_cards().gpus[:1]))


def test_only_a_real_change_of_memory_asks_for_a_new_plan():
    rig = two_cards()
    little = replace(rig, gpus=(replace(rig.gpus[0], free_bytes=rig.gpus[0].free_bytes - 8 * MIB), rig.gpus[1]))
    much = replace(rig, gpus=(replace(rig.gpus[0], free_bytes=rig.gpus[0].free_bytes - 100 * MIB), rig.gpus[1]))
    lost = replace(rig, gpus=(replace(rig.gpus[0], free_bytes=None, error="lost"), rig.gpus[1]))
    assert needs_new_plan(None, rig)
    assert not needs_new_plan(rig, little)
    assert needs_new_plan(rig, much)
    assert needs_new_plan(rig, lost)
    assert needs_new_plan(rig, replace(rig, gpus=rig.gpus[:1]))
    assert not needs_new_plan(rig, replace(rig, ram_free_bytes=rig.ram_free_bytes - 100 * MIB))

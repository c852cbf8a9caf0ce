"""Which tuning a call goes on with: the last one, or a new one where that is asked for. No engine is launched."""

from __future__ import annotations

from typing import Any

import pytest

from planning.past import BUILD, a_run, an_attempt, planned
from planning.toys import gpu, intent, rig, toy_model
from rigtui.errors import RigtuiError
from rigtui.intent.intent import Overrides
from rigtui.planning.outcomes import Trial
from rigtui.runs import identity
from rigtui.runs.results import load_results, record
from rigtui.runs.tune import PORTS_LOST, Asked, Tuning

RIG = rig(gpu(0, 4000), gpu(1, 4000))
MODEL, INTENT = toy_model(), intent(kv=("f16", "q8_0"))


def tuning(*, again: bool = False) -> Tuning:
    return Tuning(Asked(name="toy", model=MODEL, intent=INTENT, builds=(BUILD,)), lambda: RIG, again=again)


def tried(one: Tuning, day: int, settings: Overrides, **changes: Any) -> None:
    """A trial of this tuning that was measured."""
    attempt = an_attempt(planned(RIG, MODEL, INTENT), INTENT, prefill_tok_s=100.0, decode_tok_s=10.0 + day, **changes)
    record("toy", a_run(RIG, MODEL, INTENT, attempt, day=day, node=identity.node(), trial=Trial(tuning=one.id, settings=settings)))


def test_a_tuning_goes_on_and_one_that_begins_anew_is_the_one_that_goes_on_from_then():
    first = tuning()
    tried(first, 1, Overrides())
    tried(first, 2, Overrides(ubatch=256))
    assert [one.run for one in tuning().trials()] == ["r1", "r2"]
    anew = tuning(again=True)
    assert anew.trials() == []
    tried(anew, 3, Overrides())
    assert [one.run for one in tuning().trials()] == ["r3"]
    assert tuning(again=True).trials() == []
    assert first.id != anew.id


def test_settings_that_lead_to_more_context_than_when_they_were_tried_are_tried_again():
    first = tuning()
    tried(first, 1, Overrides(), context_per_slot=planned(RIG, MODEL, INTENT).context_per_slot // 2)
    (half,) = first.trials()
    assert half.outdated
    assert first.search().next == Overrides()
    tried(first, 2, Overrides())
    assert [one.outdated for one in first.trials()] == [True, False]
    assert first.search().next != Overrides()
    first.choose(Overrides())
    assert [run.run for run in load_results("toy") if run.chosen] == ["r2"]


def test_what_others_did_to_a_trial_does_not_speak_against_its_settings():
    first = tuning()
    for day, failure in enumerate(("killed", "port_in_use", "disk_full"), 1):
        attempt = an_attempt(planned(RIG, MODEL, INTENT), INTENT, outcome="failed", failure=failure)
        run = a_run(RIG, MODEL, INTENT, attempt, day=day, node=identity.node(), trial=Trial(tuning=first.id), outcome="failed")
        record("toy", run)
    assert first.trials() == []
    assert first.search().next == Overrides()


def trials_that_lose_their_port(monkeypatch: pytest.MonkeyPatch, one: Tuning, lost: int) -> list[str]:
    """The first `lost` trials find their port taken, the others work; the runs in their order."""
    begun: list[str] = []

    def trial(settings: Overrides, *_: object) -> str:
        day = len(begun) + 1
        if day <= lost:
            attempt = an_attempt(planned(RIG, MODEL, INTENT), INTENT, outcome="failed", failure="port_in_use")
            asked = Trial(tuning=one.id, settings=settings)
            record("toy", a_run(RIG, MODEL, INTENT, attempt, day=day, node=identity.node(), trial=asked, outcome="failed"))
        else:
            tried(one, day, settings)
        begun.append(f"r{day}")
        return begun[-1]

    monkeypatch.setattr(one, "_trial", trial)
    return begun


def test_a_trial_whose_port_was_taken_is_run_again(monkeypatch: pytest.MonkeyPatch):
    one = tuning()
    begun = trials_that_lose_their_port(monkeypatch, one, lost=2)
    first = next(one.steps())
    assert (first.run, first.settings) == ("r3", Overrides()) and begun == ["r1", "r2", "r3"]


def test_a_port_that_is_taken_every_time_ends_the_tuning_with_a_sentence(monkeypatch: pytest.MonkeyPatch):
    one = tuning()
    begun = trials_that_lose_their_port(monkeypatch, one, lost=100)
    with pytest.raises(RigtuiError, match=f"trial r{PORTS_LOST} could not be measured"):
        next(one.steps())
    assert len(begun) == PORTS_LOST


def test_a_trial_that_is_outdated_counts_among_those_that_may_be_run():
    first = tuning()
    for day in range(1, first.limit):
        tried(first, day, Overrides(), context_per_slot=1024)
    assert first.search().next == Overrides()
    tried(first, first.limit, Overrides())
    assert first.search().next is None


def test_beginning_anew_where_nothing_was_tried_is_just_beginning():
    assert tuning(again=True).id == tuning().id

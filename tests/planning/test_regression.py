"""A new build that is slower or takes more memory than the one before is reported, noise is not."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from planning.past import BUILD, NODE, a_device, a_run, an_attempt, planned
from planning.toys import gpu, intent, rig, toy_model
from rigtui.planning.choose import choose
from rigtui.planning.lessons import learn
from rigtui.planning.outcomes import RunResult
from rigtui.planning.regression import regressions
from rigtui.text import MIB

RIG = rig(gpu(0, 2400))
MODEL = toy_model()
ASKED = intent()
PLAN = planned(RIG, MODEL, ASKED)
NEW = replace(BUILD, label="llama-server b2 (CUDA)")


def measured(day: int, decode: float = 50.0, peak_mib: int = 2000, *, build: str = BUILD.label, **run: Any) -> RunResult:
    device = a_device(PLAN.devices[0], peak_bytes=peak_mib * MIB)
    attempt = an_attempt(PLAN, ASKED, decode_tok_s=decode, prefill_tok_s=10 * decode, devices=(device,))
    return a_run(RIG, MODEL, ASKED, attempt, day=day, build=build, **run)


def test_a_slower_build_is_reported_with_both_speeds() -> None:
    old = [measured(1, 50.0), measured(2, 51.0)]
    found = regressions(measured(3, 40.0, build=NEW.label), old)
    assert found[0] == "decode is slower than with llama-server b1 (CUDA): 40.0 instead of 50.5 tok/s (-21%)"
    assert found[1].startswith("prefill is slower")


def test_a_build_that_takes_more_memory_is_reported_with_the_card() -> None:
    (text,) = regressions(measured(2, peak_mib=2300, build=NEW.label), [measured(1)])
    assert text == "Card 0 holds 300 MiB more than with llama-server b1 (CUDA): 2,300 MiB instead of 2,000 MiB"


def test_what_is_within_the_noise_of_earlier_runs_is_not() -> None:
    assert regressions(measured(2, 46.0, 2050, build=NEW.label), [measured(1)]) == ()
    unsteady = [measured(1, 50.0), measured(2, 35.0)]
    assert regressions(measured(3, 32.0, build=NEW.label), unsteady) == ()


def test_a_run_that_spilled_is_not_what_a_new_build_is_held_to() -> None:
    spilled = measured(1, 5.0, 2500)
    spilled = replace(spilled, attempt=(replace(spilled.attempt[0], spilled="Card 0 spilled into RAM"),))
    found = regressions(measured(3, 25.0, build=NEW.label), [spilled, measured(2, 50.0)])
    assert found[0] == "decode is slower than with llama-server b1 (CUDA): 25.0 instead of 50.0 tok/s (-50%)"


def test_only_equal_questions_on_equal_cards_are_compared() -> None:
    slow = measured(3, 20.0, build=NEW.label)
    attempt = replace(slow.attempt[0], context_per_slot=4096)
    assert regressions(replace(slow, attempt=(attempt,)), [measured(1)]) == ()
    assert regressions(slow, [measured(1, fingerprint="another")]) == ()
    assert regressions(slow, [measured(1, gpus=())]) == ()
    assert regressions(slow, [measured(1, simulated=True), measured(2, forgotten=True)]) == ()
    assert regressions(measured(3, 20.0), [measured(1)]) == (), "the same build on a slow day"


def test_the_build_before_is_the_last_one_that_ran() -> None:
    runs = [measured(1, 90.0, build="llama-server b0 (CUDA)"), measured(2, 50.0)]
    assert regressions(measured(3, 50.0, build=NEW.label), runs) == ()


def test_the_next_plan_says_that_the_build_is_slower() -> None:
    runs = learn([measured(1), measured(2, 40.0, build=NEW.label)], NODE)
    plan = choose(RIG, MODEL, ASKED, [NEW], lessons=runs)
    assert any(reason.code == "regression" and "decode is slower" in reason.text for reason in plan.reasons)
    back = choose(RIG, MODEL, ASKED, [BUILD], lessons=runs)
    assert not any(reason.code == "regression" for reason in back.reasons)

"""What earlier runs teach the next plan, with numbers that add up in the head (planning.toys)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from planning.past import BUILD, NODE, a_device, a_run, an_attempt, more_headroom, out_of_vram, planned
from planning.toys import gpu, intent, rig, toy_model
from rigtui.intent.intent import Intent, Overrides
from rigtui.planning.choose import choose
from rigtui.planning.constraints import Constraint
from rigtui.planning.lesson_text import lesson_of
from rigtui.planning.lessons import Lessons, learn
from rigtui.planning.outcomes import RunResult, Trial
from rigtui.planning.plan import Plan
from rigtui.rig.rig import Rig
from rigtui.text import MIB

RIG = rig(gpu(0, 700), gpu(1, 700))
MODEL = toy_model()
ASKED = intent()
LESSON = more_headroom("GPU-1", 300)


def plan_after(*runs: RunResult, on: Rig = RIG, asked: Intent = ASKED, **changes: Any) -> Plan:
    """The next plan."""
    return choose(on, changes.pop("model", MODEL), asked, [changes.pop("build", BUILD)], lessons=learn(runs, NODE))


def codes(plan: Plan) -> dict[str, str]:
    return {reason.code: reason.text for reason in plan.reasons}


def mended(on: Rig = RIG, asked: Intent = ASKED, lesson: Constraint = LESSON, **changes: Any) -> RunResult:
    """The first attempt ran out of memory on GPU-1, the second worked with the lesson."""
    first, second = planned(on, MODEL, asked), planned(on, MODEL, asked, (lesson,))
    return a_run(on, MODEL, asked, out_of_vram(first, asked, 1, 100), an_attempt(second, asked, (lesson,)), **changes)


def test_what_worked_after_a_failure_is_where_the_next_plan_begins() -> None:
    before = planned(RIG, MODEL, ASKED)
    assert before.devices[1].headroom_bytes == 128 * MIB
    after = plan_after(mended())
    assert after.devices[1].headroom_bytes == 300 * MIB
    assert after.devices[1].free_after_bytes >= 300 * MIB
    assert "GPU-1 keeps 300 MiB free (learned 2026-01-01, when Card 1 had 700 MiB free)" in codes(after)["lesson"]


def test_the_next_run_is_told_which_bounds_its_plan_has() -> None:
    (held,) = learn([mended()], NODE).about(RIG, MODEL, ASKED, BUILD).constraints
    assert (held.kind, held.gpu, held.value, held.origin) == ("headroom", "GPU-1", 300 * MIB, "lesson")


def test_a_lesson_lives_on_though_the_runs_after_it_did_not_fail() -> None:
    again = replace(LESSON, origin="lesson")
    good = a_run(RIG, MODEL, ASKED, an_attempt(planned(RIG, MODEL, ASKED, (LESSON,)), ASKED, (again,)), day=2)
    assert plan_after(mended(), good).devices[1].headroom_bytes == 300 * MIB


def test_headroom_is_not_kept_twice_while_the_memory_is_taken_that_it_was_for() -> None:
    taken = rig(gpu(0, 700), gpu(1, 700 - 256))
    after = plan_after(mended(), on=taken)
    assert after.devices[1].headroom_bytes == 128 * MIB
    assert "Card 1 has 256 MiB less free" in codes(after)["lesson_dropped"]


def test_memory_that_others_took_while_it_loaded_is_left_free_for_them_the_next_time() -> None:
    """The second attempt saw in its reading that 300 MiB were gone; the next run begins with a reading in which they are back."""
    poorer = rig(gpu(0, 900), gpu(1, 900 - 300))
    full = rig(gpu(0, 900), gpu(1, 900))
    first, second = planned(full, MODEL, ASKED), planned(poorer, MODEL, ASKED)
    run = a_run(full, MODEL, ASKED, out_of_vram(first, ASKED, 1, 100), an_attempt(second, ASKED))
    after = plan_after(run, on=full)
    assert {device.name: device.headroom_bytes // MIB for device in after.devices} == {"Card 0": 128, "Card 1": 128 + 300}
    assert "others took 300 MiB of Card 1 while the engine loaded" in codes(after)["lesson"]
    assert plan_after(run, on=poorer).devices[1].headroom_bytes == 128 * MIB, "not while they have it"


def test_headroom_for_memory_that_others_took_is_kept_though_the_card_has_more_free_now() -> None:
    assert plan_after(mended(), on=rig(gpu(0, 700), gpu(1, 3000))).devices[0].name == "Card 1", "one card alone is enough"
    roomier = rig(gpu(0, 700), gpu(1, 900))
    assert plan_after(mended(), on=roomier).devices[1].headroom_bytes == 300 * MIB


@pytest.mark.parametrize("kind", ["context", "kv_type", "ubatch", "without_gpu"])
def test_other_bounds_end_when_there_is_more_free_than_when_they_were_learned(kind: str) -> None:
    values = {"context": 4096, "kv_type": "q8_0", "ubatch": 128, "without_gpu": None}
    bound = Constraint(kind=kind, gpu="GPU-1" if kind == "without_gpu" else None, value=values[kind], text=f"bound on {kind}")  # type: ignore[arg-type]
    asked = intent(kv=("f16", "q8_0"))
    first = planned(RIG, MODEL, asked)
    run = a_run(RIG, MODEL, asked, out_of_vram(first, asked, 1, 100), an_attempt(first, asked, (bound,)))
    held = learn([run], NODE).about(RIG, MODEL, asked, BUILD)
    assert [c.kind for c in held.constraints] == [kind]
    freer = learn([run], NODE).about(rig(gpu(0, 700), gpu(1, 1000)), MODEL, asked, BUILD)
    assert freer.constraints == ()
    assert f"left out: bound on {kind}; Card 1 has 300 MiB more free than when that was learned" in freer.reasons[0].text


def test_a_lesson_that_three_runs_in_a_row_did_not_need_ends_and_one_that_was_needed_again_stays() -> None:
    plan = planned(RIG, MODEL, ASKED, (LESSON,))

    def later(day: int, least_mib: int) -> RunResult:
        devices = (a_device(plan.devices[0]), a_device(plan.devices[1], free_least_bytes=least_mib * MIB))
        attempt = an_attempt(plan, ASKED, (replace(LESSON, origin="lesson"),), devices=devices)
        return a_run(RIG, MODEL, ASKED, attempt, day=day)

    # The lesson keeps 300 - 128 = 172 MiB: with 310 left nobody came, with 100 left somebody did.
    idle = [later(day, 310) for day in (2, 3, 4)]
    assert plan_after(mended(), *idle[:2]).devices[1].headroom_bytes == 300 * MIB
    dropped = plan_after(mended(), *idle)
    assert dropped.devices[1].headroom_bytes == 128 * MIB
    assert "did not need it" in codes(dropped)["lesson_dropped"]
    assert plan_after(mended(), *idle[:2], later(4, 100)).devices[1].headroom_bytes == 300 * MIB


def test_what_the_user_set_is_not_softened_by_a_lesson() -> None:
    asked = intent(fit_target_mib=(64,))
    after = plan_after(mended(asked=asked), asked=asked)
    assert [device.headroom_bytes for device in after.devices] == [64 * MIB] * 2


@pytest.mark.parametrize("asked", [intent(parallel=2, context=4096), intent(context=4096, least=4096, ubatch=64)])
def test_a_lesson_for_other_settings_does_not_bind_these(asked: Intent) -> None:
    other = mended(asked=intent(ubatch=32))
    assert "lesson" not in codes(plan_after(other, asked=asked))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("build", "the engine is llama-server b2 (CUDA) instead of llama-server b1 (CUDA)"),
        ("driver", "the driver is 590 instead of 580"),
        ("card", "the cards are not the same"),
    ],
)
def test_another_build_driver_or_card_sets_lessons_aside_and_says_so(what: str, said: str) -> None:
    then = replace(RIG, driver="580")
    run = mended(on=then)
    build = replace(BUILD, label="llama-server b2 (CUDA)") if what == "build" else BUILD
    now = replace(then, driver="590") if what == "driver" else then
    now = replace(now, gpus=(*now.gpus, gpu(2, 300))) if what == "card" else now
    after = plan_after(run, on=now, build=build)
    assert said in codes(after)["lessons_set_aside"]
    assert "lesson" not in codes(after)
    assert after.basis == "estimated"
    assert all(device.headroom_bytes == 128 * MIB for device in after.devices)
    assert "lessons_set_aside" not in codes(plan_after(run, on=then))


@pytest.mark.parametrize("change", [{"simulated": True}, {"forgotten": True}])
def test_simulated_and_forgotten_runs_teach_nothing(change: dict[str, bool]) -> None:
    assert plan_after(mended(**change)) == planned(RIG, MODEL, ASKED)


def test_what_was_measured_here_says_nothing_about_a_rig_that_is_only_described() -> None:
    described = replace(RIG, simulated=True)
    assert plan_after(mended(), on=described) == planned(described, MODEL, ASKED)


def test_a_run_of_another_machine_with_the_same_home_is_no_lesson_and_nothing_is_set_aside() -> None:
    far = rig(replace(gpu(0, 700), uuid="GPU-far"))
    run = a_run(far, MODEL, ASKED, an_attempt(planned(far, MODEL, ASKED), ASKED), node="other")
    assert plan_after(run) == planned(RIG, MODEL, ASKED)


def test_cards_without_uuids_are_known_by_name_and_size() -> None:
    nameless = rig(replace(gpu(0, 700), uuid=None), replace(gpu(1, 700), uuid=None))
    lesson = more_headroom("Card 1", 300)
    first = planned(nameless, MODEL, ASKED)
    run = a_run(nameless, MODEL, ASKED, out_of_vram(first, ASKED, 1, 100), an_attempt(first, ASKED, (lesson,)))
    assert plan_after(run, on=nameless).devices[1].headroom_bytes == 300 * MIB


def test_a_plan_that_ran_before_is_remembered_with_its_measured_speed() -> None:
    plan = planned(RIG, MODEL, ASKED)
    speeds = [
        a_run(RIG, MODEL, ASKED, an_attempt(plan, ASKED, decode_tok_s=speed, prefill_tok_s=900.0), day=day)
        for day, speed in enumerate((40.0, 42.0, 90.0), 1)
    ]
    after = plan_after(*speeds)
    assert after.basis == "remembered"
    assert (after.expected.decode_tok_s, after.expected.prefill_tok_s, after.expected.basis) == (42.0, 900.0, "measured")
    assert "this very plan worked on 2026-01-03: Card 0 held" in codes(after)["remembered"]


def test_a_run_that_spilled_into_ram_is_no_measure_for_plans_on_the_cards() -> None:
    plan = planned(RIG, MODEL, ASKED)
    run = a_run(RIG, MODEL, ASKED, an_attempt(plan, ASKED, decode_tok_s=4.9, spilled="Card 0 spilled into RAM"))
    for asked in (ASKED, intent(context=4096)):
        after = plan_after(run, asked=asked)
        assert (after.basis, after.expected) == ("estimated", planned(RIG, MODEL, asked).expected)
    assert lesson_of(run) == ("a part of it lay in RAM unplanned: later plans take neither speed nor memory from it",)


def test_measured_speed_and_runtime_correct_neighbouring_plans() -> None:
    here = rig(replace(gpu(0, 2400), runtime_bytes=None))
    plan = planned(here, MODEL, ASKED)
    assert plan.devices[0].floor_bytes == 450 * MIB
    device = plan.devices[0]
    real = a_device(device, peak_bytes=device.used_bytes - 450 * MIB + 300 * MIB)
    half = (plan.expected.decode_tok_s or 0) / 2
    run = a_run(here, MODEL, ASKED, an_attempt(plan, ASKED, devices=(real,), decode_tok_s=half))
    for model, asked in ((MODEL, intent(context=4096)), (toy_model(8, name="toy-other"), ASKED)):
        naive, wise = planned(here, model, asked), plan_after(run, on=here, asked=asked, model=model)
        assert wise.devices[0].floor_bytes == 300 * MIB
        assert wise.expected.basis == "calibrated"
        assert wise.expected.decode_tok_s == pytest.approx((naive.expected.decode_tok_s or 0) / 2, rel=0.01)
    mixture = toy_model(experts=True, name="another-architecture")
    assert plan_after(run, on=here, model=mixture).expected.basis == "estimated"
    assert plan_after(run, on=here, model=mixture).devices[0].floor_bytes == 300 * MIB, "the runtime is the engine's, not the model's"


def test_under_wsl_the_runtime_is_what_the_engine_found_missing() -> None:
    here = rig(replace(gpu(0, 4000), runtime_bytes=None), platform="wsl2")
    plan = planned(here, MODEL, ASKED)
    assert plan.devices[0].floor_bytes == 1024 * MIB
    device = a_device(plan.devices[0], peak_bytes=None, engine_free_bytes=(4000 - 700) * MIB)
    run = a_run(here, MODEL, ASKED, an_attempt(plan, ASKED, devices=(device,), peak_basis="card"))
    assert plan_after(run, on=here).devices[0].floor_bytes == 700 * MIB


def test_what_tuning_found_best_is_used_where_the_user_set_nothing() -> None:
    best = Overrides(ubatch=256, fit_target_mib=(200, 200))
    plan = choose(RIG, MODEL, intent(ubatch=256, fit_target_mib=(200, 200)), [BUILD])
    trial = a_run(RIG, MODEL, ASKED, an_attempt(plan, ASKED, ubatch=256), trial=Trial(tuning="t", settings=best), chosen=True)
    after = plan_after(trial)
    assert "-ub 256" in " ".join(after.command)
    assert after.fit_target_mib == (200, 200)
    assert "micro-batch 256" in codes(after)["tuned"]
    own = intent(ubatch=64)
    assert "-ub 64" in " ".join(plan_after(replace(trial, requested=own.overrides), asked=own).command)
    full = rig(gpu(0, 700), gpu(1, 550))
    assert plan_after(trial, on=full).status == planned(full, MODEL, ASKED).status, "not where it would serve worse"


def test_no_lessons_change_nothing() -> None:
    assert choose(RIG, MODEL, ASKED, [BUILD], lessons=Lessons()) == planned(RIG, MODEL, ASKED)

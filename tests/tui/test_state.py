"""What happens to the state, without any screen."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from rigtui.intent.intent import Intent, Overrides
from rigtui.runs.state import LaunchRequest
from rigtui.tui import state as st
from rigtui.tui.allowed import allowed
from rigtui.tui.state import Cockpit
from tui.fakes.models import BROKEN, BUILD, MODELS, USE_CASES, candidates
from tui.fakes.plans import plan_for
from tui.fakes.rigs import two_cards
from tui.fakes.runs import run_state

START = st.with_candidates(Cockpit(use_cases=USE_CASES), candidates(*MODELS), done=True)


def planned(state: Cockpit) -> Cockpit:
    asked = st.ask_plan(state)
    return st.with_plan(asked, asked.asked, plan_for(two_cards(), MODELS[0], st.intent(asked), ()))


def test_the_first_model_that_can_be_used_is_chosen():
    state = st.with_candidates(Cockpit(), (BROKEN, *candidates(*MODELS)), done=True)
    assert state.selected == MODELS[0].path


def test_a_choice_survives_later_finds_and_goes_with_its_model():
    state = st.with_candidates(st.select(START, MODELS[2].path), candidates(*MODELS), done=True)
    assert state.selected == MODELS[2].path
    assert st.with_candidates(state, candidates(*MODELS[:2]), done=True).selected == MODELS[0].path


def test_what_a_run_works_with_stays_chosen_as_long_as_it_works():
    elsewhere = st.attach(st.with_runs(replace(START, selected="/elsewhere.gguf"), (run_state("a", "ready"),)), "a")
    assert st.with_candidates(elsewhere, candidates(*MODELS), done=True).selected == "/elsewhere.gguf"
    ended = st.with_runs(elsewhere, (run_state("a", "stopped"),))
    assert st.with_candidates(ended, candidates(*MODELS), done=True).selected == MODELS[0].path


def test_a_stale_plan_is_dropped():
    first = st.ask_plan(START)
    second = st.ask_plan(st.next_use_case(first, 1))
    plan = plan_for(two_cards(), MODELS[0], st.intent(first), ())
    assert st.with_plan(second, first.asked, plan).plan is None
    assert st.with_plan(second, second.asked, plan).plan is plan


def test_context_steps_over_powers_of_two_within_the_model():
    state = planned(START)
    assert st.context_now(state) == 65536
    assert st.step_context(state, 1).overrides.context == 131072
    assert st.step_context(state, -1).overrides.context == 32768
    odd = st.with_context(state, 70000)
    assert st.step_context(odd, 1).overrides.context == 131072
    assert st.step_context(odd, -1).overrides.context == 65536
    top = st.step_context(st.with_context(state, 200000), 1)
    assert top.overrides.context == 262144 == st.step_context(top, 1).overrides.context
    assert st.step_context(st.with_context(state, 1024), -1).overrides.context == 1024


def test_a_trained_context_that_is_no_power_of_two_can_be_reached_and_left():
    state = st.with_context(st.select(START, MODELS[1].path), 32768)
    most = st.step_context(state, 1)
    assert most.overrides.context == 40960
    assert st.step_context(most, -1).overrides.context == 32768


def test_the_users_context_goes_along_from_model_to_model():
    state = st.with_context(START, 131072)
    for model in (MODELS[3], MODELS[1], MODELS[0]):  # the second was trained for 40,960 tokens
        state = st.select(state, model.path)
        assert state.overrides.context == st.intent(state).overrides.context == 131072
    assert st.step_context(st.select(state, MODELS[1].path), -1).overrides.context == 40960


def test_the_list_asks_for_every_model_what_would_be_asked_if_it_were_chosen():
    state = st.with_context(START, 131072)
    asked = st.wanted_of_all(state)
    assert {path: wanted for path, (_, wanted) in asked.items()} == {path: st.intent(st.select(state, path)) for path in asked}


def test_kv_types_go_round_through_rigtuis_own_choice():
    state, seen = START, []
    for _ in range(5):
        state = st.cycle_kv(state, 1)
        seen.append(state.overrides.kv_type)
    assert seen == [("q8_0", "q8_0"), ("q5_1", "q5_1"), ("q4_0", "q4_0"), ("f16", "f16"), None]
    assert st.cycle_kv(START, -1).overrides.kv_type == ("f16", "f16")


@pytest.mark.parametrize(
    ("chosen", "after", "before"),
    [
        ("f16", ["q8_0", "q5_1", "q4_0", "f16", None], "q4_0"),
        ("q8_0", ["q5_1", "q4_0", "f16", None], "f16"),
        ("q5_1", ["q4_0", "f16", None], "f16"),
        ("q4_0", ["f16", None], "f16"),
    ],
)
def test_the_key_of_the_kv_type_goes_to_a_smaller_one_than_rigtui_has_chosen(chosen, after, before):
    auto = planned(START)
    auto = replace(auto, plan=replace(auto.plan, kv_type=(chosen, chosen)))
    state, seen = auto, []
    for _ in after:
        state = st.cycle_kv(state, 1)
        seen.append(state.overrides.kv_type)
    assert seen == [kind and (kind, kind) for kind in after]
    assert st.cycle_kv(auto, -1).overrides.kv_type == (before, before)


def test_a_plan_with_the_users_kv_type_does_not_say_what_rigtui_would_take():
    own = planned(st.cycle_kv(planned(START), 1))
    given_back = replace(own, overrides=Overrides())
    assert own.plan.kv_type == ("q5_1", "q5_1")
    assert st.cycle_kv(given_back, 1).overrides.kv_type == ("q8_0", "q8_0")


def test_reset_takes_back_what_the_user_set():
    changed = st.cycle_kv(st.with_context(START, 4096), 1)
    assert changed.changed
    assert st.reset(changed).overrides == Overrides()
    assert not st.reset(changed).changed


def test_history_is_bounded_and_on_the_scale_of_the_card():
    state = START
    for _ in range(st.HISTORY + 5):
        state = st.with_rig(state, two_cards())
    assert len(state.history["GPU-0"]) == st.HISTORY
    assert state.history["GPU-0"][-1] == round(1 - 23700 / 24564, 3)


def test_the_newest_live_run_is_shown_and_stays_shown_when_it_ends():
    old, new = run_state("old", "stopped"), run_state("new", "ready")
    state = st.with_runs(START, (old, new))
    assert state.attached == "new"
    assert st.with_runs(state, (old, replace(new, phase="stopped"))).attached == "new"
    assert st.with_runs(state, (old,)).attached is None


def test_a_run_just_launched_stays_shown_through_a_look_that_began_before():
    other, mine = run_state("other", "ready"), run_state("mine", "starting")
    state = st.attach(replace(st.with_runs(START, (other,)), launching=True), "mine")
    late = st.with_runs(state, (other,))
    assert (late.attached, late.launching) == ("mine", True)
    arrived = st.with_runs(late, (other, mine))
    assert (arrived.run, arrived.launching) == (mine, False)
    assert st.with_runs(arrived, (other,)).attached == "other"


def test_adopting_a_run_restores_what_it_was_launched_with():
    intent = Intent(use_case=USE_CASES[2], overrides=Overrides(context=131072))
    request = LaunchRequest(plan=plan_for(two_cards(), MODELS[3], intent, ()), intent=intent, build=BUILD, model=MODELS[3].name)
    state = st.adopt(st.with_runs(START, (run_state("a", "ready"),)), request)
    assert (state.selected, state.chosen_use_case, state.overrides) == (MODELS[3].path, USE_CASES[2], intent.overrides)
    assert state.plan is request.plan
    assert not state.preview
    assert st.with_context(state, 4096).preview


def test_a_profile_saved_here_names_the_intent_until_something_changes():
    saved = replace(START, saved=("mine", START.choice))
    assert st.intent(saved).profile == "mine"
    assert st.intent(st.with_context(saved, 4096)).profile is None


def test_default_names_tell_choices_apart():
    plain = st.default_name(START.candidate, st.intent(START))
    other = st.default_name(START.candidate, st.intent(st.cycle_kv(st.with_context(START, 4096), 1)))
    assert plain == f"{MODELS[0].name}-chat"
    assert other == f"{MODELS[0].name}-chat-4096-q8_0"


def test_only_what_does_something_is_offered():
    empty = set(allowed(Cockpit()))
    assert {"model.folder", "app.help", "app.quit"} <= empty
    assert not empty & {"engine.launch", "engine.stop", "plan.context_more", "plan.reset"}
    ready = set(allowed(st.with_runs(planned(START), (run_state("a", "ready"),))))
    assert {"engine.launch", "engine.stop", "engine.ask", "engine.log", "profile.export"} <= ready
    loading = set(allowed(st.with_runs(planned(START), (run_state("a", "loading"),))))
    assert "engine.ask" not in loading and "engine.stop" in loading
    ended = set(allowed(st.with_runs(replace(START, attached="a"), (run_state("a", "failed"),))))
    assert "engine.stop" not in ended and "engine.log" in ended

"""What would work instead is taken with a key, and given back with one."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from rigtui.errors import UsageError
from rigtui.intent.intent import Intent, Overrides
from rigtui.planning.choose import summary
from rigtui.planning.plan import Alternative, Expected, Plan, PlanHost
from rigtui.tui import comparing
from rigtui.tui import state as st
from rigtui.tui.state import Cockpit
from rigtui.tui.taking import fewest, named, take
from tui.fakes.models import MODELS, USE_CASES
from tui.fakes.plans import plan_for
from tui.fakes.rigs import no_gpu_rig, two_cards
from tui.fakes.world import World

RIG = two_cards()


def plan(**own) -> Plan:
    return plan_for(RIG, MODELS[0], Intent(use_case=USE_CASES[0], overrides=Overrides(**own)), ())


ALONE = plan(gpus=("GPU-0",), kv_type=("q8_0", "q8_0"), context=4096)


def offer(other: Plan) -> Alternative:
    return Alternative(engine=other.engine, summary=summary(other), status=other.status, context=other.context, expected=other.expected)


def offering_world() -> World:
    world = World(two_cards())
    world.others = (ALONE,)
    world.derive = lambda rig, model, intent, builds: replace(plan_for(rig, model, intent, builds), alternatives=(offer(ALONE),))
    return world


def test_cards_in_their_order_kv_type_and_context_become_the_users():
    state = Cockpit(rig=RIG, plan=plan(), overrides=Overrides(ubatch=256, fit_target_mib=(1, 2)), use_cases=USE_CASES)
    turned = replace(plan(), devices=tuple(reversed(plan().devices)))
    assert take(state, turned).overrides == Overrides(
        ubatch=256, gpus=("GPU-1", "GPU-0"), fit_target_mib=(2, 1), kv_type=("q8_0", "q8_0"), context=plan().context_per_slot
    )
    assert take(state, replace(turned, engine="vllm")).engine == "vllm" and take(state, turned).engine == "auto"
    assert st.reset(take(state, turned)).overrides == state.initial


def test_only_what_a_plan_needs_to_come_out_is_set():
    state = Cockpit(rig=RIG, plan=plan(), use_cases=USE_CASES)

    def derived(chosen: Cockpit) -> Plan:
        return plan(gpus=chosen.overrides.gpus, kv_type=chosen.overrides.kv_type, context=chosen.overrides.context)

    usual = plan(gpus=("GPU-0",))
    assert fewest(state, usual, derived)[0].overrides == Overrides(gpus=("GPU-0",))
    assert fewest(state, ALONE, derived)[0].overrides == Overrides(gpus=("GPU-0",), context=4096)
    own = replace(state, overrides=Overrides(kv_type=usual.kv_type))
    assert fewest(own, usual, derived)[0].overrides == Overrides(gpus=("GPU-0",), kv_type=usual.kv_type)


def test_a_plan_that_comes_out_otherwise_as_the_users_own_says_so():
    faster = replace(ALONE, expected=Expected(decode_tok_s=80.0))
    taken, note = fewest(Cockpit(rig=RIG, plan=plan(), use_cases=USE_CASES), faster, lambda _chosen: ALONE)
    assert taken.overrides.gpus == ("GPU-0",)
    assert note == "as your own choice it is 4,096 tokens with KV q8_0, about 38 tok/s instead of 4,096 tokens with KV q8_0, about 80 tok/s"


def test_what_no_choice_gives_is_one_sentence():
    on_cpu = replace(plan(), devices=(), host=PlanHost(offloaded_layers=48))
    state = Cockpit(rig=RIG, plan=plan(), use_cases=USE_CASES)
    with pytest.raises(UsageError, match="leaves the cards alone"):
        take(state, on_cpu)
    with pytest.raises(UsageError, match="the rig changed"):
        take(replace(state, rig=no_gpu_rig()), plan())
    assert take(replace(state, rig=no_gpu_rig()), on_cpu).overrides.gpus is None


def test_an_alternative_of_another_file_has_no_plan_here():
    assert named(offer(ALONE), (plan(), ALONE)) is ALONE
    assert named(replace(offer(ALONE), engine="vllm"), (plan(), ALONE)) is None


def test_a_card_has_one_row_whatever_its_place_and_what_nobody_knows_has_none():
    turned = replace(plan(), devices=tuple(reversed(plan().devices)))
    shown = (comparing.Column("now", plan(), "r"), comparing.Column("instead 1", turned, "r"))
    lines = [line.plain for line in comparing.table(shown, 0, 100)]
    cards = [line for line in lines if "RTX" in line]
    assert [line.count("4090") for line in cards] == [2, 0] and [line.count("5070") for line in cards] == [0, 2]
    assert not any("prefill" in line for line in lines)


async def test_its_number_takes_it_and_undo_gives_it_back(cockpit):
    async with cockpit(offering_world(), size=(120, 36)) as screen:
        await screen.press("1")
        await screen.until(lambda: screen.state.overrides.gpus == ("GPU-0",) and screen.state.plan and len(screen.state.plan.devices) == 1)
        assert "4,096 (yours)" in screen.part("#choices")
        await screen.press("r")
        await screen.until(lambda: not screen.state.changed and len(screen.state.plan.devices) == 2)


async def test_one_that_needs_another_file_says_so(cockpit):
    world = offering_world()
    world.others = ()
    async with cockpit(world) as screen:
        await screen.press("1")
        await screen.until(lambda: "needs another file" in screen.told)
        await screen.press("2")
        assert not screen.state.changed


async def test_enter_or_a_second_click_takes_the_column_of_the_comparison(cockpit):
    async with cockpit(offering_world(), size=(120, 36)) as screen:
        for by_mouse in (False, True):
            await screen.press("c")
            await screen.until(lambda: "instead 1" in screen.text())
            lines = screen.text().splitlines()
            y = next(at for at, line in enumerate(lines) if "instead 1" in line)
            place = (lines[y].index("instead 1"), y)
            if by_mouse:
                await screen.pilot.click(offset=place)
                await screen.until(lambda: "▸ instead 1" in screen.text())
                await screen.pilot.click(offset=place)
            else:
                await screen.press("right", "enter")
            await screen.until(lambda: len(screen.app.screen_stack) == 1 and screen.state.overrides.gpus == ("GPU-0",))
            await screen.press("r")
            await screen.until(lambda: not screen.state.changed and len(screen.state.plan.devices) == 2)

"""The plan on the screen is verified by its engine in the background; whatever becomes of that, the screen goes on."""

from __future__ import annotations

from msgspec.structs import replace

from rigtui.text import MIB
from tui.conftest import Cockpit
from tui.fakes.rigs import two_cards
from tui.fakes.runs import run_state
from tui.fakes.world import World


def world(**more: object) -> World:
    made = World(two_cards())
    made.verifiable = True
    for name, value in more.items():
        setattr(made, name, value)
    return made


async def test_an_estimate_becomes_verified_by_itself(cockpit: Cockpit) -> None:
    here = world()
    async with cockpit(here) as screen:
        await screen.until(lambda: "the engine is being asked" in screen.part("#plan"), "the question")
        here.verify_gate.set()
        await screen.until(lambda: "· verified" in screen.part("#plan"), "the answer")
        assert here.verify_calls == 1


async def test_keys_are_answered_while_the_engine_is_asked_and_call_the_question_off(cockpit: Cockpit) -> None:
    here = world()
    async with cockpit(here) as screen:
        await screen.until(lambda: screen.state.verifying, "the question")
        before = screen.state.plan
        await screen.press("u")
        await screen.until(lambda: screen.state.plan is not before, "the next plan")
        await screen.until(lambda: here.called_off == 1, "the end of the first question")
        await screen.until(lambda: here.verify_calls == 2, "the next question")


async def test_an_engine_that_fails_leaves_the_estimate_and_is_not_asked_again(cockpit: Cockpit) -> None:
    here = world(verify_problem="the engine's dry run was killed by signal 11 before it said what it would do")
    here.verify_gate.set()
    async with cockpit(here) as screen:
        await screen.until(lambda: "killed by signal 11" in screen.part("#plan"), "why")
        for _ in range(10):
            await screen.pilot.pause(0.03)
        assert here.verify_calls == 1


async def test_what_the_dry_run_itself_holds_changes_no_plan(cockpit: Cockpit) -> None:
    here = world()
    async with cockpit(here) as screen:
        await screen.until(lambda: screen.state.verifying, "the question")
        stamp, full = screen.state.asked, here.rig
        here.rig = replace(full, gpus=tuple(replace(gpu, free_bytes=(gpu.free_bytes or 0) - 450 * MIB) for gpu in full.gpus))
        await screen.until(lambda: screen.state.rig == here.rig, "the next reading")
        assert screen.state.asked == stamp
        here.rig = full
        here.verify_gate.set()
        await screen.until(lambda: screen.state.plan and screen.state.plan.basis == "verified", "the answer")
        assert screen.state.plan is not None
        assert screen.state.plan.devices[0].free_before_bytes == full.gpus[0].free_bytes


async def test_no_engine_is_asked_while_a_run_loads(cockpit: Cockpit) -> None:
    here = world(runs=(run_state("r1", "loading"),))
    async with cockpit(here) as screen:
        await screen.until(lambda: screen.state.runs, "the run")
        calls = here.verify_calls
        await screen.press("u")
        for _ in range(10):
            await screen.pilot.pause(0.03)
        assert here.verify_calls == calls


async def test_a_launch_that_fails_calls_the_question_off_and_the_plan_goes_on_with_the_rig(cockpit: Cockpit) -> None:
    here = world(launch_problem="port 8080 is taken by another program; set another one")
    async with cockpit(here) as screen:
        await screen.until(lambda: screen.state.verifying, "the question")
        await screen.press("l")
        await screen.until(lambda: "port 8080 is taken" in screen.told and here.called_off == 1, "the end of both")
        assert "the engine is being asked" not in screen.part("#plan")
        stamp = screen.state.asked
        here.rig = replace(here.rig, gpus=tuple(replace(gpu, free_bytes=(gpu.free_bytes or 0) - 2000 * MIB) for gpu in here.rig.gpus))
        await screen.until(lambda: screen.state.asked > stamp, "a plan for what is free now")

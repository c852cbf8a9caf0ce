"""Launching and stopping from the cockpit: what is asked first, what is said meanwhile, and what is refused."""

from __future__ import annotations

from msgspec.structs import force_setattr, replace
from textual.widgets import Input

from rigtui.intent.intent import Intent
from rigtui.planning.plan import Expected
from rigtui.runs.state import OfferedStep
from rigtui.text import MIB
from rigtui.tui.screens.dialogs import QuestionScreen
from tui.fakes.models import MODELS, USE_CASES
from tui.fakes.plans import plan_for
from tui.fakes.rigs import two_cards
from tui.fakes.runs import run_state
from tui.fakes.world import World


async def test_launch_shows_loading_then_ready_with_everything_to_use_it(cockpit):
    world = World(two_cards())
    world.log = ("load_tensors: offloaded 49/49 layers to GPU",)
    async with cockpit(world) as screen:
        await screen.press("l")
        await screen.until(lambda: "loading" in screen.text() and "42%" in screen.text())
        assert world.launched == [(MODELS[0].path, Intent(use_case=USE_CASES[0]), "attach")]
        await screen.until(lambda: "offloaded 49/49" in screen.text())
        world.runs = (replace(run_state("new1"), model=MODELS[0].name),)
        await screen.until(lambda: "ready :8080" in screen.text())
        text = screen.text()
        for words in ("http://127.0.0.1:8080/v1", "qwen3-coder-30b", "38.2 tok/s", "asks a test question", "copies a curl command"):
            assert words in text


async def test_the_plan_says_what_was_measured_once_the_run_has_been(cockpit):
    world = World(two_cards())
    ready = replace(run_state("new1"), model=MODELS[0].name, measuring=True)

    def derive(rig, chosen, intent, builds):
        plan = plan_for(rig, chosen, intent, builds)
        known = ready.run in {run.run for run in world.runs if run.phase == "ready" and not run.measuring}
        return replace(plan, expected=Expected(decode_tok_s=25.8, basis="measured")) if known else plan

    world.derive = derive
    async with cockpit(world) as screen:
        await screen.until(lambda: "about 38 tok/s" in screen.part("#plan"))
        before = screen.state.plan.devices
        await screen.press("l")
        await screen.until(lambda: screen.state.run)
        world.rig = replace(world.rig, gpus=tuple(replace(card, free_bytes=2000 * MIB) for card in world.rig.gpus))
        world.runs = (ready,)
        await screen.until(lambda: "measuring its speed" in screen.part("#engine") and screen.state.rig.gpus[0].free_bytes == 2000 * MIB)
        assert "about 38 tok/s" in screen.part("#plan")
        world.runs = (replace(ready, measuring=False),)
        await screen.until(lambda: "26 tok/s measured" in screen.part("#plan"))
        assert screen.state.plan.devices == before, "what it holds is not asked for twice"


async def test_what_runs_is_not_drawn_over_the_bars_a_second_time(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        assert "weights" in next(line for line in screen.text().splitlines() if "0 RTX 4090" in line)
        await screen.press("l")
        await screen.until(lambda: screen.state.run)
        assert "weights" not in next(line for line in screen.text().splitlines() if "0 RTX 4090" in line)
        await screen.press("left_square_bracket")
        await screen.until(lambda: "weights" in next(line for line in screen.text().splitlines() if "0 RTX 4090" in line))


async def test_launching_beside_a_run_asks_first(cockpit):
    world = World(two_cards())
    world.runs = (run_state("other", model="another", model_path="/models/other.gguf"),)
    async with cockpit(world) as screen:
        await screen.until(lambda: screen.state.runs)
        await screen.press("l")
        await screen.until(lambda: isinstance(screen.app.screen, QuestionScreen))
        assert "another (ready, port 8080)" in screen.text()
        await screen.press("escape")
        assert not world.launched
        await screen.press("l")
        await screen.until(lambda: isinstance(screen.app.screen, QuestionScreen))
        await screen.press("down", "enter")
        await screen.until(lambda: world.launched)
        assert world.launched[0][2] == "beside"
        await screen.until(lambda: len(screen.state.runs) == 2)
        await screen.press("l")
        await screen.until(lambda: isinstance(screen.app.screen, QuestionScreen))
        await screen.press("enter")
        await screen.until(lambda: len(world.launched) == 2)
        assert world.launched[1][2] == "replace"


async def test_on_the_rig_of_a_file_it_is_asked_whether_this_machine_is_meant(cockpit):
    world = World(replace(two_cards(), name="desk", simulated=True))
    world.runs = (run_state("other", model="another", model_path="/models/other.gguf"),)
    async with cockpit(world) as screen:
        await screen.until(lambda: screen.state.runs)
        for keys in (("escape",), ("enter",), ("down", "enter")):  # left, "Launch nothing", "all the same"
            await screen.press("l")
            await screen.until(lambda: "The engine would start on this machine" in " ".join(screen.text().split()))
            assert not world.launched
            await screen.press(*keys)
        await screen.until(lambda: "another (ready, port 8080)" in screen.text())
        await screen.press("enter")
        await screen.until(lambda: world.launched == [(MODELS[0].path, Intent(use_case=USE_CASES[0]), "replace")])


async def test_what_the_demo_brings_along_is_launched_unasked(cockpit):
    world = World(replace(two_cards(), simulated=True))
    world.own = {MODELS[0].path}
    async with cockpit(world) as screen:
        await screen.press("l")
        await screen.until(lambda: world.launched)
        assert screen.app.screen is screen.app.cockpit, "no question"


async def test_what_a_launch_waits_for_is_said_as_long_as_it_waits(cockpit):
    world = World(two_cards())
    world.launch_says = "asking vLLM 0.33.0 (CUDA) what it can do; that takes up to a minute, and is done once"
    world.launch_gate.clear()
    async with cockpit(world, size=(80, 24)) as screen:
        await screen.press("l")
        await screen.until(lambda: "launching: asking vLLM 0.33.0 (CUDA) what it can do" in screen.part("#engine"))
        world.launch_gate.set()
        await screen.until(lambda: "loading" in screen.part("#engine") and "asking vLLM" not in screen.text())


async def test_a_launch_that_fails_says_so_and_can_be_tried_again(cockpit):
    world = World(two_cards())
    world.launch_problem = "port 8080 is taken by another program; set another one"
    async with cockpit(world) as screen:
        await screen.press("l")
        await screen.until(lambda: "port 8080 is taken" in screen.told)
        assert not screen.state.launching
        world.launch_problem = None
        await screen.press("l")
        await screen.until(lambda: world.launched)


async def test_a_plan_that_does_not_fit_is_not_launched(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        screen.app.cockpit.action_context_exact()
        await screen.until(lambda: len(screen.app.screen_stack) == 2)
        screen.app.screen.query_one(Input).value = "1000000"
        await screen.press("enter")
        await screen.press("k")
        world.rig = replace(world.rig, gpus=tuple(replace(card, free_bytes=2000 * MIB) for card in world.rig.gpus))
        world.derive = lambda rig, chosen, intent, builds: replace(plan_for(rig, chosen, intent, builds), status="no_fit")
        force_setattr(screen.app.cockpit.services, "derive", world.derive)
        await screen.until(lambda: screen.state.plan and screen.state.plan.status == "no_fit")
        assert "DOES NOT FIT" in screen.text()
        await screen.press("l")
        await screen.until(lambda: "does not fit the rig" in screen.told)
        assert not world.launched


async def test_stop_asks_and_then_stops_the_shown_run(running):
    async with running() as screen:
        await screen.press("s")
        await screen.until(lambda: isinstance(screen.app.screen, QuestionScreen))
        await screen.press("down", "enter")
        assert screen.world.stopped == []
        await screen.press("s")
        await screen.until(lambda: isinstance(screen.app.screen, QuestionScreen))
        await screen.press("enter")
        await screen.until(lambda: screen.world.stopped == ["a"])
        await screen.until(lambda: "stopped" in screen.text())


async def test_another_step_of_the_ladder_is_taken_by_hand(running):
    steps = tuple(OfferedStep(text=f"it ran out: way {n}", summary="1 GPU", status="fits", context=8192) for n in range(3))
    async with running(phase="loading", attempt=2, steps=steps, step=0) as screen:
        await screen.press("s")
        await screen.until(lambda: isinstance(screen.app.screen, QuestionScreen))
        await screen.press("down", "down", "enter")
        await screen.until(lambda: screen.world.steps_taken == [("a", 2)])
        assert screen.world.stopped == []


async def test_leaving_keeps_engines_running_and_says_so(cockpit):
    world = World(two_cards())
    world.runs = (run_state("a", profile="coder"),)
    async with cockpit(world, program=".venv/bin/rigtui") as screen:
        await screen.until(lambda: screen.state.run)
        farewell = str(screen.app._farewell())
        assert "coder at http://127.0.0.1:8080 keeps running" in farewell
        assert "`.venv/bin/rigtui` shows it again, `.venv/bin/rigtui stop a` ends it" in farewell
        await screen.press("q")
        assert not screen.app.is_running
        assert world.stopped == []

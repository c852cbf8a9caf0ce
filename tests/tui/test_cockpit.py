"""The cockpit as a whole: what a person sees first, what fits the terminal, the keys, and that a fault leaves the screen standing."""

from __future__ import annotations

import pytest
from msgspec.structs import force_setattr
from textual.command import CommandList

from tui.fakes.plans import plan_for
from tui.fakes.rigs import eight_cards, no_gpu_rig, two_cards, wsl_rig
from tui.fakes.runs import run_state
from tui.fakes.world import World, failing


async def test_the_screen_shows_the_rig_the_cards_and_the_plan(cockpit):
    async with cockpit(World(two_cards())) as screen:
        text = screen.text()
        for words in ("mixed-rig · Linux · driver 580.95 · CUDA 13.0", "no engine running", "0 RTX 4090", "1 RTX 5070 Ti", "RAM"):
            assert words in text
        assert "FITS" in text and "llama.cpp on 2 GPUs · about 38 tok/s" in text
        assert "GPU 0: 0–31 · GPU 1: 32–47 + head" in text
        assert "FIT_TARGET 128,1024" in text
        assert "The RTX 4090 alone is 1.9 GiB short" in text


@pytest.mark.parametrize("rig", [two_cards(), eight_cards(), wsl_rig(), no_gpu_rig()], ids=["two", "eight", "wsl", "none"])
@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_nothing_is_wider_or_higher_than_the_terminal(cockpit, rig, size):
    async with cockpit(World(rig), size=size) as screen:
        lines = screen.text().splitlines()
        assert max(map(len, lines)) <= size[0]
        assert not screen.app.screen.max_scroll_x and not screen.app.screen.max_scroll_y
        for widget in screen.app.screen.query("#bars, #models, #model-list, #choices, #plan, #engine, #hints"):
            assert widget.region.right <= size[0] and widget.region.bottom <= size[1], widget
            assert widget.region.height >= 1
            assert not widget.show_horizontal_scrollbar


async def test_every_hint_on_the_line_is_a_key_that_works_now(cockpit):
    from rigtui.tui.actions import ACTIONS
    from rigtui.tui.allowed import allowed
    from rigtui.tui.keys import Keys

    world = World(two_cards())
    world.runs = (run_state("a"),)
    for size in ((80, 24), (160, 48)):
        async with cockpit(world, size=size) as screen:
            await screen.until(lambda: screen.state.run)
            line = screen.text().splitlines()[-1]
            here = [action for action in ACTIONS if action.screen in ("cockpit", "app")]
            hint = {action.id: f"{Keys().shown(action.id)} {action.hint}" for action in here}
            shown = [action for action in here if hint[action.id] in line]
            assert {"l launch", "s stop", "? help", "q quit"} <= {hint[action.id] for action in shown}
            assert {action.id for action in shown} <= set(allowed(screen.state))


async def test_the_palette_finds_an_action_and_does_it(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await screen.press("ctrl+p")
        await screen.until(lambda: len(screen.app.screen_stack) == 2)
        await screen.press(*"next use case")
        await screen.pilot.pause(0.3)
        await screen.press("enter")
        await screen.until(lambda: screen.state.use_case == 1)
        assert screen.app.screen is screen.app.cockpit


@pytest.mark.parametrize("words", ["svg", "screenshot", "save a picture of the screen"])
async def test_a_picture_of_the_screen_is_found_in_the_palette(cockpit, monkeypatch, tmp_path, words):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "Pictures").mkdir()
    async with cockpit(World(two_cards())) as screen:
        await screen.press("ctrl+p")
        await screen.until(lambda: len(screen.app.screen_stack) == 2)
        await screen.press(*words)
        found = screen.app.screen.query_one(CommandList)
        await screen.until(lambda: found.option_count and "app: SVG screenshot (F12)" in found.get_option_at_index(0).prompt.plain)
        await screen.pilot.pause(0.3)
        await screen.press("enter")
        await screen.until(lambda: str(tmp_path / "Pictures") in screen.told)
        (picture,) = (tmp_path / "Pictures").glob("*.svg")
        assert "Search" not in picture.read_text(), "of the screen, not of the palette"


async def test_a_fault_in_the_planner_is_told_and_the_screen_goes_on(cockpit):
    world = World(two_cards())
    world.derive = failing(ZeroDivisionError("heads"))
    async with cockpit(world) as screen:
        await screen.until(lambda: "a fault in rigtui itself (plan): ZeroDivisionError: heads" in screen.told)
        assert "No plan" in screen.part("#plan")
        force_setattr(screen.app.cockpit.services, "derive", plan_for)
        await screen.press("down")
        await screen.until(lambda: screen.state.plan)


@pytest.mark.parametrize("size", [(60, 20), (40, 12), (30, 8)])
async def test_the_line_of_the_keys_stays_in_the_smallest_terminal(cockpit, size):
    world = World(two_cards())
    world.runs = (run_state(),)
    async with cockpit(world, size=size) as screen:
        await screen.until(lambda: screen.state.run)
        assert "q quit" in screen.text().splitlines()[-1]

"""The main things can be done with the mouse alone."""

from __future__ import annotations

from textual.widgets import Input

from rigtui.tui.screens.cards import CardsPage
from rigtui.tui.screens.dialogs import QuestionScreen
from rigtui.tui.widgets.model_list import ModelList
from tui.fakes.models import MODELS
from tui.fakes.rigs import busy_cards, two_cards
from tui.fakes.runs import run_state
from tui.fakes.world import World


async def click_words(screen, words: str) -> None:
    """Click in the middle of words on the screen, the last place where they stand."""
    lines = screen.text().splitlines()
    y = max(at for at, line in enumerate(lines) if words in line)
    assert await screen.pilot.click(offset=(lines[y].index(words) + len(words) // 2, y))
    await screen.pilot.pause()


async def click_in_row(screen, label: str, words: str) -> None:
    """Click on these words in the row of a choice."""
    lines = screen.text().splitlines()
    y = max(at for at, line in enumerate(lines) if label in line and "‹" in line)
    assert await screen.pilot.click(offset=(lines[y].index(words), y))
    await screen.pilot.pause()


async def test_a_click_on_a_value_chooses_its_row_and_changes_nothing(cockpit):
    async with cockpit(World(two_cards()), size=(120, 36)) as screen:
        await click_in_row(screen, "context", "65,536")
        await screen.until(lambda: "▸ context" in screen.text())
        assert not screen.state.changed
        await screen.press("left")
        await screen.until(lambda: screen.state.overrides.context == 32768)


async def test_pick_turn_launch_and_stop(cockpit):
    world = World(two_cards())
    async with cockpit(world, size=(160, 48)) as screen:
        await screen.pilot.click(ModelList, offset=(5, 2))
        await screen.until(lambda: screen.state.selected == MODELS[1].path)
        await click_in_row(screen, "use case", "›")
        await screen.until(lambda: screen.state.use_case == 1)
        await click_in_row(screen, "context", "‹")
        await screen.until(lambda: screen.state.overrides.context)
        await click_words(screen, "l launch")
        await screen.until(lambda: world.launched)
        assert world.launched[0][0] == MODELS[1].path
        world.runs = (run_state("new1", "ready", model=MODELS[1].name, model_path=MODELS[1].path),)
        await screen.until(lambda: screen.state.run and "s stop" in screen.text())
        await click_words(screen, "s stop")
        await screen.until(lambda: isinstance(screen.app.screen, QuestionScreen))
        await click_words(screen, f"Stop {MODELS[1].name}")
        await screen.until(lambda: world.stopped == ["new1"])


async def test_pages_open_and_close_by_clicks_on_bars_and_hints(cockpit):
    async with cockpit(World(busy_cards()), size=(160, 48)) as screen:
        await screen.pilot.click("#bars", offset=(40, 0))
        await screen.until(lambda: isinstance(screen.app.screen, CardsPage))
        await click_words(screen, "Esc back")
        await screen.until(lambda: len(screen.app.screen_stack) == 1)
        await click_words(screen, "P profiles")
        await screen.until(lambda: "Results" in screen.text())
        await click_words(screen, "Esc back")
        await screen.until(lambda: len(screen.app.screen_stack) == 1)
        await click_words(screen, "? help")
        await screen.until(lambda: "Launch the engine" in screen.text())


async def test_the_filter_opens_by_its_hint(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await click_words(screen, "/ filter")
        await screen.until(lambda: isinstance(screen.app.focused, Input))


async def test_what_a_dialog_says_of_its_keys_can_be_clicked(cockpit):
    world = World(two_cards())
    async with cockpit(world, size=(80, 24)) as screen:
        await screen.press("x")
        await screen.until(lambda: "f shows sh" in screen.text())
        await click_words(screen, "f shows sh")
        await screen.until(lambda: "not started by a command" in screen.text())
        await click_words(screen, "Esc closes")
        await screen.until(lambda: len(screen.app.screen_stack) == 1)
        await screen.press("p")
        await screen.until(lambda: "Enter takes it" in screen.text())
        await click_words(screen, "Enter takes it")
        await screen.until(lambda: world.saved)


async def test_what_the_engines_panel_says_of_its_keys_can_be_clicked(cockpit):
    world = World(two_cards())
    async with cockpit(world, size=(120, 36)) as screen:
        await click_words(screen, "launches this plan")
        await screen.until(lambda: world.launched)
        world.runs = (run_state("new1"),)
        await screen.until(lambda: "asks a test question" in screen.text())
        await click_words(screen, "copies a curl command")
        await screen.until(lambda: "curl http://" in screen.app.clipboard)
        await click_words(screen, "asks a test question")
        await screen.until(lambda: "Enter asks" in screen.text())
        await click_words(screen, "Enter asks")
        await screen.until(lambda: world.asked)


async def test_more_of_a_plan_than_there_is_room_for_is_said_in_its_border(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        assert "Plan · > more" in screen.text()
        await screen.press("tab", "tab", "end")
        await screen.until(lambda: "why" in screen.part("#plan") or "instead" in screen.part("#plan"))

"""Terminals that change their size, also to one that holds nothing: what is shown depends on the size alone, not on the way to it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from textual.geometry import Size
from textual.screen import Screen
from textual.widgets import Static

from rigtui.tui.services import LogLine
from tui.fakes.models import MODELS, candidates
from tui.fakes.rigs import busy_cards, eight_cards, two_cards
from tui.fakes.runs import run_state
from tui.fakes.world import World


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
@pytest.mark.parametrize("tiny", [(38, 9), (10, 3), (2, 2)])
@pytest.mark.parametrize("rig", [two_cards(), eight_cards()], ids=lambda rig: rig.name)
async def test_a_terminal_that_was_tiny_for_a_while_shows_what_it_did_before(cockpit, rig, size, tiny):
    async with cockpit(World(rig), size=size) as screen:
        await screen.until(lambda: len(screen.state.placements) == len(MODELS))
        screen.app.cockpit.watch_rig.end()
        await screen.until(lambda: not screen.app.cockpit._busy)
        await screen.pilot.pause(0.2)
        before = screen.text()
        await screen.pilot.resize_terminal(*tiny)
        await screen.pilot.pause()
        await screen.pilot.resize_terminal(*size)
        await screen.until(lambda: screen.text() == before, f"what was there before\n{before}\nbut:")


async def test_a_text_that_changes_again_before_it_was_laid_out_is_as_high_as_the_last_one(cockpit):
    async with cockpit(World(two_cards())) as screen:
        text = screen.app.screen.query_one("#plan-text", Static)
        # What a terminal on a busy machine does: its size changes while the part has not yet been heard.
        text.update("\n".join(["before"] * 7))
        screen.app.screen._screen_resized(screen.app.size - Size(0, 2))
        text.update("now\nthis")
        await screen.until(lambda: text.size.height == 2, "two lines")


SIZES = ((160, 48), (80, 24), (2, 2), (120, 36), (20, 60))
"""Large, small, tiny, and odd ones: every limit at which something is laid out in another way lies between two of them."""
MANY = candidates(*(replace(MODELS[at % 5], name=f"{MODELS[at % 5].name}-{at}", path=f"/models/{at}.gguf") for at in range(12)))


def draw(app) -> None:
    """Every part that is seen, as it is at this moment; nothing is taken from an earlier picture."""
    for layer in app.screen_stack:
        for widget in layer._compositor.visible_widgets:
            widget._set_dirty()
        layer._compositor.render_strips()


def draw_at_once(monkeypatch, app) -> None:
    """Draw as soon as parts have a new size: no part has been told of it by then."""
    lay_out = Screen._refresh_layout

    def lay_out_and_draw(screen, *arguments, **more):
        lay_out(screen, *arguments, **more)
        draw(app)

    monkeypatch.setattr(Screen, "_refresh_layout", lay_out_and_draw)


async def keys(screen, *names: str, shows: str) -> None:
    await screen.press(*names)
    await screen.until(lambda: shows in screen.text(), shows)


PLACES = {
    "cockpit": lambda screen: keys(screen, "down", "down", shows="Models"),
    "the last of the models": lambda screen: keys(screen, "end", shows="-11"),
    "the filter": lambda screen: keys(screen, "slash", *"qwen", shows="qwen"),
    "every choice": lambda screen: keys(screen, "w", "down", "down", shows="ubatch"),
    "a long plan": lambda screen: keys(screen, "tab", "tab", "end", shows="Plan"),
    "VRAM": lambda screen: keys(screen, "v", shows="Who holds"),
    "profiles": lambda screen: keys(screen, "P", shows="38.2"),
    "plot": lambda screen: keys(screen, "P", "v", shows="by run"),
    "tune": lambda screen: keys(screen, "P", "down", "T", shows="Tune writer"),
    "compare": lambda screen: keys(screen, "c", shows="status"),
    "runs": lambda screen: keys(screen, "R", shows="1 running"),
    "log": lambda screen: keys(screen, "o", shows="layer 199"),
    "ask": lambda screen: keys(screen, "a", "enter", shows="phones"),
    "cards": lambda screen: keys(screen, "w", "down", "enter", shows="Space takes"),
    "rigs": lambda screen: keys(screen, "G", shows="What if it were"),
    "help": lambda screen: keys(screen, "question_mark", shows="Help"),
}
"""Places that lay out what they show -> how to get there."""


@pytest.mark.parametrize("place", PLACES)
async def test_whatever_is_drawn_while_the_terminal_changes_its_size_can_be_drawn(cockpit, monkeypatch, place):
    world = World(busy_cards(), MANY)
    world.runs = (run_state("a", "ready"),)
    world.log = tuple(f"load_tensors: layer {at}" for at in range(200))
    world.lines += [LogLine(f"load_tensors: layer {at}", "info") for at in range(200)]
    async with cockpit(world, size=SIZES[0]) as screen:
        await screen.until(lambda: len(screen.state.placements) == len(MANY) and "layer 199" in screen.text())
        await PLACES[place](screen)
        draw_at_once(monkeypatch, screen.app)
        for size in SIZES:
            screen.app._driver._size = Size(*size)
            draw(screen.app)
            await screen.pilot.resize_terminal(*size)
            await screen.until(lambda: screen.app.screen.size == size)  # noqa: B023 - waited for here
            draw(screen.app)

"""What is sent when the screen changes: the same picture as a whole repaint, in far fewer bytes."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from rigtui.text import MIB
from rigtui.tui.frugal import FrugalUpdate, cells, changed
from tools.vt import Screen
from tui.fakes.models import MODELS, candidates
from tui.fakes.rigs import eight_cards, two_cards
from tui.fakes.world import World

CONSOLE = Console(color_system="truecolor", force_terminal=True)
STYLES = (None, Style(color="red"), Style(color="red", bold=True), Style(bgcolor="blue"))
WIDTH = 24
texts = st.text(alphabet="ab .█▓模é\u0301", min_size=0, max_size=8)
strips = st.lists(st.tuples(texts, st.sampled_from(STYLES)), max_size=5).map(
    lambda parts: Strip([Segment(text, style) for text, style in parts]).adjust_cell_length(WIDTH)
)


def update(sent, y, strip) -> FrugalUpdate:
    made = FrugalUpdate([{}] * y + [{0: strip}], [(y, 0, WIDTH)], [[]] * y + [[WIDTH]])
    made.sent = sent
    return made


@given(st.lists(st.tuples(st.integers(0, 2), strips), min_size=1, max_size=8))
def test_the_terminal_shows_what_was_drawn_last_whatever_came_before(drawn):
    sent, terminal, last = {}, Screen(WIDTH, 3), {}
    for y, strip in drawn:
        terminal.feed(update(sent, y, strip).render_segments(CONSOLE))
        last[y] = strip
    for y, strip in last.items():
        wanted = list(cells(strip, ColorSystem.TRUECOLOR))
        assert terminal.lines[y] == "".join(char for char, _ in wanted)
        assert terminal.styles[y] == [codes for _, codes in wanted]


@given(strips)
def test_nothing_is_sent_for_what_is_there_already(strip):
    sent = {}
    update(sent, 0, strip).render_segments(CONSOLE)
    assert update(sent, 0, Strip(list(strip))).render_segments(CONSOLE) == ""


def test_what_begins_where_a_change_ends_is_not_sent():
    """Of what does not reach into the change nothing was drawn: the background stands in its place."""
    beside = {0: Strip([Segment("new-")]), 4: Strip([Segment("----")])}
    made = FrugalUpdate([beside], [(0, 0, 4)], [[4, 8]])
    made.sent = {}
    terminal = Screen(8, 1)
    terminal.feed("old │││" + made.render_segments(CONSOLE))
    assert terminal.lines[0] == "new-│││ "


def row(text: str, codes: str = "1"):
    return [(char, codes) for char in text]


def test_only_what_differs_is_sent():
    assert changed(row("23.1 GiB"), row("23.2 GiB")) == [range(3, 4)]
    assert changed(row("a---b"), row("x---y")) == [range(5)], "a jump is as long as three cells"
    assert changed(row("a-----b"), row("x-----y")) == [range(1), range(6, 7)]
    assert changed(row("ab", "1"), row("ab", "2")) == [range(2)]
    assert changed([None] * 2, row("ab")) == [range(2)]


def test_a_wide_character_is_sent_whole():
    wide = [("模", "1"), ("", "1")]
    assert changed([*row("ab"), *wide], [*wide, *row("ab")]) == [range(4)]
    assert changed([("模", "1"), ("", "2")], wide) == [range(2)]


class Sink:
    """What a running app would write to its terminal, and the terminal."""

    def __init__(self, app, width: int, height: int) -> None:
        self._app, self._size = app, (width, height)
        self.sent = 0
        self.terminal = Screen(width, height)
        app._display = self._display

    def _display(self, screen, update) -> None:
        if update is not None and not self._app._batch_count:
            text = update.render_segments(CONSOLE)
            self.sent += len(text.encode())
            self.terminal.feed(text)

    def in_step(self) -> bool:
        """The terminal shows what is drawn."""
        return self.terminal.lines == [
            "".join(char for char, _ in cells(strip, ColorSystem.TRUECOLOR)) for strip in self._app.screen._compositor.render_strips()
        ]


@pytest.mark.parametrize("rig", [two_cards(), eight_cards()], ids=lambda rig: rig.name)
async def test_the_cockpit_sends_little_when_little_changes(cockpit, rig):
    world = World(rig, candidates(replace(MODELS[0], name="模型-Q4_K_M"), *MODELS[1:]))
    async with cockpit(world, size=(120, 36)) as screen:
        sink = Sink(screen.app, 120, 36)
        await screen.until(lambda: len(screen.state.placements) == len(MODELS))
        screen.app.screen.refresh()
        await screen.until(sink.in_step, "a whole picture")
        whole, sink.sent = sink.sent, 0
        first = replace(rig.gpus[0], utilization=57, temperature_c=52)
        world.rig = replace(rig, gpus=(first, *rig.gpus[1:]))
        await screen.until(lambda: "52°C" in "".join(sink.terminal.lines))
        await screen.until(sink.in_step)
        assert 0 < sink.sent < whole / 20
        world.rig = replace(rig, gpus=(replace(first, free_bytes=first.free_bytes - 2000 * MIB), *rig.gpus[1:]))
        for key in ("down", "u", "w", "escape", "v", "escape", "left_square_bracket", "question_mark", "escape", "up"):
            await screen.press(key)
            await screen.pilot.pause(0.05)
        await screen.until(sink.in_step, "the terminal shows what is drawn")


async def test_what_changes_below_a_dialog_is_drawn_again_and_below_a_page_it_is_not(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await screen.press("f")
        await screen.until(lambda: "Add a model folder" in screen.text())
        assert screen.app._background_screens == [screen.app.cockpit]
        await screen.press("escape", "P")
        await screen.until(lambda: "Profiles" in screen.text() and screen.app.screen is not screen.app.cockpit)
        assert screen.app._background_screens == []


def noted(drawn, name, draw, crop):
    drawn.append((name, crop.height))
    return draw(crop)


async def test_a_part_that_changes_has_no_other_drawn(cockpit, monkeypatch):
    async with cockpit(World(eight_cards()), size=(160, 48)) as screen:
        await screen.until(lambda: len(screen.state.placements) == len(MODELS))
        screen.app.cockpit.watch_rig.end()
        await screen.until(lambda: not screen.app.cockpit._busy)
        await screen.pilot.pause(0.2)
        drawn = []
        widgets = [*screen.app.cockpit.query("#bars, #models, #plan-text, #hints")]
        for widget in widgets:
            monkeypatch.setattr(widget, "render_lines", partial(noted, drawn, widget.id, widget.render_lines))
        whole = screen.app.cockpit._compositor.render_strips()
        drawn.clear()
        screen.app.cockpit.query_one("#hints").refresh()
        await screen.until(lambda: drawn)
        assert drawn == [("hints", 1)]
        assert screen.app.cockpit._compositor.render_strips() == whole

"""Surfaces and states stay apart at every depth of colour, in what is really sent to the terminal, and without any colour."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace
from rich.color import ColorSystem
from textual.color import Color

from rigtui.tui.frugal import cells
from rigtui.tui.run_text import PHASE_COLORS, PHASE_MARKS
from rigtui.tui.sixteen import STATES, SURFACES, apart, in_sixteen, slot
from rigtui.tui.theme import load_themes, read_theme
from tui.fakes.plans import plan_for
from tui.fakes.rigs import two_cards
from tui.fakes.world import World
from tui.test_theme import contrast

THEMES = [theme.name for theme in load_themes().themes]
SHIPPED = {theme.name: theme for theme in load_themes().themes}
DEPTHS = {"256": ColorSystem.EIGHT_BIT, "16": ColorSystem.STANDARD}
_GROUND = re.compile(r"(?:^|;)(48;5;\d+|48;2;\d+;\d+;\d+|4[0-7]|10[0-7])(?=;|$)")


def sent(screen, depth: ColorSystem) -> list[list[tuple[str, str]]]:
    """The lines of the screen as characters with the codes that a terminal of that depth gets for them."""
    return [list(cells(strip, depth)) for strip in screen.app.screen._compositor.render_strips()]


def ground(lines, x: int, y: int) -> str:
    """What is sent for the ground of a cell."""
    found = _GROUND.search(lines[y][x][1])
    assert found, f"no ground at {x},{y}: {lines[y][x]}"
    return found[1]


def states_world() -> World:
    """A plan for each state, by the context that is asked for."""
    world = World(two_cards())
    by_context = {65536: "fits", 32768: "tight", 16384: "no_fit"}

    def derive(rig, model, intent, builds):
        plan = plan_for(rig, model, intent, builds)
        return replace(plan, status=by_context.get(plan.context, "fits"))

    world.derive = derive
    return world


async def chips(screen, look) -> dict[str, object]:
    """The chip of each state as `look` sees it."""
    found = {}
    for word in ("FITS", "TIGHT", "DOES NOT FIT"):
        await screen.until(lambda word=word: f" {word} " in screen.text())
        found[word] = look(word)
        await screen.press("left_square_bracket")
    return found


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("theme", THEMES)
async def test_three_surfaces_and_three_states_are_sent_as_different_colours(cockpit, monkeypatch, theme, depth):
    system = DEPTHS[depth]
    name = {"256": "256", "16": "standard"}[depth]
    async with cockpit(states_world(), size=(100, 30), theme=theme, color_system=name) as screen:

        def chip(word: str) -> str:
            lines = sent(screen, system)
            y, x = next((y, line.index(f" {word} ") + 1) for y, line in enumerate(screen.text().splitlines()) if f" {word} " in line)
            return ground(lines, x, y)

        states = await chips(screen, chip)
        assert len(set(states.values())) == 3, states
        lines = sent(screen, system)
        panel, background = ground(lines, 0, 0), ground(lines, 99, 20)
        await screen.press("question_mark")
        await screen.until(lambda: "Help" in screen.text())
        box = screen.app.screen.query_one(".box").region
        surface = ground(sent(screen, system), box.x + 2, box.y + 2)
        assert len({panel, background, surface}) == 3, (panel, background, surface)


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
@pytest.mark.parametrize("more", [{"no_color": True}, {"color_system": "standard"}], ids=["none", "sixteen"])
async def test_what_a_part_of_a_bar_is_can_be_told_without_its_colour(cockpit, more, size):
    async with cockpit(World(two_cards()), size=size, **more) as screen:
        text = screen.part("#bars")
        marks = {"-": "reserved", "=": "desktop", "%": "others", "+": "used", "█": "weights", "▓": "KV", "▒": "compute", "░": "floor"}
        for mark, word in (marks | {"·": "headroom"}).items():
            assert re.search(rf"{re.escape(mark)} ?{word}", text), word
        bar = next(line for line in screen.text().splitlines() if "1 RTX 5070 Ti" in line)
        assert all(fill in bar for fill in "-%█▓▒░·")


async def test_without_colours_surfaces_and_states_are_told_by_attributes_lines_and_words(cockpit, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with cockpit(states_world(), size=(100, 30)) as screen:
        states = await chips(screen, lambda word: word)
        assert len(states) == 3
        lines = sent(screen, ColorSystem.TRUECOLOR)
        assert not any(_GROUND.search(codes) for line in lines for _, codes in line), "no ground is sent at all"
        reversed_ = [at for at, line in enumerate(lines) if "7" in line[2][1].split(";")]
        assert reversed_ == [0, 29], "the first and the last line are surfaces of their own"
        await screen.press("question_mark")
        await screen.until(lambda: "Help" in screen.text())
        assert "╭─ Help ─" in screen.text() and "closes ─╯" in screen.text(), "a dialog has a frame"


def test_phases_of_a_run_are_told_by_their_marks_and_words_too():
    for phase, other in (("ready", "failed"), ("ready", "loading"), ("failed", "loading")):
        assert PHASE_MARKS[phase] != PHASE_MARKS[other]
        assert PHASE_COLORS[phase] != PHASE_COLORS[other]


@pytest.mark.parametrize("theme", THEMES)
def test_what_is_drawn_with_sixteen_colours_uses_just_those_and_can_be_read(theme):
    found = in_sixteen(SHIPPED[theme])
    assert found.name == theme and found.dark == SHIPPED[theme].dark and apart(found)
    made = found.to_color_system().generate() | found.variables
    inks = ("foreground", "accent", *STATES) if found.dark else ("foreground", "accent", "error")
    for ink in inks:
        assert contrast(Color.parse(made[ink]), Color.parse(made["background"])) >= 4.5, ink
    for surface in SURFACES:
        assert contrast(Color.parse(made["foreground"]), Color.parse(made[surface])) >= 7, surface
        assert contrast(Color.parse(made["foreground-muted"]), Color.parse(made[surface])) >= 3, surface
    order = [f"bar-{part}" for part in ("reserved", "desktop", "others", "engines", "unknown", "weights", "kv", "compute", "floor")]
    order += ["bar-headroom", "bar-free"]
    slots = [slot(made[part]) for part in order]
    assert len(set(slots)) == len(slots)


def test_a_theme_that_keeps_them_apart_by_itself_stays_as_it_is(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\nprimary = "#5555ff"\nbackground = "#000000"\nsurface = "#0000aa"\npanel = "#555555"\n'
        'success = "#00aa00"\nwarning = "#ffff55"\nerror = "#aa0000"\n'
    )
    mine = read_theme(path)
    assert in_sixteen(mine) is mine


async def test_no_color_draws_without_any_colour_and_tells_kinds_apart_by_their_fill(cockpit, monkeypatch):
    async with cockpit(World(two_cards()), size=(80, 24), no_color=True) as screen:
        assert screen.app.theme == "ansi-dark"
        bar = next(line for line in screen.text().splitlines() if "1 RTX 5070 Ti" in line)
        assert "=" in bar and "█" in bar and "▒" in bar and "·" in bar
        for strip in screen.app.screen._compositor.render_strips():
            for segment in strip.apply_filter(screen.app._filters[-1], screen.app.screen.background_colors[1]):
                style = segment.style
                assert style is None or all(color is None or color.is_default for color in (style.color, style.bgcolor))

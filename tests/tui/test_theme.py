"""Themes: ours are readable at every colour depth, and no file of the user's can bring the screen down."""

from __future__ import annotations

import re
from itertools import combinations
from math import dist
from pathlib import Path

import pytest
from rich.color import ColorSystem
from textual.app import App, ComposeResult
from textual.color import Color, rgb_to_lab
from textual.theme import BUILTIN_THEMES, Theme
from textual.widgets import Footer, Input, Label, OptionList

from rigtui.errors import UsageError
from rigtui.paths import config_dir
from rigtui.tui.colors import variable_defaults
from rigtui.tui.theme import DEFAULT, load_themes, pick, read_theme
from tui.fakes.rigs import two_cards
from tui.fakes.world import World

SHIPPED = {theme.name: theme for theme in load_themes().themes}
OURS = sorted(SHIPPED)
SURFACES = ("background", "surface", "panel")
INK = ("#0b0d10", "#f4f6fa")


def colors(name: str) -> dict[str, Color]:
    theme = SHIPPED[name]
    values = theme.to_color_system().generate() | theme.variables
    return {
        key: Color.parse(value) for key, value in values.items() if key in ("foreground-muted", *SURFACES) or key in STYLED or "bar-" in key
    }


STYLED = (
    "foreground",
    "accent",
    "primary",
    "success",
    "warning",
    "error",
    "panel-lighten-1",
    "panel-lighten-2",
    "block-cursor-foreground",
    "block-cursor-background",
)


def luminance(color: Color) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [value / 255 for value in color.rgb]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Color, other: Color) -> float:
    """Contrast ratio, WCAG 2.2."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_contrast_formula_on_known_pairs() -> None:
    assert contrast(Color.parse("#000"), Color.parse("#fff")) == pytest.approx(21)
    assert contrast(Color.parse("#777"), Color.parse("#fff")) == pytest.approx(4.48, abs=0.01)


def test_what_ships() -> None:
    found = load_themes()
    assert found.problems == ()
    assert [theme.name for theme in found.themes] == [DEFAULT, "rigtui-contrast", "rigtui-light"]
    assert [theme.dark for theme in found.themes] == [True, True, False]


@pytest.mark.parametrize("name", OURS)
def test_text_can_be_read_on_every_surface(name: str) -> None:
    found = colors(name)
    for surface in SURFACES:
        for text in ("foreground", "foreground-muted", "accent", "primary", "success", "warning", "error"):
            least = 7 if name == "rigtui-contrast" and surface != "panel" else 4.5
            assert contrast(found[text], found[surface]) >= least, (text, surface)
    for status in ("success", "warning", "error"):
        assert contrast(found["background"], found[status]) >= 4.5, f"a chip of {status}"
    assert contrast(found["foreground"], found["panel-lighten-1"]) >= 4.5
    assert contrast(found["foreground"], found["background"].blend(found["primary"], 0.3)) >= 4.5
    assert contrast(found["block-cursor-foreground"], found["block-cursor-background"]) >= 4.5


@pytest.mark.parametrize("name", OURS)
def test_words_can_be_read_on_every_part_of_the_bars(name: str) -> None:
    found = colors(name)
    assert {key for key in found if key.startswith("bar-")} == set(variable_defaults())
    for part in variable_defaults():
        inks = [found["foreground"]] if part in ("bar-free", "bar-headroom") else [Color.parse(ink) for ink in INK]
        assert max(contrast(ink, found[part]) for ink in inks) >= 4.5, part


@pytest.mark.parametrize("name", OURS)
def test_surfaces_stay_apart_in_256_colours_and_statuses_in_16(name: str) -> None:
    found = colors(name)
    slots = {found[key].rich_color.downgrade(ColorSystem.EIGHT_BIT).number for key in SURFACES}
    assert len(slots) == 3
    statuses = {found[key].rich_color.downgrade(ColorSystem.STANDARD).number for key in ("success", "warning", "error")}
    assert len(statuses) == 3


APART = 20
"""Distance (CIE76) from which colours are told apart at a glance when they do not touch: about nine just noticeable ones (2.3)."""


def distance(one: Color, other: Color) -> float:
    return dist(rgb_to_lab(one), rgb_to_lab(other))


def in_256(color: Color) -> Color:
    return Color.from_rich_color(color.rich_color.downgrade(ColorSystem.EIGHT_BIT))


@pytest.mark.parametrize("name", OURS)
def test_parts_of_one_bar_are_told_apart_at_a_glance_also_in_256_colours(name: str) -> None:
    found = colors(name)
    # The RAM has `used` where a card has `desktop`.
    for one, other in combinations([part for part in variable_defaults() if part != "bar-used"], 2):
        for look in (lambda color: color, in_256):
            assert distance(look(found[one]), look(found[other])) >= APART, (one, other)


class Bench(App[None]):
    """A few widgets that use most of the variables."""

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults()

    def compose(self) -> ComposeResult:
        yield Input("text")
        yield OptionList("one", "two")
        yield Label("hello")
        yield Footer()


async def _choose(theme: Theme) -> str:
    app = Bench()
    async with app.run_test() as pilot:
        app.register_theme(theme)
        app.theme = theme.name
        await pilot.pause()
        return app.theme


def choose(theme: Theme) -> str:
    """Register and choose the theme in a running app; what is wrong with it shows here."""
    import asyncio

    return asyncio.run(_choose(theme))


@pytest.mark.parametrize("name", OURS)
def test_a_running_app_takes_our_themes(name: str) -> None:
    assert choose(SHIPPED[name]) == name


def own(text: str, name: str = "mine.toml") -> Path:
    folder = config_dir() / "themes"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def test_a_theme_of_ones_own_is_added_and_may_replace_ours() -> None:
    own(
        'name = "mine"\nprimary = "skyblue"\n[variables]\nbar-weights = "red"\n'
        'block-cursor-text-style = "bold reverse"\ntext = "auto 90%"\n'
    )
    own('name = "rigtui-light"\nprimary = "ansi_blue"\nansi = true\n', "light.toml")
    found = load_themes()
    assert found.problems == ()
    by_name = {theme.name: theme for theme in found.themes}
    assert len(by_name) == 4
    assert by_name["rigtui-light"].primary == "ansi_blue"
    assert choose(by_name["mine"]) == "mine"
    assert choose(by_name["rigtui-light"]) == "rigtui-light"


@pytest.mark.parametrize("builtin", ["nord", "gruvbox", "textual-light", "ansi-dark", "solarized-light", "rose-pine"])
def test_textuals_own_themes_pass_as_files(builtin: str, tmp_path: Path) -> None:
    import dataclasses

    import tomli_w

    data = {key: value for key, value in dataclasses.asdict(BUILTIN_THEMES[builtin]).items() if value is not None}
    path = tmp_path / "x.toml"
    path.write_text(tomli_w.dumps(data))
    theme = read_theme(path)
    assert theme.variables.items() >= BUILTIN_THEMES[builtin].variables.items()
    assert dataclasses.replace(theme, variables={}) == dataclasses.replace(BUILTIN_THEMES[builtin], variables={})


BAD = [
    ("", "`name` is missing"),
    ('name = "x"\n', "`primary` is missing"),
    ('name = "x"\nprimary = "notacolour"\n', "`primary` cannot be `notacolour`"),
    ('name = "x"\nprimary = "auto"\n', "`primary` cannot be `auto`"),
    ('name = "x"\nprimary = 3\n', "`primary` must be text"),
    ('name = "x"\nprimry = "red"\n', "unknown key `primry`.*did you mean `primary`"),
    ('name = "x"\nprimary = "red"\ndark = "yes"\n', "`dark` must be true or false"),
    ('name = "x"\nprimary = "red"\nluminosity_spread = 9\n', "`luminosity_spread` must be"),
    ('name = "x"\nprimary = "red"\ntext_alpha = nan\n', "`text_alpha`"),
    ('name = ""\nprimary = "red"\n', "`name` must be one line"),
    ('name = "a\\u001b[2J"\nprimary = "red"\n', "`name` must be one line"),
    ('name = "x"\nprimary = "red"\n[variables]\nbar-weigths = "red"\n', "unknown variable `bar-weigths`.*did you mean `bar-weights`"),
    ('name = "x"\nprimary = "red"\n[variables]\nzzz = "red"\n', "unknown variable `zzz`.*bar-reserved"),
    ('name = "x"\nprimary = "red"\n[variables]\nbar-weights = "reddish"\n', "`variables.bar-weights` cannot be `reddish`"),
    ('name = "x"\nprimary = "red"\n[variables]\nbar-weights = 3\n', "`variables.*` must be text"),
    ('name = "x"\nprimary = "red"\n[variables]\nborder = "reddish"\n', "`variables.border` cannot be"),
    ('name = "x"\nprimary = "red"\n[variables]\nborder = "$primary 50%"\n', "`variables.border` cannot be"),
    ('name = "x"\nprimary = "red"\n[variables]\nborder = "red; } * { display: none"\n', "`variables.border` cannot be"),
    ('name = "x"\nprimary = "red"\n[variables]\nborder = ""\n', "`variables.border` cannot be"),
    ('name = "x"\nprimary = "red"\n[variables]\nlink-style = "wavy"\n', "`variables.link-style` cannot be"),
    ("what\n", "not valid TOML"),
]


@pytest.mark.parametrize(("text", "sentence"), BAD)
def test_a_bad_theme_is_named_and_skipped(text: str, sentence: str) -> None:
    path = own(text)
    found = load_themes()
    assert [theme.name for theme in found.themes] == [DEFAULT, "rigtui-contrast", "rigtui-light"]
    (problem,) = found.problems
    assert str(path) in problem
    assert re.search(sentence, problem)
    assert "\n" not in problem
    assert "\x1b" not in problem
    with pytest.raises(UsageError):
        read_theme(path)


def test_the_theme_to_use() -> None:
    names = ["rigtui-dark", "nord"]
    assert pick(None, names) == ("rigtui-dark", None)
    assert pick("nord", names) == ("nord", None)
    theme, problem = pick("nrd", names)
    assert theme == "rigtui-dark"
    assert problem == "there is no theme nrd, rigtui-dark is used; did you mean nord?"
    assert pick(None, []) == (None, None)


async def test_an_unknown_theme_is_said_and_the_default_is_used(cockpit):
    async with cockpit(World(two_cards()), theme="rigtui-drak") as screen:
        assert screen.app.theme == "rigtui-dark"
        await screen.until(lambda: "did you mean rigtui-dark?" in screen.told)


def test_the_picture_in_the_readme_has_the_colours_of_the_screen():
    picture = (Path(__file__).parents[2] / "docs" / "screenshot.svg").read_text()
    for part in ("bar-weights", "bar-kv", "bar-compute", "bar-desktop", "bar-headroom"):
        assert colors(DEFAULT)[part].hex.lower() in picture.lower(), f"{part}: `make screenshot` draws it anew"

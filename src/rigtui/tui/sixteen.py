"""Themes in a terminal of sixteen colours, where Rich takes the nearest of them for every colour: quiet shades would all become black.

A theme whose surfaces or states fall together there is drawn with the sixteen themselves. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from rich.color import ColorSystem
from textual.color import Color, ColorParseError
from textual.theme import Theme

BLACK, BLUE, GREY, SILVER, WHITE = "#000000", "#0000aa", "#555555", "#aaaaaa", "#ffffff"
"""Of Rich 14's standard palette (rich/_palettes.py): what is one of these is sent as just that colour."""
SURFACES = ("background", "surface", "panel")
STATES = ("success", "warning", "error")
_DARK = Theme(
    name="dark",
    background=BLACK,
    surface=GREY,
    panel=BLUE,
    foreground=WHITE,
    primary="#5555ff",
    secondary=SILVER,
    accent="#55ffff",
    success="#55ff55",
    warning="#ffff55",
    error="#ff5555",
    variables={"foreground-muted": SILVER, "bar-free": BLACK, "panel-lighten-1": BLUE, "panel-lighten-2": BLUE},
)
_LIGHT = Theme(
    name="light",
    dark=False,
    background=WHITE,
    surface=SILVER,
    panel="#55ffff",
    foreground=BLACK,
    primary=BLUE,
    secondary=GREY,
    accent=BLUE,
    success="#00aa00",
    warning="#aa5500",
    error="#aa0000",
    variables={
        "foreground-muted": GREY,
        "panel-lighten-1": "#55ffff",
        "panel-lighten-2": "#55ffff",
        "bar-free": WHITE,
        # Names of these parts are written in their colour, too: yellow cannot be read on white.
        "bar-compute": "#aa5500",
        "bar-others": "#00aaaa",
        "bar-headroom": "#ffff55",
    },
)
_BARS = {
    "reserved": GREY,
    "desktop": SILVER,
    "others": "#aa5500",
    "unknown": "#aa00aa",
    "used": SILVER,
    "engines": "#00aa00",
    "weights": "#5555ff",
    "kv": "#ff55ff",
    "compute": "#ffff55",
    "floor": "#ff5555",
    "headroom": "#00aaaa",
    "short": "#aa0000",
}


def slot(color: str) -> int | None:
    """Which of the sixteen a colour becomes."""
    return Color.parse(color).rich_color.downgrade(ColorSystem.STANDARD).number


def apart(theme: Theme) -> bool:
    """Whether the theme's surfaces, and its states, are different ones of the sixteen."""
    made = theme.to_color_system().generate()
    try:
        return all(len({slot(made[key]) for key in keys}) == len(keys) for keys in (SURFACES, STATES))
    except ColorParseError:
        return False


def in_sixteen(theme: Theme) -> Theme:
    """The theme as it is drawn with sixteen colours; one of the terminal's own colours stays as it is."""
    if theme.ansi or apart(theme):
        return theme
    own = _DARK if theme.dark else _LIGHT
    cursor = {"block-cursor-background": str(own.panel), "block-cursor-foreground": str(own.foreground)}
    bars = {f"bar-{kind}": color for kind, color in _BARS.items()}
    return replace(own, name=theme.name, variables=bars | own.variables | cursor)

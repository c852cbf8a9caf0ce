"""The colours of the bars, as theme variables: every theme may set them, these are the ones it gets when it does not."""

from __future__ import annotations

from collections.abc import Mapping

BAR_COLORS: dict[str, str] = {
    "reserved": "#626770",
    "desktop": "#98a2b4",
    "others": "#a8b04a",
    "unknown": "#8f6f9f",
    "used": "#98a2b4",
    "engines": "#3fae86",
    "weights": "#5fa3ee",
    "kv": "#c08df5",
    "compute": "#f0b44c",
    "floor": "#c8694a",
    "headroom": "#2f4a6b",
    "free": "#222529",
    "short": "#f2607f",
}
"""Kind of use -> default colour of the theme variable `bar-<kind>`. Literals: a reference to another variable does not parse there."""


def variable_defaults() -> dict[str, str]:
    """The theme variables rigtui adds to Textual's own."""
    return {f"bar-{kind}": color for kind, color in BAR_COLORS.items()}


def bar_colors(variables: Mapping[str, str]) -> dict[str, str]:
    """The colour of every kind of use in the current theme."""
    return {kind: variables.get(f"bar-{kind}", default) for kind, default in BAR_COLORS.items()}

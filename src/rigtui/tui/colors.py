"""The colours of the bars, as theme variables: every theme may set them, these are the ones it gets when it does not."""

from __future__ import annotations

from collections.abc import Mapping

BAR_COLORS: dict[str, str] = {
    "reserved": "#4d5462",
    "desktop": "#7b8494",
    "others": "#a08f72",
    "unknown": "#6d6478",
    "used": "#7b8494",
    "engines": "#3fa27c",
    "weights": "#4f8fe8",
    "kv": "#a57bea",
    "compute": "#e0a04f",
    "floor": "#b8784a",
    "headroom": "#39465a",
    "free": "#252b36",
    "short": "#e5566d",
}
"""Kind of use -> default colour of the theme variable `bar-<kind>`. Literals: a reference to another variable does not parse there."""


def variable_defaults() -> dict[str, str]:
    """The theme variables rigtui adds to Textual's own."""
    return {f"bar-{kind}": color for kind, color in BAR_COLORS.items()}


def bar_colors(variables: Mapping[str, str]) -> dict[str, str]:
    """The colour of every kind of use in the current theme."""
    return {kind: variables.get(f"bar-{kind}", default) for kind, default in BAR_COLORS.items()}

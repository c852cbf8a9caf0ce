"""Themes: TOML files, rigtui's own and the user's, read by one loader and checked before Textual sees them.

Textual checks nothing when a theme is registered and falls over when it is chosen, so a file is only accepted when everything in it
parses. A file holds the fields of `textual.theme.Theme`, and in `[variables]` Textual's theme variables or rigtui's own (`bar-…`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from textual.color import Color, ColorParseError
from textual.css.stylesheet import Stylesheet, StylesheetParseError
from textual.css.tokenizer import TokenError
from textual.theme import Theme

from rigtui.errors import UsageError
from rigtui.files import convert, read_toml
from rigtui.paths import config_dir, shipped
from rigtui.text import clean, nearest
from rigtui.tui.colors import variable_defaults

DEFAULT = "rigtui-dark"

Share = Annotated[float, Meta(ge=0, le=1)]


class Themes(Struct, frozen=True):
    """Every theme that can be used, the default first, and one sentence for each file that cannot."""

    themes: tuple[Theme, ...]
    problems: tuple[str, ...] = ()
    more: Callable[[], Themes] | None = None
    """All of them, where only the first was looked at so far."""


class _File(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The fields of Textual's Theme, with types that are checked."""

    name: str
    primary: str
    secondary: str | None = None
    warning: str | None = None
    error: str | None = None
    success: str | None = None
    accent: str | None = None
    foreground: str | None = None
    background: str | None = None
    surface: str | None = None
    panel: str | None = None
    boost: str | None = None
    dark: bool = True
    luminosity_spread: Share = 0.15
    text_alpha: Share = 0.95
    variables: dict[str, str] = {}
    ansi: bool = False


COLORS = ("primary", "secondary", "warning", "error", "success", "accent", "foreground", "background", "surface", "panel", "boost")


def directories() -> tuple[Path, ...]:
    """Where themes lie: what rigtui ships, then the user's, which win."""
    return shipped("themes"), config_dir() / "themes"


def read_theme(path: Path) -> Theme:
    """The theme in the file `path`.

    Raises UsageError with the file, the key and what is wrong with it.
    """
    return _checked(read_toml(path), path)


def _checked(table: dict[str, Any], path: Path) -> Theme:
    file = convert(table, _File, path)
    if not file.name.strip() or file.name != clean(file.name):
        raise UsageError(f"{path}: `name` must be one line of text")
    for key in COLORS:
        value = getattr(file, key)
        if value is not None and not _is_color(value):
            raise UsageError(f"{path}: `{key}` cannot be `{clean(value)}`; write a colour such as `#7db8e8`, `skyblue` or `ansi_blue`")
    theme = Theme(**msgspec.to_builtins(file))
    if theme.ansi:
        # Textual 8.2.8 makes these up for colour themes only, and its own widgets need them all the same.
        black, white = ("ansi_black", "ansi_white") if theme.dark else ("ansi_white", "ansi_black")
        needed = {
            "ansi-background": black,
            "ansi-foreground": white,
            "foreground-disabled": "ansi_default",
            "surface-active": "transparent",
        }
        theme.variables = needed | theme.variables
    try:
        theme.to_color_system().generate()
    except (ValueError, AttributeError, ColorParseError) as error:
        raise UsageError(f"{path}: no theme can be made of these colours ({clean(str(error))})") from error
    for name, value in file.variables.items():
        _check_variable(name, value, path)
    return theme


def _is_color(value: str) -> bool:
    try:
        return not Color.parse(value).auto
    except ColorParseError:
        return False


def _check_variable(name: str, value: str, path: Path) -> None:
    known = _known_variables()
    if name not in known:
        close = nearest(name, known)
        hint = f"did you mean `{close}`?" if close else "rigtui's own are " + ", ".join(variable_defaults())
        raise UsageError(f"{path}: unknown variable `{clean(name)}` in [variables]; {hint}")
    if name in variable_defaults():
        good = _is_color(value)
    elif name.endswith("-style") or "-style-" in name:
        good = _parses("text-style", value)
    else:
        good = _parses("color", value) or _parses("background", value)
    if not good:
        raise UsageError(f"{path}: `variables.{name}` cannot be `{clean(value)}`")


@cache
def _known_variables() -> frozenset[str]:
    textual = Theme(name="any", primary="#808080").to_color_system().generate()
    return frozenset(textual) | frozenset(variable_defaults())


def _parses(rule: str, value: str) -> bool:
    """Whether a style sheet in which a variable has this value can be read: what Textual does with it when the theme is chosen."""
    sheet = Stylesheet(variables={"value": value})
    try:
        sheet.add_source(f"Widget {{ {rule}: $value; }}", read_from=("theme", ""))
        sheet.parse()
    except (StylesheetParseError, TokenError):
        return False
    return True


def load_theme(wanted: str | None, dirs: Iterable[Path] | None = None) -> Themes:
    """The theme to start with, the only one that is checked; every usable one where there is no theme `wanted` (default: rigtui's own)."""
    folders = tuple(directories() if dirs is None else dirs)
    for path in reversed([path for folder in folders for path in sorted(folder.glob("*.toml"))]):
        try:
            table = read_toml(path)
            if table.get("name") == (wanted or DEFAULT):
                return Themes((_checked(table, path),), more=partial(load_themes, folders))
        except UsageError:
            continue  # told by `load_themes`
    return load_themes(folders)


def load_themes(dirs: Iterable[Path] | None = None) -> Themes:
    """Every theme of `dirs` (default: rigtui's and the user's); of two with one name the later counts."""
    found: dict[str, Theme] = {}
    problems: list[str] = []
    for directory in directories() if dirs is None else dirs:
        for path in sorted(directory.glob("*.toml")):
            try:
                theme = read_theme(path)
            except UsageError as error:
                problems.append(f"{error} (the theme is left out)")
            else:
                found[theme.name] = theme
    ordered = sorted(found.values(), key=lambda theme: (theme.name != DEFAULT, theme.name))
    return Themes(tuple(ordered), tuple(problems))


def pick(wanted: str | None, known: Iterable[str]) -> tuple[str | None, str | None]:
    """The theme to use of the names `known`, and a sentence when it is not the one wanted; None where there is none at all."""
    names = list(known)
    fallback = DEFAULT if DEFAULT in names else (names[0] if names else None)
    if wanted is None or wanted in names:
        return wanted or fallback, None
    close = nearest(wanted, names)
    hint = f"; did you mean {close}?" if close else ""
    return fallback, f"there is no theme {clean(wanted)}, {fallback} is used{hint}"

"""Keeping the chosen theme as `theme` in the user's config.toml without touching what stands there already."""

from __future__ import annotations

import json
import re

from rigtui import files
from rigtui.tui.config_edit import edit, held_to

_THEME = re.compile(r"^theme[ \t]*=[ \t]*(?P<value>\"[^\"\n]*\"|'[^'\n]*')", re.MULTILINE)


def keep_theme(name: str) -> None:
    """Keep the theme `name` for the next start. Raises UsageError when it cannot be put there, RigtuiError when it cannot be written."""
    edit(lambda text: with_theme(text, name))


def with_theme(text: str, name: str) -> str:
    """The text of config.toml with this theme. Raises UsageError when it cannot be put there."""
    before = files.parse_toml(text, "config.toml")
    if before.get("theme") == name:
        return text
    # A JSON string is a TOML basic string.
    entry = json.dumps(name)
    known = _THEME.search(text)
    # Keys without a table stand before the first table.
    start, rest = ("theme = ", f"\n{text}") if known is None else (text[: known.start("value")], text[known.end("value") :])
    return held_to({**before, "theme": name}, f"{start}{entry}{rest}", f"write theme = {entry} in its first line yourself")

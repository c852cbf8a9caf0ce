"""Keeping the chosen theme as `theme` in the user's config.toml without touching what stands there already."""

from __future__ import annotations

import json
import re

from rigtui import files, paths
from rigtui.errors import UsageError

_THEME = re.compile(r"^theme[ \t]*=[ \t]*(?P<value>\"[^\"\n]*\"|'[^'\n]*')", re.MULTILINE)


def keep_theme(name: str) -> None:
    """Keep the theme `name` for the next start.

    The file is edited as text, so that comments and order stay. Raises UsageError when it is written in a way this cannot follow,
    RigtuiError when it cannot be written.
    """
    path = paths.config_dir() / "config.toml"
    with files.locked(path):
        text = files.read_text(path) if path.exists() else ""
        if files.parse_toml(text, path).get("theme") != name:
            files.write_atomic(path, with_theme(text, name).encode("utf-8"))


def with_theme(text: str, name: str) -> str:
    """The text of config.toml with this theme. Raises UsageError when it cannot be put there."""
    import tomllib

    before = files.parse_toml(text, "config.toml")
    # A JSON string is a TOML basic string.
    entry = json.dumps(name)
    known = _THEME.search(text)
    # Keys without a table stand before the first table.
    start, rest = ("theme = ", f"\n{text}") if known is None else (text[: known.start("value")], text[known.end("value") :])
    changed = f"{start}{entry}{rest}"
    try:
        after = tomllib.loads(changed)
    except tomllib.TOMLDecodeError:
        after = {}
    if after != {**before, "theme": name}:
        raise UsageError(f"config.toml is written in a way that rigtui cannot change; write theme = {entry} in its first line yourself")
    return changed

"""Changing one entry of the user's config.toml as text, so that comments and order stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rigtui import files, paths
from rigtui.errors import UsageError


def edit(change: Callable[[str], str]) -> None:
    """Put what `change` makes of the text in its place, where that is another text; a missing file is an empty one.

    Raises UsageError where the file is no TOML or `change` cannot follow it, RigtuiError when it cannot be read or written.
    """
    path = paths.config_dir() / "config.toml"
    with files.locked(path):
        before = files.read_text(path) if path.exists() else ""
        files.parse_toml(before, path)
        after = change(before)
        if after != before:
            files.write_atomic(path, after.encode("utf-8"))


def held_to(expected: dict[str, Any], changed: str, advice: str) -> str:
    """`changed`, where it says exactly what is expected. Raises UsageError with the advice what to write by hand where it does not."""
    import tomllib

    try:
        if tomllib.loads(changed) == expected:
            return changed
    except tomllib.TOMLDecodeError:
        pass
    raise UsageError(f"config.toml is written in a way that rigtui cannot change; {advice}")

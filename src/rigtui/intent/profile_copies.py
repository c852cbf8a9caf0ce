"""A profile under another name: duplicated or renamed, its file's comments kept."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec.structs import replace

from rigtui.errors import RigtuiError, UsageError
from rigtui.files import as_text
from rigtui.intent.profile import check, dump, parse_text
from rigtui.intent.profiles import Entry, save_text

_NAME_LINE = re.compile(r'^name\s*=\s*(?:"[^"\n]*"|\'[^\'\n]*\')', re.MULTILINE)


def duplicate(entry: Entry, name: str, directory: Path) -> Path:
    """Store the profile of `entry` once more, as `name`, in `directory`; returns the new file.

    Raises UsageError when the name cannot be used or is taken; RigtuiError when it cannot be written.
    """
    return save_text(_renamed(entry, name), directory)


def rename(entry: Entry, name: str, directory: Path) -> Path:
    """Give the user's profile of `entry` another name; returns its new file.

    Raises UsageError for a profile that rigtui ships, and when the name cannot be used or is taken; RigtuiError when it cannot be
    written.
    """
    if entry.shipped:
        raise UsageError(f"{entry.profile.name} ships with rigtui and keeps its name; duplicate it and change the copy")
    if name == entry.profile.name:
        return entry.path
    return save_text(_renamed(entry, name), directory, was=entry)


def _renamed(entry: Entry, name: str) -> bytes:
    """The text of the entry's file with another name; written anew where its name is not one plain line."""
    wanted = replace(entry.profile, name=name)
    check(wanted, "the profile")
    try:
        text = as_text(entry.path.read_bytes(), entry.path)
    except OSError as error:
        raise RigtuiError(f"cannot read {entry.path}: {error.strerror or error}") from error
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    edited = _NAME_LINE.sub(lambda _found: f"name = {quoted}", text, count=1).encode("utf-8")
    try:
        same = parse_text(edited, "the profile") == wanted
    except UsageError:
        same = False
    return edited if same else dump(wanted)

"""A profile in the user's own editor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rigtui.errors import RigtuiError, UsageError
from rigtui.text import clean

if TYPE_CHECKING:
    from rigtui.intent.profiles import Entry


IN_A_TERMINAL = frozenset({"ed", "helix", "hx", "joe", "kak", "mcedit", "micro", "nano", "ne", "nvim", "pico", "vi", "vim"})
"""Editors that draw on the terminal: without one they wait for keys that never come."""


def _refuse_without_terminal(editor: list[str]) -> None:
    name = Path(editor[0]).name
    if name in IN_A_TERMINAL and not (os.isatty(0) and os.isatty(1)):
        raise UsageError(f"{clean(name)} needs a terminal to edit in, and there is none here; nothing was changed")


def _editor() -> list[str]:
    import shlex
    import shutil

    for variable in ("VISUAL", "EDITOR"):
        if command := os.environ.get(variable, "").strip():
            try:
                return shlex.split(command)
            except ValueError as error:
                raise UsageError(f"${variable} is not a command ({error}): {clean(command)}") from error
    for name in ("nano", "vi"):
        if shutil.which(name):
            return [name]
    raise RigtuiError("there is no editor to open; set $EDITOR to the one you use")


def edit_profile(entry: Entry, directory: Path) -> Path | None:
    """Open the editor on a copy; the profile changes only when the copy is a valid one, and then it is stored as it was written.

    Returns its file, or None when nothing was changed. Raises RigtuiError and its kin, one sentence; an edit that is not valid is
    kept beside the profile.
    """
    import subprocess
    import tempfile

    from rigtui.files import write_atomic
    from rigtui.intent.profiles import save_text
    from rigtui.text import slug

    name = slug(entry.profile.name)
    with tempfile.TemporaryDirectory(prefix="rigtui-edit-") as folder:
        copy = Path(folder) / f"{name}.toml"
        try:
            before = entry.path.read_bytes()
            copy.write_bytes(before)
            editor = _editor()
            _refuse_without_terminal(editor)
            code = subprocess.run([*editor, str(copy)], check=False).returncode
            edited = copy.read_bytes()
        except OSError as error:
            raise RigtuiError(f"cannot edit {entry.path}: {error.strerror or error}; nothing was changed") from error
    if code != 0:
        raise RigtuiError(f"the editor {clean(editor[0])} ended with code {code}; nothing was changed")
    if edited == before:
        return None
    try:
        return save_text(edited, directory, was=entry)
    except UsageError as error:
        aside = _free(directory / f"{name}.toml.rejected")
        write_atomic(aside, edited)
        raise UsageError(f"{error}; the profile is as it was, your edit is kept in {aside}") from error


def _free(path: Path) -> Path:
    number = 1
    while (target := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return target

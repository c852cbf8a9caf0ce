"""An export as a file of the user's."""

from __future__ import annotations

from pathlib import Path

from rigtui.errors import ExistsError, RigtuiError
from rigtui.export.written import write_out


def write(path: str, text: str, replaces: bool) -> str:
    """Write `text` to `path`; returns where, for people.

    Raises ExistsError when it is there and `replaces` is not set, RigtuiError when it cannot be written.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        raise RigtuiError(f"{file} is a folder; name a file in it")
    if file.exists() and not replaces:
        raise ExistsError(f"{file} is already there")
    return write_out(file, text)

"""What becomes of a fault in rigtui itself: the traceback in a file, and what the user is told instead of it."""

from __future__ import annotations

import platform
import traceback
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from rigtui import files, paths
from rigtui.errors import RigtuiError
from rigtui.text import clean


def told(error: BaseException, program: str) -> str:
    """Keep the traceback under the state directory, and say what happened, where that lies and that engines go on: a few lines.

    `program`: how rigtui is called on a command line here. Where the file cannot be written that is said, too.
    """
    head = f"rigtui: a fault in rigtui itself ended the screen: {type(error).__name__}: {clean(str(error))}"
    try:
        # On a line of its own the place can be copied.
        kept = f"What led to it is in\n{clean(str(_kept(error)))}"
    except RigtuiError as problem:
        kept = f"What led to it could not be kept: {clean(str(problem))}"
    return f"{head}\n{kept}\nEngines that serve go on; `{program}` shows them again."


def _kept(error: BaseException) -> Path:
    """Write the traceback, without the values of variables, and return the file."""
    now = datetime.now().astimezone()
    place = paths.state_dir() / "faults" / f"{now:%Y-%m-%dT%H-%M-%S.%f}.txt"
    head = f"rigtui {version('rigtui')}, Textual {version('textual')}, Python {platform.python_version()}, {platform.platform()}"
    lines = [clean(line) for part in traceback.format_exception(error) for line in part.splitlines()]
    files.write_atomic(place, "\n".join([head, now.isoformat(timespec="seconds"), "", *lines, ""]).encode("utf-8"))
    return place

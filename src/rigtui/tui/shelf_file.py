"""Where the order of the models and the favourites are kept between sessions: `$XDG_STATE_HOME/rigtui/picker.json`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from rigtui import files, paths
from rigtui.decoding import known
from rigtui.errors import RigtuiError
from rigtui.tui.shelf import Shelf

MOST_BYTES = 1 << 20


def _path() -> Path:
    return paths.state_dir() / "picker.json"


def read_shelf() -> Shelf:
    """What was kept; nothing yet is the usual order without favourites.

    Raises RigtuiError for a damaged file, after it was put aside, or when it cannot be read.
    """
    path = _path()
    try:
        with open(path, "rb") as stream:
            return msgspec.json.decode(stream.read(MOST_BYTES), type=known(Shelf))
    except FileNotFoundError:
        return Shelf()
    except msgspec.DecodeError as error:
        aside = files.keep_aside(path)
        raise RigtuiError(f"{path} is damaged ({error}); it is kept as {aside}, favourites begin anew") from error
    except OSError as error:
        raise RigtuiError(f"cannot read {path}: {error.strerror or error}") from error


def keep_shelf(shelf: Shelf) -> None:
    """Keep it. Raises RigtuiError when it cannot be written."""
    files.write_atomic(_path(), msgspec.json.encode(shelf))

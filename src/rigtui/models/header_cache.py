"""What models' headers said, remembered by path, size and time of the last change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from rigtui import __version__
from rigtui.decoding import known
from rigtui.errors import RigtuiError
from rigtui.files import locked, write_atomic
from rigtui.models.model import Model
from rigtui.paths import cache_dir

MOST_ENTRIES = 2000
REVISION = 2
"""Raised whenever something else is made of the same header."""
MAX_CACHE_BYTES = 1 << 28
_VERSION = f"{__version__}/{REVISION}"


class Known(Struct, frozen=True, array_like=True):
    """One header, or why it could not be read. A model of several files has their total size and the time of the last change."""

    size: int
    mtime_ns: int
    model: Model | None = None
    error: str | None = None
    not_a_model: bool = False


class _Stored(Struct, frozen=True):
    version: str
    entries: dict[str, Known]


class HeaderCache:
    """Reads through to the files; what was learned is kept by `save`."""

    def __init__(self) -> None:
        self._path = cache_dir() / "models.msgpack"
        self._entries = self._load()
        self._used: dict[str, Known] = {}

    def _load(self) -> dict[str, Known]:
        try:
            with open(self._path, "rb") as stream:
                stored = msgspec.msgpack.decode(stream.read(MAX_CACHE_BYTES), type=known(_Stored))
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # It can be read again at a price, so a damaged cache is simply begun anew.
            return {}
        return stored.entries if stored.version == _VERSION else {}

    def get(self, path: Path, size: int, mtime_ns: int, read: Callable[[], Known]) -> Known:
        """What is known of `path` as it is now; `read` looks when nothing is."""
        key = str(path)
        known = self._entries.get(key)
        if known is None or (known.size, known.mtime_ns) != (size, mtime_ns):
            known = read()
        self._used[key] = known
        return known

    def save(self) -> None:
        """Keep what was used, and the rest up to a bound. A cache that cannot be written is no error."""
        # An error is looked at anew each time: what was wrong may lie in another file, or have been mended.
        sound = {key: known for key, known in self._used.items() if known.error is None}
        if all(self._entries.get(key) == known for key, known in sound.items()):
            return
        entries = {**self._entries, **sound}
        entries = dict(list(entries.items())[-MOST_ENTRIES:])
        try:
            with locked(self._path):
                write_atomic(self._path, msgspec.msgpack.encode(_Stored(_VERSION, entries)))
        except RigtuiError:
            return

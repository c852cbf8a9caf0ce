"""What engine builds answered when they were asked what they can do, kept so that they are asked once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from rigtui.decoding import known
from rigtui.engines.engine import BuildDevice
from rigtui.errors import RigtuiError

_MAX_CACHED = 32
_MAX_CACHE_BYTES = 1 << 22


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What a build said of itself."""

    version: str
    options: frozenset[str]
    devices: tuple[BuildDevice, ...]


class Cache:
    """What builds answered before. A cache that cannot be read is empty, one that cannot be written is not kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Answers] = {}
        self._changed = False
        try:
            with path.open("rb") as stream:
                self._known = msgspec.msgpack.decode(stream.read(_MAX_CACHE_BYTES), type=known(dict[str, Answers]))
        except (OSError, msgspec.DecodeError):
            self._known = {}

    def known(self, identity: tuple[object, ...]) -> Answers | None:
        """What the build with this identity answered, None where it was not asked yet."""
        return self._known.get(_digest(identity))

    def answers(self, identity: tuple[object, ...], ask: Callable[[], Answers]) -> Answers:
        """What the build with this identity says; `ask` asks it if it is not known. Raises what that raises."""
        key = _digest(identity)
        known = self._known.pop(key, None)
        if known is None:
            known = ask()
            self._changed = True
        self._known[key] = known
        return known

    def save(self) -> None:
        """Keep what was learned, if anything was."""
        if not self._changed:
            return
        import contextlib

        from rigtui.files import write_atomic

        newest = dict(list(self._known.items())[-_MAX_CACHED:])
        with contextlib.suppress(RigtuiError):
            write_atomic(self._path, msgspec.msgpack.encode(newest))


def _digest(identity: tuple[object, ...]) -> str:
    """Only this is kept: an identity may hold an environment, and that anything, also what nobody wants in a cache file."""
    import hashlib

    return hashlib.sha256(repr(identity).encode()).hexdigest()

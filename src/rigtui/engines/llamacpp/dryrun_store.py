"""What dry runs have shown, kept on disk: the next plan of the same model, build and settings starts with it."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from rigtui import __version__
from rigtui.decoding import known
from rigtui.errors import RigtuiError
from rigtui.files import locked, write_atomic
from rigtui.paths import cache_dir
from rigtui.planning.known import NOTHING, Known, Seen

MOST_SEEN = 200
MOST_CARDS = 64
REVISION = 1
"""Raised whenever the same answer of an engine would be stored otherwise."""
_MAX_BYTES = 1 << 23
_VERSION = f"{__version__}/{REVISION}"


class _Stored(Struct, frozen=True):
    version: str
    known: Known


def _file() -> Path:
    return cache_dir() / "dryruns.msgpack"


def load() -> Known:
    """All of it; nothing where there is no file or none that can be used: it can be asked again at a price."""
    try:
        with open(_file(), "rb") as stream:
            stored = msgspec.msgpack.decode(stream.read(_MAX_BYTES), type=known(_Stored))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return NOTHING
    return stored.known if stored.version == _VERSION else NOTHING


def add(seen: Seen, runtime: dict[str, int]) -> Known:
    """Keep one more, in the place of an older answer to the same question; returns all that is known now."""
    new = Known(seen=(seen,), runtime=runtime)
    try:
        with locked(_file()):
            before = load()
            kept = tuple(old for old in before.seen if _question(old) != _question(seen))[-(MOST_SEEN - 1) :]
            # The card seen last stands last; the first are dropped when there are too many.
            cards = {uuid: size for uuid, size in before.runtime.items() if uuid not in runtime} | runtime
            known = Known(seen=(*kept, seen), runtime=dict(list(cards.items())[-MOST_CARDS:]))
            write_atomic(_file(), msgspec.msgpack.encode(_Stored(_VERSION, known)))
    except RigtuiError:
        # A cache that cannot be written is no error: what was just seen holds all the same.
        return load().and_also(new)
    return known


def _question(seen: Seen) -> tuple[object, ...]:
    return seen.way, seen.context, seen.fit_target_mib, tuple(device.layers for device in seen.devices)

"""The engine's log on disk: raw bytes within bounds, and beside them when they came.

`engine.log` is written by one supervisor alone. When it is full it becomes `engine.log.1`, in the place of an older one, and goes on empty.
`engine.times` holds lines `SECONDS OFFSET`: what stands from OFFSET on came at SECONDS since the epoch, or later. Engines stamp their
lines in their own ways or not at all, and the log itself stays as they wrote it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

MOST_BYTES = 128 << 20
"""Of one file; there are two at most."""
HEADER = re.compile(rb"=== rigtui attempt (\d+) ")
_MARK_EVERY_S = 1.0
_CHUNK = 1 << 20


class Journal:
    """Writes the log. Every method may raise OSError."""

    def __init__(self, path: Path, header: str, *, most_bytes: int = MOST_BYTES) -> None:
        """Go on with the log at `path`; `header` is the attempt's line, without its end."""
        self._path = path
        self._header = header
        self._most = most_bytes
        self._marked = float("-inf")
        self._open()
        self._put(f"{header}\n".encode())

    def _open(self) -> None:
        self._log = open(self._path, "ab", buffering=0)  # noqa: SIM115 open as long as the engine
        try:
            self._times = open(times_of(self._path), "ab", buffering=0)  # noqa: SIM115
        except OSError:
            self._log.close()
            raise

    def write(self, data: bytes) -> None:
        """Append what the engine said."""
        if self._log.tell() >= self._most:
            self._rotate()
        self._put(data)

    def _put(self, data: bytes) -> None:
        now = time.monotonic()
        if now - self._marked >= _MARK_EVERY_S:
            self._marked = now
            self._times.write(f"{time.time():.0f} {self._log.tell()}\n".encode())
        view = memoryview(data)
        while view:
            view = view[self._log.write(view) :]

    def _rotate(self) -> None:
        self.close()
        for path in (self._path, times_of(self._path)):
            os.replace(path, older_of(path))
        self._open()
        self._marked = float("-inf")
        self._put(f"{self._header} (continued)\n".encode())

    def close(self) -> None:
        """Let go of the files."""
        self._log.close()
        self._times.close()


def times_of(log: Path) -> Path:
    """Where it stands when the bytes of a log came."""
    return log.with_name(log.name.replace(".log", ".times"))


def older_of(path: Path) -> Path:
    """The file that was there before it was full."""
    return path.with_name(f"{path.name}.1")


def read(log: Path, since: float | None = None) -> Iterator[bytes]:
    """The log in pieces, the older file first; `since`: only what came then (seconds since the epoch) or later, in whole lines.

    Raises OSError when it cannot be read; one that is not there is empty.
    """
    for path in (older_of(log), log):
        try:
            with open(path, "rb") as stream:
                stream.seek(offset_since(path, since))
                while chunk := stream.read(_CHUNK):
                    yield chunk
        except FileNotFoundError:
            continue


def offset_since(log: Path, since: float | None) -> int:
    """Where in a log file the first whole line begins that came at `since` or later."""
    if since is None:
        return 0
    found = None
    for at, offset in reversed(_marks(log)):
        if at < since:
            break
        found = offset
    size = log.stat().st_size
    if found is None:
        return size if _marks(log) else 0
    return _line_start(log, min(found, size))


def _marks(log: Path) -> list[tuple[int, int]]:
    try:
        lines = times_of(log).read_text().split("\n")
    except (OSError, UnicodeDecodeError):
        return []
    return [(int(words[0]), int(words[1])) for line in lines if len(words := line.split()) == 2 and all(w.isdecimal() for w in words)]


def _line_start(log: Path, offset: int) -> int:
    """`offset`, or the end of the line that it lies in."""
    if offset == 0:
        return 0
    with open(log, "rb") as stream:
        stream.seek(offset - 1)
        return offset - 1 + len(stream.readline())

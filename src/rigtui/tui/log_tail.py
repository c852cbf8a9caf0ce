"""The end of an engine's log, read in bounded steps: what comes too fast to be read is counted, not kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rigtui.runs.watch import Follower
from rigtui.tui.services import Level, LineChunk, LogChunk, LogLine

if TYPE_CHECKING:
    from rigtui.runs.rundir import RunDirectory

FIRST_BYTES = 256 << 10
"""Read of what the log holds already when it is opened."""
MOST_LINES = 200
"""Shown per look; at four looks a second nobody reads more."""
PAGE_BYTES = 4 << 20
PAGE_LINES = 20_000
"""The same for the page of a log, which is searched."""
MAX_WIDTH = 2000
"""Characters kept of a line."""
Readable = Callable[[str], list[tuple[str | None, str]]]
_LEVELS: dict[str, Level] = {"warn": "warn", "info": "info", "debug": "debug", "error": "error"}


class LogTail:
    """Gives the newest lines at every look."""

    def __init__(
        self, directory: RunDirectory, readable: Readable, *, first_bytes: int = FIRST_BYTES, most_lines: int = MOST_LINES
    ) -> None:
        """`readable`: how the run's engine writes (`engines.rooms`)."""
        self._readable = readable
        try:
            size = directory.engine_log.stat().st_size
        except OSError:
            size = 0
        start = max(0, size - first_bytes)
        self._most = most_lines
        self._follower = Follower(directory, log_offset=start)
        self._rest = b""
        # The first line may be the end of one that began before.
        self._skip_first = start > 0

    def read(self) -> LogChunk:
        """New whole lines, cleaned."""
        chunk = self.read_lines()
        return LogChunk(tuple(line.text for line in chunk.lines), chunk.dropped)

    def read_lines(self) -> LineChunk:
        """New whole lines, cleaned, with their levels."""
        change = self._follower.poll()
        data = self._rest + (change.log if change else b"")
        *lines, self._rest = data.split(b"\n")
        # A line without an end must not grow for ever.
        self._rest = self._rest[-(64 << 10) :]
        if self._skip_first and lines:
            lines, self._skip_first = lines[1:], False
        kept = lines[-self._most :]
        found = (item for line in kept for item in self._readable(line.decode("utf-8", errors="replace")))
        return LineChunk(tuple(LogLine(text[:MAX_WIDTH], _LEVELS.get(level or "")) for level, text in found), len(lines) - len(kept))

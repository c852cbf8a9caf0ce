"""The end of an engine's log, read in bounded steps: what comes too fast to be read is counted, not kept."""

from __future__ import annotations

from rigtui.engines.llamacpp.loglines import readable
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.watch import Follower
from rigtui.tui.services import LogChunk

FIRST_BYTES = 256 << 10
"""Read of what the log holds already when it is opened."""
MOST_LINES = 200
"""Shown per look; at four looks a second nobody reads more."""
MAX_WIDTH = 2000
"""Characters kept of a line."""


class LogTail:
    """Gives the newest lines at every look."""

    def __init__(self, directory: RunDirectory) -> None:
        try:
            size = directory.engine_log.stat().st_size
        except OSError:
            size = 0
        start = max(0, size - FIRST_BYTES)
        self._follower = Follower(directory, log_offset=start)
        self._rest = b""
        # The first line may be the end of one that began before.
        self._skip_first = start > 0

    def read(self) -> LogChunk:
        """New whole lines, cleaned."""
        change = self._follower.poll()
        data = self._rest + (change.log if change else b"")
        *lines, self._rest = data.split(b"\n")
        # A line without an end must not grow for ever.
        self._rest = self._rest[-(64 << 10) :]
        if self._skip_first and lines:
            lines, self._skip_first = lines[1:], False
        kept = lines[-MOST_LINES:]
        return LogChunk(
            tuple(text[:MAX_WIDTH] for line in kept for text in readable(line.decode("utf-8", errors="replace"))), len(lines) - len(kept)
        )

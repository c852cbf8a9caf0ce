"""The end of an engine's log, read in bounded steps: what comes too fast to be read is counted, not kept."""

from __future__ import annotations

import re

from rigtui.engines.llamacpp.loglines import readable
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.watch import Follower
from rigtui.tui.services import Level, LineChunk, LogChunk, LogLine

FIRST_BYTES = 256 << 10
"""Read of what the log holds already when it is opened."""
MOST_LINES = 200
"""Shown per look; at four looks a second nobody reads more."""
PAGE_BYTES = 4 << 20
PAGE_LINES = 20_000
"""The same for the page of a log, which is searched."""
MAX_WIDTH = 2000
"""Characters kept of a line."""
_LEVELS: dict[str, Level] = {"warn": "warn", "info": "info", "debug": "debug", "error": "error"}
# Python programs (vLLM) write the word in capitals near the start, Ollama `level=WARN`.
_WORD = re.compile(r"\b(?:level=)?(DEBUG|INFO|WARN|ERROR|CRITICAL|FATAL)(?:ING)?\b")
_WORD_WITHIN = 80


class LogTail:
    """Gives the newest lines at every look."""

    def __init__(self, directory: RunDirectory, *, first_bytes: int = FIRST_BYTES, most_lines: int = MOST_LINES) -> None:
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
        found = (item for line in kept for item in readable(line.decode("utf-8", errors="replace")))
        return LineChunk(tuple(LogLine(text[:MAX_WIDTH], level_of(level, text)) for level, text in found), len(lines) - len(kept))


def level_of(said: str | None, text: str) -> Level | None:
    """The level of a line: what its head says, else a word near its start."""
    if said is not None:
        return _LEVELS.get(said)
    word = _WORD.search(text[:_WORD_WITHIN])
    if word is None:
        return None
    return "error" if word[1] in ("ERROR", "CRITICAL", "FATAL") else _LEVELS[word[1].lower()]

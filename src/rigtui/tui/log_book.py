"""The lines of a log that are kept, and which of them are shown: filter, search, following. Bounded; no I/O, no widgets."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rigtui.tui.services import Level, LineChunk, LogLine

KEPT = 20_000
"""Lines; a quarter more before the oldest are let go."""
LEAST: tuple[Level | None, ...] = (None, "warn", "error")
"""The levels that the key steps through: all, warnings and errors, errors."""
_RANK: dict[Level | None, int] = {"debug": 0, "info": 1, None: 1, "warn": 2, "error": 3}


def words_of(text: str) -> tuple[str, ...]:
    """A filter as its words, all of which a line has to have."""
    return tuple(text.lower().split())


class LogBook:
    """Kept lines, shown lines, and the cursor among the shown ones."""

    def __init__(self) -> None:
        self.dropped = 0
        """Lines that came too fast to be kept, or were let go since."""
        self.following = True
        self.cursor = 0
        """Position among the shown lines."""
        self.least: Level | None = None
        self.filter = ""
        self._lines: list[LogLine] = []
        self._shown: list[int] = []

    def __len__(self) -> int:
        return len(self._shown)

    @property
    def total(self) -> int:
        """Lines that are kept."""
        return len(self._lines)

    def line(self, at: int) -> LogLine:
        """The shown line at a position."""
        return self._lines[self._shown[at]]

    @property
    def here(self) -> LogLine | None:
        """The line under the cursor."""
        return self.line(self.cursor) if self._shown else None

    def texts(self, most: int) -> list[str]:
        """The last shown lines, at most that many."""
        return [self._lines[at].text for at in self._shown[-most:]]

    def add(self, chunk: LineChunk) -> None:
        """More lines; the cursor goes along while following, and stays on its line otherwise."""
        start = len(self._lines)
        if chunk.dropped:
            self.dropped += chunk.dropped
            self._lines.append(LogLine(f"… {chunk.dropped:,} lines left out here; engine.log has them all"))
        self._lines += chunk.lines
        self._shown += self._passing(range(start, len(self._lines)))
        if len(self._lines) > KEPT * 5 // 4:
            self._let_go(len(self._lines) - KEPT)
        if self.following:
            self.cursor = max(0, len(self._shown) - 1)

    def _let_go(self, count: int) -> None:
        gone = sum(1 for at in self._shown if at < count)
        self._lines = self._lines[count:]
        self._shown = [at - count for at in self._shown[gone:]]
        self.cursor = max(0, self.cursor - gone)
        self.dropped += count

    def _passing(self, positions: Iterable[int]) -> list[int]:
        """Those of these positions whose lines are to be shown."""
        lines, words = self._lines, words_of(self.filter)
        if self.least is not None:
            least = _RANK[self.least]
            positions = [at for at in positions if _RANK[lines[at].level] >= least]
        for word in words:
            positions = [at for at in positions if word in lines[at].text.lower()]
        return list(positions)

    def show_only(self, *, least: Level | None, words: str) -> None:
        """Another level or filter; the cursor stays on its line, or goes to the nearest one before it."""
        here = self._shown[self.cursor] if self._shown else 0
        # A letter more leaves fewer lines of those that are shown: the others need no look.
        narrower = least == self.least and words.startswith(self.filter)
        self.least, self.filter = least, words
        self._shown = self._passing(self._shown if narrower else range(len(self._lines)))
        before = sum(1 for at in self._shown if at <= here)
        self.cursor = max(0, (len(self._shown) if self.following else before) - 1)

    def move(self, to: int) -> None:
        """The cursor to a position; at the last line it follows again."""
        last = max(0, len(self._shown) - 1)
        self.cursor = max(0, min(last, to))
        self.following = self.cursor == last

    def find(self, wanted: Callable[[LogLine], bool], step: int) -> bool:
        """Move to the next shown line that is wanted, after (1) or before (-1) the cursor, around the end. False: there is none."""
        count = len(self._shown)
        for away in range(1, count + 1):
            at = (self.cursor + step * away) % count
            if wanted(self.line(at)):
                self.cursor, self.following = at, False
                return True
        return False

    def explain(self, explanations: Iterable[str]) -> bool:
        """Move to the line that explains a failure: the last one, or the one before where the cursor is on one. Shows all lines for it."""
        texts = [text for text in explanations if text]

        def explains(line: LogLine) -> bool:
            return any(text in line.text for text in texts)

        if not any(explains(line) for line in self._lines):
            return False
        if (here := self.here) is None or not explains(here):
            self.show_only(least=None, words="")
            self.cursor = 0
        elif self.least is not None or self.filter:
            self.show_only(least=None, words="")
        return self.find(explains, -1)

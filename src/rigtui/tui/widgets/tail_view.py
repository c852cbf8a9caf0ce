"""The end of a log, wrapped: written to many times a second, it costs what its few rows on screen cost, and never a layout."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import pairwise

from rich._wrap import divide_line
from rich.segment import Segment
from textual.events import Resize
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget


class TailView(ScrollView, can_focus=True):
    """Keeps the last `most` lines and rows. Stays at the end while it is there, and on its row otherwise."""

    DEFAULT_CSS = "TailView { overflow-y: scroll; overflow-x: hidden; }"

    def __init__(self, most: int, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._lines: deque[str] = deque(maxlen=most)
        self._rows: deque[str] = deque(maxlen=most)
        self._width = 0
        """What the rows are wrapped for; 0: not known yet."""

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines that are kept, oldest first."""
        return tuple(self._lines)

    def write(self, lines: Iterable[str]) -> None:
        """More lines, cleaned already."""
        lines = tuple(lines)
        self._lines.extend(lines)
        if self._width:
            self._add(lines)

    def clear(self) -> None:
        """Nothing any more."""
        if self._lines:
            self._lines.clear()
            self._rows.clear()
            self._add(())

    def on_resize(self, event: Resize) -> None:  # noqa: ARG002 - Textual's signature
        """Rows follow the width."""
        width = self.scrollable_content_region.width
        if width > 0 and width != self._width:
            self._width = width
            self._rows.clear()
            self._add(self._lines)
            self.scroll_to(y=self.max_scroll_y, animate=False)

    def _add(self, lines: Iterable[str]) -> None:
        at_end = self.is_vertical_scroll_end and not self.is_vertical_scrollbar_grabbed
        added = [row for line in lines for row in wrapped(line, self._width)]
        gone = max(0, len(self._rows) + len(added) - (self._rows.maxlen or 0))
        self._rows.extend(added)
        # Assigned the plain way, another height would lay the whole screen out; the scrollbar has its place always.
        self.set_reactive(Widget.virtual_size, Size(self._width, len(self._rows)))
        self._scroll_update(self.virtual_size)
        self.scroll_to(y=self.max_scroll_y if at_end else max(0, self.scroll_y - gone), animate=False)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One row of the screen."""
        style, at = self.rich_style, self.scroll_offset.y + y
        row = [Segment(self._rows[at], style)] if at < len(self._rows) else []
        return Strip(row).adjust_cell_length(self.scrollable_content_region.width, style)


def wrapped(line: str, width: int) -> Iterator[str]:
    """The rows of a line in `width` cells, broken between words where that is possible."""
    if len(line) <= width and line.isascii():
        yield line
        return
    line = line.expandtabs(8)
    for start, stop in pairwise((0, *divide_line(line, width), len(line))):
        yield line[start:stop]

"""A log as rows, of which only those on screen are drawn: one line each, the cursor on one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.message import Message
from textual.widget import Widget

from rigtui.tui.log_text import log_line

if TYPE_CHECKING:
    from rigtui.tui.log_book import LogBook

WHEEL = 3
"""Lines a turn of the wheel moves."""


class LogView(Widget, can_focus=True):
    """Draws a book; whoever changes the book calls `show`."""

    DEFAULT_CLASSES = "panel"

    class Moved(Message):
        """The cursor of the book was moved with the mouse."""

    def __init__(self, book: LogBook, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._book = book
        self._top = 0
        self._search = ""

    def show(self, search: str = "") -> None:
        """Draw the book as it is now; what was searched for is marked."""
        self._search = search
        height = max(1, self.size.height)
        cursor, last = self._book.cursor, max(0, len(self._book) - height)
        top = last if self._book.following else max(cursor - height + 1, min(self._top, cursor))
        self._top = max(0, min(top, last))
        self.refresh()

    def on_resize(self) -> None:
        """The cursor stays in sight."""
        self.show(self._search)

    def render(self) -> Content:
        """The rows on screen."""
        width, last = self.size.width, min(len(self._book), self._top + max(1, self.size.height))
        return Content("\n").join(self._row(at, width) for at in range(self._top, last))

    def _row(self, at: int, width: int) -> Content:
        row = log_line(self._book.line(at), width, self._search)
        if at != self._book.cursor or self._book.following:
            return row
        row = Content.assemble(row, " " * max(0, width - row.cell_length))
        return row.stylize("bold underline" if self.app.no_color else "on $primary 30%")

    def _move(self, to: int) -> None:
        self._book.move(to)
        self.post_message(self.Moved())

    def on_click(self, event: Click) -> None:
        """The clicked line."""
        if self._top + event.y < len(self._book):
            self._move(self._top + event.y)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Back."""
        event.stop()
        self._move(min(self._book.cursor, self._top + self.size.height - 1) - WHEEL)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """On."""
        event.stop()
        self._move(self._book.cursor + WHEEL)

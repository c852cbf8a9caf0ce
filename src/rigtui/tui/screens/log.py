"""The log of a run, full screen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import RichLog

from rigtui.text import clean
from rigtui.tui.widgets.engine_dock import LOG_LINES


class LogScreen(ModalScreen[None]):
    """Everything kept of the engine's log; new lines join at the end."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,o", "close", "close")]

    def __init__(self, name: str, lines: Iterable[str]) -> None:
        super().__init__(classes="dialog")
        self._title, self._lines = clean(name), tuple(lines)

    def compose(self) -> ComposeResult:
        """The log."""
        log = RichLog(id="full-log", max_lines=LOG_LINES, markup=False, highlight=False, wrap=True, min_width=20)
        log.border_title = f"Log of {self._title}"
        log.border_subtitle = "arrows scroll · End follows · Esc closes"
        yield log

    def on_mount(self) -> None:
        """Show what there is."""
        self.write(self._lines)
        self.query_one(RichLog).focus()

    def write(self, lines: tuple[str, ...]) -> None:
        """More lines."""
        if lines:
            self.query_one(RichLog).write("\n".join(lines))

    def action_close(self) -> None:
        """Back to the cockpit."""
        self.dismiss(None)

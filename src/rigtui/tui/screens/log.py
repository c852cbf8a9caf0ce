"""The page of a run's log: follow it, search and filter it, and go to the line that explains a failure."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Key
from textual.widgets import Input, Static

from rigtui.tui import tasks
from rigtui.tui.bindings import bindings, keys_of
from rigtui.tui.log_book import LEAST, LogBook
from rigtui.tui.log_text import log_title, nothing_text
from rigtui.tui.messages import LinesRead, Noted
from rigtui.tui.rows import literal, wrapped
from rigtui.tui.run_text import run_name
from rigtui.tui.screens.page import Page
from rigtui.tui.widgets.entry import Entry
from rigtui.tui.widgets.log_view import LogView

if TYPE_CHECKING:
    from rigtui.runs.state import RunState
    from rigtui.tui.services import Services
    from rigtui.tui.state import Cockpit

COPIED = 2000
"""Lines that are copied at most: a clipboard is not a file."""
EVERYTHING = ("log.pause", "log.search", "log.filter", "log.level", "log.copy", "log.copy_all")
MOVING = ("log.up", "log.down", "log.page_up", "log.page_down", "log.top", "log.end")


class LogPage(Page):
    """The log in rows; below it the line under the cursor in full."""

    PLACE = "log"
    BINDINGS = bindings("log", "page")

    def __init__(self, services: Services, run: RunState) -> None:
        super().__init__(services)
        self._shown_run = run
        self._book = LogBook()
        self._search = ""
        self._title = ""
        self._detail_rows = 0
        """Rows that the line below the log takes."""
        self._entry: Callable[[str], None] | None = None

    def parts(self) -> ComposeResult:
        """Log, the line under the cursor, and a line to type into."""
        yield LogView(self._book, id="log-view")
        with VerticalScroll(id="log-line", classes="panel details", can_focus=False) as details:
            details.border_title = "Line"
            yield Static("", id="log-line-text", classes="details-text", markup=False)
        yield Entry(classes="entry", select_on_focus=False)

    def on_mount(self) -> None:
        """Read it until the page is left."""
        self.query_one(Input).cursor_blink = False
        self.query_one(LogView).focus()
        self._draw()
        self.background("log", partial(tasks.read_lines, self.services, self.post_message, self._shown_run.run))

    def show(self, state: Cockpit) -> None:
        """What became of the run."""
        run = next((run for run in state.runs if run.run == self._shown_run.run), self._shown_run)
        shown, self._shown_run = self._shown_run, run
        if (run.failure, run.attempts, run.live) != (shown.failure, shown.attempts, shown.live):
            self._draw()

    @on(LinesRead)
    def _lines_read(self, event: LinesRead) -> None:
        self._book.add(event.chunk)
        self._draw()

    @on(LogView.Moved)
    def _draw(self) -> None:
        view = self.query_one(LogView)
        title = log_title(run_name(self._shown_run), self._book, live=self._shown_run.live)
        if title != self._title:
            self._title = title
            view.border_title = literal(title)
        view.show(self._search)
        line, width = self._book.here, max(20, self.size.width - 6)
        rows = wrapped(line.text, width) if line is not None else wrapped(nothing_text(self._book, keys_of(self)), width)
        # While it follows a pouring log, another line of as many rows must not lay the page out again.
        self.query_one("#log-line-text", Static).update(Content("\n").join(rows), layout=len(rows) != self._detail_rows)
        self._detail_rows = len(rows)
        self.show_hints()

    def on_resize(self) -> None:
        """Lines are cut to the width."""
        self.call_after_refresh(self._draw)

    @property
    def _explanations(self) -> tuple[str, ...]:
        failures = [attempt.failure for attempt in self._shown_run.attempts] + [self._shown_run.failure]
        return tuple(failure.line for failure in failures if failure is not None and failure.line)

    def useful(self) -> tuple[str, ...]:
        """Search and copy where there is something; the explanation where something failed."""
        found = [*EVERYTHING, *MOVING] if self._book.total else []
        found += ["log.why"] if self._explanations else []
        return (*found, *(("log.next", "log.previous") if self._search else ()))

    def action_pause(self) -> None:
        """Stand still or follow."""
        if self._book.following:
            self._book.following = False
        else:
            self._book.move(len(self._book))
        self._draw()

    def action_move(self, step: int) -> None:
        """Another line."""
        self._book.move(self._book.cursor + step)
        self._draw()

    def action_page(self, step: int) -> None:
        """A page on or back."""
        self.action_move(step * max(1, self.query_one(LogView).size.height - 1))

    def action_ends(self, step: int) -> None:
        """The first or the last line."""
        self.action_move(step * len(self._book))

    def action_why(self) -> None:
        """The line that explains the failure."""
        if not self._book.explain(self._explanations):
            text = "the line that explains the failure is older than what is kept here; engine.log in the run's folder has it"
            self.post_message(Noted(text, title="log", failed=True))
        self._draw()

    def action_level(self) -> None:
        """All lines, warnings and errors, or errors."""
        least = LEAST[(LEAST.index(self._book.least) + 1) % len(LEAST)]
        self._book.show_only(least=least, words=self._book.filter)
        self._draw()

    def action_search(self) -> None:
        """Type what to search for."""
        self._type("search", self._search, self._searched)

    def action_filter(self) -> None:
        """Type the words that lines must have."""
        self._type("only lines with", self._book.filter, self._filtered)

    def _type(self, what: str, value: str, then: Callable[[str], None]) -> None:
        entry = self.query_one(Input)
        self._entry = None
        entry.placeholder, entry.value, self._entry = what, value, then
        entry.cursor_position = len(value)
        entry.display = True
        entry.focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if self._entry is not None:
            self._entry(event.value)

    def _searched(self, text: str) -> None:
        self._search = text.strip()
        self._draw()

    def _filtered(self, text: str) -> None:
        self._book.show_only(least=self._book.least, words=text.strip())
        self._draw()

    @on(Input.Submitted)
    def _entered(self) -> None:
        found = self._entry == self._searched and self._search
        self._leave_entry()
        if found:
            self.action_find(1)

    def _leave_entry(self) -> None:
        self.query_one(Input).display = False
        self._entry = None
        self.query_one(LogView).focus()

    def on_key(self, event: Key) -> None:
        """Escape in the entry takes it back; the key to what explains a failure says where nothing does."""
        if event.key in keys_of(self).of("log.why").split(",") and self._entry is None and not self._explanations:
            failure = self._shown_run.failure
            text = f"no line of the log tells it: {failure.text}" if failure is not None else "nothing failed here"
            self.post_message(Noted(text, title="log"))
        if event.key == "escape" and self._entry is not None:
            event.stop()
            event.prevent_default()
            self._entry("")
            self._leave_entry()

    def action_find(self, step: int) -> None:
        """The next or the last line with what was searched for."""
        text = self._search.lower()
        if text and not self._book.find(lambda line: text in line.text.lower(), step):
            self.post_message(Noted(f"nothing here has “{self._search}”", title="search"))
        self._draw()

    def action_copy(self) -> None:
        """Copy the line under the cursor."""
        if (line := self._book.here) is not None:
            self.copy(line.text)

    def action_copy_all(self) -> None:
        """Copy what is shown."""
        lines = self._book.texts(COPIED)
        self.app.copy_to_clipboard("\n".join(lines))
        self.notify(f"{len(lines):,} lines", title="copied", markup=False)

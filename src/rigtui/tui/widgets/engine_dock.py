"""The engine panel: what the shown run does, and the end of its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from rigtui.tui.bindings import keys_of
from rigtui.tui.run_text import run_lines
from rigtui.tui.widgets.tail_view import TailView

if TYPE_CHECKING:
    from rigtui.engines.live import Live
    from rigtui.runs.state import RunState

LOG_LINES = 5000


class EngineDock(Horizontal):
    """Facts on the left, log on the right (below in a narrow terminal)."""

    DEFAULT_CLASSES = "panel -idle"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.border_title = "Engine"
        self._run: RunState | None = None
        self._launching = ""
        self._runs: tuple[RunState, ...] = ()
        self._planned = False
        self._live: Live | None = None
        self._text: Content | None = None

    def compose(self) -> ComposeResult:
        """Facts and log."""
        yield Static(id="engine-facts", markup=False)
        yield TailView(LOG_LINES, id="engine-log")

    def show(self, run: RunState | None, *, launching: str, runs: tuple[RunState, ...], planned: bool, live: Live | None = None) -> None:
        """Show this run of all `runs`; `launching`: what a launch waits for; `planned`: there is a plan to launch."""
        if run is None or self._run is None or run.run != self._run.run:
            self.query_one(TailView).clear()
        self._run, self._launching, self._runs, self._planned, self._live = run, launching, runs, planned, live
        self.set_class(run is not None and run.phase in ("starting", "loading", "stopping", "failed"), "-busy")
        self.set_class(run is None, "-idle")
        self._draw()

    def write(self, lines: tuple[str, ...]) -> None:
        """More lines of the log, cleaned already."""
        self.query_one(TailView).write(lines)

    def on_resize(self) -> None:
        """Text follows the width."""
        self._draw()

    def _draw(self) -> None:
        facts = self.query_one("#engine-facts", Static)
        width = facts.scrollable_content_region.width
        if width <= 0:
            return
        lines = run_lines(
            self._run, width, keys_of(self), launching=self._launching, runs=self._runs, planned=self._planned, live=self._live
        )
        text = Content("\n").join(lines)
        if self._text is None or not text.is_same(self._text):
            self._text = text
            facts.update(text)

"""The page of the runs: all that this rig knows, and the story of the one under the cursor."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from rigtui.tui import tasks
from rigtui.tui.bindings import bindings
from rigtui.tui.messages import HistoryRead
from rigtui.tui.run_text import base_url, run_name
from rigtui.tui.runs_text import card_names, run_row, story
from rigtui.tui.screens.dialogs import Answer, QuestionScreen
from rigtui.tui.screens.log import LogPage
from rigtui.tui.screens.page import Page

if TYPE_CHECKING:
    from rigtui.runs.state import RunState
    from rigtui.tui.services import Services
    from rigtui.tui.state import Cockpit


class RunsPage(Page):
    """Runs in a list, the newest first; below it the one under the cursor."""

    PLACE = "runs"
    BINDINGS = bindings("runs", "page")

    def __init__(self, services: Services, state: Cockpit, choose: Callable[[str], object]) -> None:
        super().__init__(services)
        self._state, self._choose = state, choose
        self._history: tuple[RunState, ...] = ()
        self._rows: tuple[RunState, ...] = ()

    def parts(self) -> ComposeResult:
        """List and story."""
        yield OptionList(id="runs", classes="panel list", markup=False)
        with VerticalScroll(id="story", classes="panel") as details:
            details.border_title = "Run"
            yield Static("", id="story-text", classes="details-text", markup=False)

    def on_mount(self) -> None:
        """Show what is known, and read the rest."""
        self.query_one(OptionList).focus()
        self.show(self._state)
        self.background("history", partial(tasks.read_history, self.services, self.post_message))

    def on_resize(self) -> None:
        """Names are shortened to the width."""
        self.call_after_refresh(self._list)

    @on(HistoryRead)
    def _history_read(self, event: HistoryRead) -> None:
        self._history = event.runs
        self._list()

    def show(self, state: Cockpit) -> None:
        """The runs as they are now."""
        known = {run.run: run for run in self._history} | {run.run: run for run in state.runs}
        self._state, self._history = state, tuple(known.values())
        self._list()

    def _list(self) -> None:
        listed = self.query_one_optional(OptionList)
        if listed is None or (width := listed.scrollable_content_region.width - 2) <= 0:
            return
        here = self._here.run if self._here is not None else self._state.attached
        before = [run_row(run, width).plain for run in self._rows]
        self._rows = tuple(sorted(self._history, key=lambda run: (run.live, run.started), reverse=True))
        rows = [run_row(run, width) for run in self._rows]
        if [line.plain for line in rows] != before or not before:
            listed.set_options(Option(line) for line in rows)
            names = [run.run for run in self._rows]
            listed.highlighted = names.index(here) if here in names else 0 if names else None
            live = sum(run.live for run in self._rows)
            listed.border_title = f"Runs · {live} running, {len(names) - live} ended" if names else "Runs · none yet"
        self._tell()

    @property
    def _here(self) -> RunState | None:
        return self.under_cursor(self._rows)

    @on(OptionList.OptionHighlighted)
    def _tell(self) -> None:
        run = self._here
        if run is not None:
            live = self._state.live if run.run == self._state.attached else None
            lines = story(run, live, card_names(self._state.rig), max(20, self.size.width - 6))
            self.query_one("#story-text", Static).update(Content("\n").join(lines))
        self.show_hints()

    def useful(self) -> tuple[str, ...]:
        """What can be done with the run under the cursor."""
        run = self._here
        if run is None:
            return ()
        shown = any(run.run == other.run for other in self._state.runs)
        found = ["runs.log", *(["runs.show"] if shown else [])]
        found += ["runs.stop"] if run.live else []
        return (*found, *(["runs.copy"] if run.phase == "ready" else []))

    @on(OptionList.OptionSelected)
    def action_show(self) -> None:
        """Show it in the cockpit."""
        if (run := self._here) is not None and "runs.show" in self.useful():
            self._choose(run.run)
            self.dismiss(None)

    def action_log(self) -> None:
        """Its log."""
        if (run := self._here) is not None:
            self.app.push_screen(LogPage(self.services, run))

    def action_copy(self) -> None:
        """Copy what clients are given."""
        if (run := self._here) is not None:
            self.copy(base_url(run))

    def action_stop(self) -> None:
        """Stop it, after asking."""
        if (run := self._here) is None:
            return
        name = run_name(run)
        answers = (Answer("stop", f"Stop {name}"), Answer("keep", "Leave it running"))

        def answered(answer: str | None) -> None:
            if answer == "stop":
                self.background("stop", partial(tasks.stop, self.services, self.post_message, run))

        self.app.push_screen(QuestionScreen("Stop", f"{name} is {run.phase} on port {run.port}.", answers), answered)

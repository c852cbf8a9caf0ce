"""The page of a profile's tuning: what is tried now, the trials so far as a table and a plot, and the best of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace
from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static
from textual.worker import Worker

from rigtui.tui import tune_tasks as tasks
from rigtui.tui.bindings import bindings, keys_of
from rigtui.tui.messages import TrialSeen, TunerReady, TuningEnded, TuningSaid, TuningSeen
from rigtui.tui.rows import literal
from rigtui.tui.screens.page import Page
from rigtui.tui.tune_text import MEASURES, Standing, standing_lines, trial_plot, trial_table, tune_title

if TYPE_CHECKING:
    from rigtui.tui.services import Services, Tuner


class TunePage(Page):
    """Trials run while this page is there: leaving it stops the one that is going on, and waits for its engine to go."""

    PLACE = "tune"
    BINDINGS = bindings("tune", "page")
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-tall"), (44, "-high")]  # noqa: RUF012 - an instance variable by Textual's types

    def __init__(self, services: Services, profile: str) -> None:
        super().__init__(services)
        self._profile = profile
        self._tuner: Tuner | None = None
        self._now = Standing()
        self._plotted = 0
        self._trials: Worker[None] | None = None
        self._opening = False
        self._leaving = False

    def parts(self) -> ComposeResult:
        """How it stands, the table, the plot."""
        with VerticalScroll(id="tuning", classes="panel details", can_focus=False):
            yield Static("", id="tuning-text", classes="details-text", markup=False)
        with VerticalScroll(id="trials", classes="panel") as table:
            table.border_title = "Trials"
            yield Static("", id="trials-text", classes="details-text", markup=False)
        with VerticalScroll(id="tuning-plot", classes="panel", can_focus=False) as plot:
            plot.border_title = "Plot"
            yield Static("", id="tuning-plot-text", classes="details-text", markup=False)

    def on_mount(self) -> None:
        """Read what was tried."""
        self.query_one("#trials").focus()
        self._draw()
        self._open(again=False)

    def on_resize(self) -> None:
        """Lines follow the width."""
        self.call_after_refresh(self._draw)

    def _open(self, *, again: bool) -> None:
        self._opening = True
        self.background("tuner", partial(tasks.open_tuner, self.services.profiles, self.post_message, self._profile, again))

    def _draw(self) -> None:
        now, keys = self._now, keys_of(self)
        width = max(20, self.size.width - 6)
        self.query_one("#tuning").border_title = literal(tune_title(self._profile, now.view))
        self.query_one("#tuning-text", Static).update(Content("\n").join(standing_lines(now, keys, width)))
        if now.view is not None:
            self.query_one("#trials-text", Static).update(Content("\n").join(trial_table(now.view, width)))
            height = self.query_one("#tuning-plot").scrollable_content_region.height
            plot = trial_plot(now.view, MEASURES[self._plotted], width, height)
            self.query_one("#tuning-plot-text", Static).update(Content("\n").join(plot))
        self.show_hints()

    def useful(self) -> tuple[str, ...]:
        """Start where something is left to try, stop what runs, save what was found."""
        now, view = self._now, self._now.view
        if now.stopping or self._opening or view is None or not view.axes:
            return ()
        found = ["tune.plot"] if view.trials else []
        if now.running:
            return (*found, "tune.stop")
        found += ["tune.start"] if view.following is not None else []
        found += ["tune.save"] if view.best is not None else []
        return (*found, *(["tune.anew"] if view.trials else []))

    def faulted(self, group: str, text: str) -> None:  # noqa: ARG002 - told by the page itself
        """A tuning that is not being opened any more."""
        if group == "tuner":
            self._opening = False
            self.show_hints()

    @on(TuningSaid)
    def _said(self, event: TuningSaid) -> None:
        self._now = replace(self._now, said=event.text)
        self._draw()

    @on(TunerReady)
    def _ready(self, event: TunerReady) -> None:
        self._opening = False
        anew, self._tuner = self._tuner is not None, event.tuner
        self._now = Standing(view=event.view)
        if anew:
            self.action_start()
        self._draw()

    def action_start(self) -> None:
        """Try what is left."""
        if self._tuner is not None and not self._now.running:
            self._now = replace(self._now, running=True, stopping=False, trial=None, problem="")
            work = partial(tasks.run_trials, self._tuner, self.post_message)
            self._trials = self.run_worker(work, thread=True, group="trials", description="trials", exit_on_error=False)
            self._draw()

    @on(TuningSeen)
    def _seen(self, event: TuningSeen) -> None:
        self._now = replace(self._now, view=event.view, trial=None)
        self._draw()

    @on(TrialSeen)
    def _trial_seen(self, event: TrialSeen) -> None:
        self._now = replace(self._now, trial=event.run)
        self._draw()

    @on(TuningEnded)
    def _ended(self, event: TuningEnded) -> None:
        self._trials, self._opening = None, False
        self._now = replace(self._now, running=False, stopping=False, trial=None, problem=event.problem)
        if self._leaving:
            self.dismiss(None)
        else:
            self._draw()

    def action_stop(self) -> None:
        """Stop the trial that is going on; what was measured stays."""
        if self._trials is not None:
            self._trials.cancel()
            self._now = replace(self._now, stopping=True)
            self._draw()

    def action_anew(self) -> None:
        """Begin anew: the trials so far stay in the results."""
        self._open(again=True)
        self.show_hints()

    def action_plot(self) -> None:
        """Draw something else of the trials."""
        self._plotted = (self._plotted + 1) % len(MEASURES)
        self._draw()

    def action_save(self) -> None:
        """Write the best settings into the profile."""
        if self._tuner is not None:
            self.background("save", partial(tasks.save, self._tuner, self.post_message))

    def action_close(self) -> None:
        """Back, once no engine of a trial is left; a second time: at once."""
        if self._trials is None or self._leaving:
            self.dismiss(None)
            return
        self._leaving = True
        self.action_stop()

"""The cockpit: shows one state, turns keys and messages into the next one. It alone owns the state."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.events import DescendantBlur, DescendantFocus, Key

from rigtui.tui import state as st
from rigtui.tui import tasks
from rigtui.tui.actions import ACTIONS, called
from rigtui.tui.allowed import USABLE, allowed, unmet
from rigtui.tui.bindings import bindings, offered
from rigtui.tui.messages import LiveRead, LogRead, ModelsFound, Noted, PlanDerived, Prepared, RigRead, RunsRead, TipsRead
from rigtui.tui.read_only import REFUSED
from rigtui.tui.run_text import LAUNCHING
from rigtui.tui.screens.engine_actions import EngineActions
from rigtui.tui.screens.model_actions import ModelActions
from rigtui.tui.screens.page_actions import PageActions
from rigtui.tui.screens.plan_actions import PlanActions
from rigtui.tui.screens.rig_actions import RigActions
from rigtui.tui.screens.verify_actions import VerifyActions
from rigtui.tui.screens.what_if_actions import WhatIfActions
from rigtui.tui.segments import rows
from rigtui.tui.tips import TIPS
from rigtui.tui.view import choice_rows, models_subtitle, remark
from rigtui.tui.widgets.bars import RigBars
from rigtui.tui.widgets.choices import Choices
from rigtui.tui.widgets.engine_dock import EngineDock
from rigtui.tui.widgets.lines import HintLine, TipLine, TopLine
from rigtui.tui.widgets.picker import ModelPicker
from rigtui.tui.widgets.plan_panel import PlanPanel


class CockpitScreen(EngineActions, ModelActions, PlanActions, VerifyActions, WhatIfActions, RigActions, PageActions):
    """Cards, models, choices, plan and engine on one screen."""

    PLACE = "cockpit"
    AUTO_FOCUS = "#model-list"
    BINDINGS = bindings("cockpit")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - an instance variable by Textual's types
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-tall"), (44, "-high")]  # noqa: RUF012

    _adopted = False
    _hurried = False

    def compose(self) -> ComposeResult:
        """The parts, top to bottom."""
        yield TopLine(id="top")
        with VerticalScroll(id="cards", can_focus=False):
            yield RigBars(id="bars")
        with Horizontal(id="main"):
            with Vertical(id="left"):
                yield ModelPicker(id="models")
                yield Choices(id="choices")
            yield PlanPanel(id="plan")
        yield EngineDock(id="engine")
        yield TipLine(id="tips")
        yield HintLine(id="hints")

    def on_mount(self) -> None:
        """Show what is known, nothing yet; what takes time begins once that stands on the screen."""
        self.show()
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        self.background("prepare", partial(tasks.begin, self.services, self.post_message, self.watch_rig))

    def on_unmount(self) -> None:
        """Nobody looks any more."""
        self.watch_rig.end()

    def show(self) -> None:
        """Bring every part up to the state; each compares before it paints."""
        state = self.state
        with self.app.batch_update():
            others = sum(run.run != state.attached for run in state.live_runs)
            self.query_one(TopLine).show(state.rig, state.run, launching=state.launching, others=others)
            shown = state.plan if state.preview else None
            self.query_one(RigBars).show(rows(state.rig, shown, state.history) if state.rig else (), remark(state))
            self.show_models(models_subtitle(state))
            self.query_one(Choices).show(choice_rows(state), live=USABLE.met(state))
            self.query_one(PlanPanel).show(state)
            planned = state.plan is not None and "engine.launch" in offered(self, allowed(state))
            waits = (state.launching_says or LAUNCHING) if state.launching else ""
            self.query_one(EngineDock).show(state.run, launching=waits, runs=state.runs, planned=planned, live=state.live)
            self.query_one(TipLine).show(state)
            self._show_hints()
            self.show_pages()

    @on(DescendantFocus)
    @on(DescendantBlur)
    def _show_hints(self) -> None:
        """What the keys do now: where the choices have the focus, first what they do there."""
        turning = self.query_one(Choices)
        works = (*(turning.useful() if turning.has_focus else ()), *allowed(self.state))
        self.query_one(HintLine).show(offered(self, works))

    def action_scroll_plan(self, step: int) -> None:
        """Read on in the plan, or back."""
        self.query_one(PlanPanel).read_on(step)

    def action_hide_tips(self) -> None:
        """The first steps are known."""
        self.change(replace(self.state, learned=frozenset(TIPS)))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys whose action does nothing now are dead."""
        call = called(action, parameters)
        known = next((entry for entry in ACTIONS if entry.method == call), None)
        return True if known is None or known.id in offered(self, allowed(self.state)) else None

    def on_key(self, event: Key) -> None:
        """A key that does nothing now says why."""
        here, keys = (action for action in ACTIONS if action.screen == self.PLACE), self.state.keys
        action = next((action for action in here if event.key in keys.of(action.id).split(",")), None)
        if action is None:
            return
        why = unmet(self.state, action.id) or (REFUSED if not offered(self, (action.id,)) else None)
        if why is not None:
            self.post_message(Noted(why, title=action.hint))

    # What background work reports

    @on(TipsRead)
    def _tips_read(self, event: TipsRead) -> None:
        # Not by `change`, which would write down again what was just read.
        self.state = replace(self.state, learned=event.learned)
        self.show()

    @on(RigRead)
    def _rig_read(self, event: RigRead) -> None:
        if self.state.machine is not None:
            # Another rig is tried in its place.
            self.state = replace(self.state, machine=event.rig)
            return
        state = st.with_rig(self.state, event.rig)
        # What runs right now was planned before it took the memory: planning it again would ask for it twice. A dry run's is given back.
        self.change(state, plan=state.preview and state.undisturbed is None and self.pace.due(event.rig))

    @on(Prepared)
    def _prepared(self, event: Prepared) -> None:
        first = not self.state.use_cases
        self.change(replace(self.state, use_cases=event.use_cases, builds=event.builds, folders=event.folders), plan=self.state.preview)
        if first:
            self.background("runs", self.watch_runs.loop)
            self.background("live", self.watch_live.loop)
            self.search_models()

    @on(ModelsFound)
    def _models_found(self, event: ModelsFound) -> None:
        before = self.state.candidate
        state = replace(st.with_candidates(self.state, event.candidates, done=event.done), scanned=event.looked_at)
        self.change(state, plan=state.preview and state.candidate != before)

    @on(PlanDerived)
    def _plan_derived(self, event: PlanDerived) -> None:
        if event.stamp == self.deriving:
            self.deriving = None
        self.change(st.with_plan(self.state, event.stamp, event.plan, event.problem))
        self.verify_plan()

    @on(RunsRead)
    def _runs_read(self, event: RunsRead) -> None:
        before, preview = self.state, self.state.preview
        state = st.with_runs(before, event.runs)
        if not self._adopted:
            self._adopted = True
            request = event.requests.get(state.attached or "")
            if request is not None:
                state = st.adopt(state, request)
                # Its plan was made on a reading that is not known here.
                self.pace.on = None
        loading = any(run.phase in ("starting", "loading") or run.measuring for run in state.live_runs)
        if loading != self._hurried:
            self._hurried = loading
            self.services.hurry(loading)
            if loading:
                self.workers.cancel_group(self, "verify")
                state = st.dry_run_over(state)
        measured = st.newly_measured(before, state)
        # What a run held is free again once it has ended.
        self.change(state, plan=state.preview and (measured or not preview))
        if measured and not state.preview and self.pace.on is not None:
            # The plan of what runs, with what was measured: on the reading from before it took the memory.
            self.replan(self.pace.on)

    @on(LiveRead)
    def _live_read(self, event: LiveRead) -> None:
        if event.run == self.state.attached and event.live != self.state.live:
            self.change(replace(self.state, live=event.live))

    @on(LogRead)
    def _log_read(self, event: LogRead) -> None:
        if event.run != self.state.attached:
            return
        lines = event.chunk.lines
        if event.chunk.dropped:
            lines = (f"… {event.chunk.dropped:,} lines left out here; engine.log has them all", *lines)
        self.query_one(EngineDock).write(lines)
        self.watch_live.heard(event.chunk.lines)

    def faulted(self, group: str, text: str) -> None:
        """A plan or a launch that is not coming."""
        if group == "plan":
            self.deriving = None
            self.change(st.with_plan(self.state, self.state.asked, None, text))
        elif group == "launch":
            self.change(replace(self.state, launching=False))

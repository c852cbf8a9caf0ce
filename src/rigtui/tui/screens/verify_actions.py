"""Has the plan on the screen verified by its engine, in the background: once it stands still, and never while a run loads."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace
from textual import on

from rigtui.tui import state as st
from rigtui.tui import tasks
from rigtui.tui.messages import PlanVerified, VerifyStarted
from rigtui.tui.screens.base import CockpitBase

if TYPE_CHECKING:
    from rigtui.planning.plan import Plan

MOST_IN_A_ROW = 3
"""An answer may make another plan the better one, which is then asked about in its turn."""
_FREE_STEP = 26
"""Plans on free memory that differs by less than 64 MiB are one question."""


class VerifyActions(CockpitBase):
    """The part of the cockpit that asks engines."""

    _question: tuple[object, ...] = ()
    _answered: tuple[object, ...] = ()
    """The last question that came to an end, so that an engine that gave no answer is not asked again and again."""
    _choice: tuple[object, ...] = ()
    _in_a_row = 0

    def verify_plan(self) -> None:
        """Ask about the plan that is shown, where that is possible and was not just done."""
        state, plan, intent = self.state, self.state.plan, st.intent(self.state)
        model = state.candidate.model if state.candidate else None
        if plan is None or model is None or intent is None or state.builds is None or not self._may_ask(plan):
            return
        question = (plan.command, tuple(device.free_before_bytes >> _FREE_STEP for device in plan.devices))
        if question == self._answered:
            return
        if state.choice != self._choice:
            self._choice, self._in_a_row = state.choice, 0
        if self._in_a_row >= MOST_IN_A_ROW:
            return
        self._question = question
        self._in_a_row += 1
        work = partial(tasks.verify, self.services, self.post_message, state.asked, plan, model, intent, state.builds)
        self.background("verify", work, exclusive=True)

    def _may_ask(self, plan: Plan) -> bool:
        state = self.state
        loading = state.launching or any(run.phase != "ready" or run.measuring for run in state.live_runs)
        return state.preview and state.machine is None and not loading and self.services.can_verify(plan, state.builds or ())

    @on(VerifyStarted)
    def _verify_started(self, event: VerifyStarted) -> None:
        if event.stamp == self.state.asked:
            self.change(replace(self.state, verifying=True, undisturbed=self.state.ground, verify_problem=""))

    @on(PlanVerified)
    def _plan_verified(self, event: PlanVerified) -> None:
        if event.stamp != self.state.asked:
            return
        self._answered = self._question
        state = st.dry_run_over(self.state, event.problem)
        self.change(state, plan=not event.problem and state.preview)

"""What the keys of the engine do: launch, stop, ask, copy, log."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace
from textual import on

from rigtui.text import clean
from rigtui.tui import rig_swap, tasks
from rigtui.tui import state as st
from rigtui.tui.messages import Launched, LaunchSaid, Noted
from rigtui.tui.run_text import curl_command, other_steps, run_name
from rigtui.tui.screens.base import CockpitBase

if TYPE_CHECKING:
    from rigtui.runs.state import RunState
    from rigtui.tui.services import Others


class EngineActions(CockpitBase):
    """The part of the cockpit that deals with runs."""

    def action_launch(self) -> None:
        """Launch the plan; ask first where the rig is not this machine."""
        state = self.state
        if state.launching:
            return
        if rig_swap.tried(state):
            text = f"a rig that is only tried cannot launch; {state.keys.shown('rig.other')} goes back to this machine"
            self.post_message(Noted(text, title="launch", failed=True))
            return
        if state.plan is None:
            self.post_message(Noted(state.plan_problem or "there is no plan to launch yet", title="launch", failed=True))
            return
        if state.plan.status == "no_fit":
            text = "this does not fit the rig; the plan says why, and what would"
            self.post_message(Noted(text, title="launch", failed=True))
            return
        rig, candidate = state.rig, state.candidate
        if rig is not None and rig.simulated and candidate is not None and not self.services.launches_unasked(candidate):
            self._ask_to_launch_here(clean(rig.name))
        else:
            self._launch_beside_what_runs()

    def _ask_to_launch_here(self, rig: str) -> None:
        """No engine can start on a rig that is only described."""
        from rigtui.tui.screens.dialogs import Answer, QuestionScreen

        text = (
            f"The rig “{rig}” is only described by a file. The engine would start on this machine, with the cards and the RAM that are "
            f"here: this plan does not know them, and what is measured says nothing about {rig}."
        )
        answers = (Answer("keep", "Launch nothing"), Answer("here", "Launch it on this machine all the same"))

        def answered(answer: str | None) -> None:
            if answer == "here":
                self._launch_beside_what_runs()

        self.app.push_screen(QuestionScreen("Launch", text, answers), answered)

    def _launch_beside_what_runs(self) -> None:
        """Launch; ask first when another run holds the cards."""
        from rigtui.tui.screens.dialogs import Answer, QuestionScreen

        live = self.state.live_runs
        if not live:
            self._launch("attach")
            return
        names = ", ".join(f"{run_name(run)} ({run.phase}, port {run.port})" for run in live)
        text = f"Running on this rig: {names}."
        answers = (
            Answer("replace", "Replace: stop it, then launch as if it had not been there"),
            Answer("beside", "Beside: leave it running and use what is free"),
        )
        self.app.push_screen(QuestionScreen("Launch", text, answers), self._launch_answered)

    def _launch_answered(self, answer: str | None) -> None:
        if answer is not None:
            self._launch("replace" if answer == "replace" else "beside")

    def _launch(self, others: Others) -> None:
        candidate, intent = self.state.candidate, st.intent(self.state)
        plan = self.state.plan
        if candidate is None or intent is None or plan is None:
            return
        # A dry run holds memory on the cards.
        self.workers.cancel_group(self, "verify")
        self.change(replace(st.dry_run_over(self.state), launching=True, launching_says=""))
        work = partial(tasks.launch, self.services, self.post_message, candidate, intent, plan, others)
        self.background("launch", work)

    @on(LaunchSaid)
    def _launch_said(self, event: LaunchSaid) -> None:
        self.change(replace(self.state, launching_says=event.text))

    @on(Launched)
    def _launched(self, event: Launched) -> None:
        if event.launch is None:
            self.change(replace(self.state, launching=False))
            self.post_message(Noted(event.problem, title="launch", failed=True))
            return
        self.change(st.attach(self.state, event.launch.run))
        if event.launch.note:
            self.post_message(Noted(event.launch.note, title="launch"))

    def action_stop(self) -> None:
        """Stop the shown run, or have it take another step of its ladder, after asking."""
        from rigtui.tui.screens.dialogs import Answer, QuestionScreen

        run = self.state.run
        if run is None or not run.live:
            return
        name = run_name(run)
        others = tuple(Answer(str(number), text) for number, text in other_steps(run))
        answers = (Answer("stop", f"Stop {name}"), *others, Answer("keep", "Leave it running"))
        text = f"{name} is {run.phase} on port {run.port}."
        self.app.push_screen(QuestionScreen("Stop", text, answers), partial(self._stop_answered, run))

    def _stop_answered(self, run: RunState, answer: str | None) -> None:
        if answer == "stop":
            self.background("stop", partial(tasks.stop, self.services, self.post_message, run))
        elif answer is not None and answer.isdecimal():
            self.background("stop", partial(tasks.take_step, self.services, self.post_message, run, int(answer)))

    def action_ask(self) -> None:
        """One test question."""
        from rigtui.tui.screens.ask import AskScreen

        run = self.state.run
        if run is not None and run.phase == "ready":
            self.app.push_screen(AskScreen(run, self.services.ask))

    def action_copy_curl(self) -> None:
        """Copy a command for the running model."""
        run = self.state.run
        if run is not None:
            command = curl_command(run)
            self.app.copy_to_clipboard(command)
            self.notify("a curl command for this model", title="copied", markup=False)

    def action_open_log(self) -> None:
        """The whole log."""
        from rigtui.tui.screens.log import LogPage

        run = self.state.run
        if run is not None:
            self.app.push_screen(LogPage(self.services, run))

    def action_next_run(self) -> None:
        """Another run."""
        state = st.next_run(self.state)
        self.change(state, plan=state.preview)

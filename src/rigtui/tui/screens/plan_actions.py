"""What the keys of choices, plan and profile do; plans side by side, and one that would work instead."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace
from textual import on

from rigtui.tui import state as st
from rigtui.tui import tasks
from rigtui.tui.messages import AlternativeFound, ExportReady, Noted, Saved, Taken
from rigtui.tui.screens.base import CockpitBase
from rigtui.tui.taking import named
from rigtui.tui.view import profile_of
from rigtui.tui.widgets.choices import Choices
from rigtui.tui.widgets.plan_panel import PlanPanel

if TYPE_CHECKING:
    from rigtui.planning.plan import Plan
    from rigtui.tui.state import Cockpit

MOST_CONTEXT = 1 << 24


class PlanActions(CockpitBase):
    """The part of the cockpit that changes choices, compares plans and keeps them."""

    @on(Choices.Turned)
    def _turned(self, event: Choices.Turned) -> None:
        if event.name == "context":
            if event.step:
                self.action_context(event.step)
            else:
                self.action_context_exact()
        elif event.name == "use_case":
            self.action_use_case(event.step or 1)
        elif event.name == "kv_type":
            self.action_kv_type(event.step or 1)

    def action_use_case(self, step: int) -> None:
        """Another use case."""
        self.change(st.next_use_case(self.state, step), plan=True)

    def action_context(self, step: int) -> None:
        """Less or more context; at the end of the way it is said that there is no more."""
        now, most = st.context_now(self.state), st.most_context(self.state)
        if step > 0 and now is not None and now >= most:
            text = "this is all the model was trained for" if now == most else f"the model was trained for no more than {most:,}"
            self.post_message(Noted(f"{now:,} tokens: {text}", title="context"))
            return
        self.change(st.step_context(self.state, step), plan=True)

    def action_context_exact(self) -> None:
        """Type the context."""
        from rigtui.tui import typed
        from rigtui.tui.screens.dialogs import LineScreen

        def wrong(line: str) -> str | None:
            return typed.number_problem(line, 1, MOST_CONTEXT, "a number of tokens (65536 or 64k)")

        own = self.state.overrides.context
        text = "Tokens per request, such as 64k. Empty: rigtui gives as much as fits, up to what the use case wants."
        self.app.push_screen(LineScreen("Context", text, str(own) if own else "", wrong), self._context_typed)

    def _context_typed(self, text: str | None) -> None:
        from rigtui.tui import typed

        if text is not None:
            wanted, trained = typed.number(text), st.trained_context(self.state)
            self.change(st.with_context(self.state, wanted), plan=True)
            if wanted and trained and wanted > trained:
                text = f"{wanted:,} tokens, as you set: the model was trained for {trained:,}, beyond that it loses track"
                self.post_message(Noted(text, title="context"))

    def action_kv_type(self, step: int) -> None:
        """Another KV type."""
        self.change(st.cycle_kv(self.state, step), plan=True)

    def action_reset(self) -> None:
        """The user's changes taken back."""
        self.change(st.reset(self.state), plan=True)

    def action_compare(self) -> None:
        """Plans side by side."""
        from rigtui.tui.screens.compare import ComparePage

        self.app.push_screen(ComparePage(self.services, self.state, self._compared, self._take))

    def action_take_alternative(self, number: int) -> None:
        """The plan with this number under `instead` becomes the choice."""
        offered = self.state.plan.alternatives[number - 1 : number] if self.state.plan is not None else ()
        asked = st.derivation(self.state)
        if offered and asked is not None:
            answer = partial(AlternativeFound, offered[0])
            self.background("others", partial(tasks.derive_others, self.services, self.post_message, *asked, answer=answer), exclusive=True)

    @on(AlternativeFound)
    def _alternative_found(self, event: AlternativeFound) -> None:
        plan = named(event.alternative, event.plans)
        if self.state.plan is None or event.alternative not in self.state.plan.alternatives:
            return
        if plan is None:
            self.post_message(Noted("this one needs another file than the chosen model", title="instead"))
        else:
            self._take(plan)

    def _take(self, plan: Plan) -> None:
        """Find out which settings give this plan; they become the user's."""
        self.background("take", partial(tasks.take, self.services, self.post_message, self.state, plan), exclusive=True)

    @on(Taken)
    def _taken(self, event: Taken) -> None:
        if event.before != self.state.choice:
            return  # something else was chosen meanwhile
        self.change(replace(self.state, overrides=event.chosen.overrides, engine=event.chosen.engine), plan=True)
        self.query_one(PlanPanel).scroll_home(animate=False)
        if event.note:
            self.post_message(Noted(event.note, title="instead"))

    def _compared(self, state: Cockpit) -> None:
        self.change(state, plan=state.choice != self.state.choice)

    def action_save_profile(self) -> None:
        """Type a name and keep the choices."""
        from rigtui.tui.screens.dialogs import LineScreen
        from rigtui.tui.typed import name_problem

        candidate, intent = self.state.candidate, st.intent(self.state)
        if candidate is None or intent is None:
            return
        text = "Model, use case and your own changes are kept under this name; `rigtui run NAME` launches them."
        # What is changed of a profile belongs into that; its name can still be typed over.
        loaded = self.state.saved[0] if self.state.saved is not None and profile_of(self.state)[0] else ""
        name = intent.profile or loaded or st.default_name(candidate, intent)
        save = partial(tasks.save_profile, self.services, self.post_message, candidate, intent)
        line = LineScreen("Save as a profile", text, name, name_problem, follow=partial(save, False), replace=partial(save, True))
        self.app.push_screen(line)

    @on(Saved)
    def _saved(self, event: Saved) -> None:
        from rigtui.tui.screens.profiles import ProfilesPage

        self.change(replace(self.state, saved=(event.name, self.state.choice)))
        for screen in self.app.screen_stack:
            if isinstance(screen, ProfilesPage):
                screen.stored(event.name)
        self.post_message(Noted(f"saved as {event.name} in {event.where}", title="profile"))

    def action_export(self) -> None:
        """Show them as other tools take them."""
        candidate, intent, plan = self.state.candidate, st.intent(self.state), self.state.plan
        if candidate is not None and intent is not None and plan is not None:
            work = partial(tasks.export, self.services, self.post_message, candidate, intent, plan)
            self.background("profile", work)

    @on(ExportReady)
    def _export_ready(self, event: ExportReady) -> None:
        from rigtui.tui.screens.export import ExportScreen

        self.app.push_screen(ExportScreen(event.texts, self.services.write_export))

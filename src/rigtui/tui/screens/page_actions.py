"""The keys that open pages, and how a page is kept up to what the cockpit knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on

from rigtui.tui import state as st
from rigtui.tui.messages import Noted
from rigtui.tui.screens.base import CockpitBase
from rigtui.tui.widgets.bars import RigBars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rigtui.tui.keys import Keys
    from rigtui.tui.services import LoadedProfile, RemovedProfile, Services


class PageActions(CockpitBase):
    """The part of the cockpit that opens pages."""

    def __init__(self, services: Services, keys: Keys, program: str = "rigtui") -> None:
        super().__init__(services, keys, program)
        self._removed_profiles: list[RemovedProfile] = []

    def show_pages(self) -> None:
        """Bring open pages up to the state."""
        above = self.app.screen_stack[1:]
        if not above:
            return
        from rigtui.tui.screens.page import Page

        for screen in above:
            if isinstance(screen, Page):
                screen.show(self.state)

    @on(RigBars.Opened)
    def action_open_cards(self) -> None:
        """Who holds the VRAM."""
        from rigtui.tui.screens.cards import CardsPage

        rig = self.state.rig
        if rig is not None and not rig.gpus:
            self.post_message(Noted("no card here can be read, so nobody holds any VRAM", title="VRAM"))
        elif rig is not None:
            self.app.push_screen(CardsPage(self.services, self.state))

    def action_open_runs(self) -> None:
        """All runs."""
        from rigtui.tui.screens.runs import RunsPage

        self.app.push_screen(RunsPage(self.services, self.state, self.show_run))

    def show_run(self, run: str) -> None:
        """Show this run."""
        state = st.show_run(self.state, run)
        self.change(state, plan=state.preview)

    def action_show_run(self, run: str) -> None:
        """The same, from a click on its name."""
        self.show_run(run)

    def action_open_doctor(self) -> None:
        """Is this rig ready?"""
        from rigtui.tui.screens.doctor import DoctorPage

        self.app.push_screen(DoctorPage(self.services))

    def action_open_profiles(self) -> None:
        """Profiles and results."""
        from rigtui.tui.screens.profiles import ProfilesPage

        self.app.push_screen(
            ProfilesPage(self.services, self._use_profile, self._new_profile, self._removed_profiles, self._forget_profiles)
        )

    def _new_profile(self) -> None:
        self.call_later(self.run_action, "save_profile")

    def _forget_profiles(self, names: Sequence[str]) -> None:
        """Choices that came from a profile which is not there any more are nobody's."""
        self.change(st.without_profiles(self.state, names))

    def _use_profile(self, loaded: LoadedProfile) -> None:
        self.change(st.with_profile(self.state, loaded.model, loaded.intent), plan=True)

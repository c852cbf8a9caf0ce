"""What the parts of the cockpit stand on: the state, its one owner, and how a changed state reaches the screen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rigtui.tui import state as st
from rigtui.tui import tasks
from rigtui.tui.frugal import FrugalScreen
from rigtui.tui.live_watch import LiveWatch
from rigtui.tui.plan_pace import PlanPace
from rigtui.tui.rig_watch import RigWatch
from rigtui.tui.screens.reporting import Reporting
from rigtui.tui.state import Cockpit
from rigtui.tui.tip_text import learned

if TYPE_CHECKING:
    from rigtui.rig.rig import Rig
    from rigtui.tui.keys import Keys
    from rigtui.tui.services import Services


class CockpitBase(FrugalScreen, Reporting[None]):
    """Owns the state. Everything that happens goes through `change`."""

    def __init__(self, services: Services, keys: Keys, program: str = "rigtui") -> None:
        super().__init__()
        self.services = services
        first = services.begins_with
        self.state = Cockpit(keys=keys, program=program, selected=first, picked=first is not None)
        self.watch_runs = tasks.RunWatch(services, self.post_message)
        self.watch_live = LiveWatch(services, self.post_message)
        self.watch_rig = RigWatch(services, self.post_message)
        self.pace = PlanPace()
        self.deriving: int | None = None
        """Stamp of the derivation whose answer is still to come."""

    def change(self, state: Cockpit, *, plan: bool = False) -> None:
        """The next state; `plan`: it needs a new derivation."""
        if state.attached != self.watch_runs.shown:
            self.watch_runs.shown = state.attached
            state = replace(state, live=None)
        before, self.state = self.state, replace(state, learned=learned(self.state, state))
        if self.state.learned != before.learned:
            self.keep("tips", lambda: self.services.keep_tips(self.state.learned))
        run = state.run
        self.watch_live.run = run if run is not None and run.phase == "ready" and not run.measuring else None
        if plan:
            self.replan()
        self.survey()
        self.show()

    def keep(self, what: str, keep: Callable[[], object]) -> None:
        """Keep something of the user's for the next start; `keep` reads what holds when it is its turn."""
        self.background(what, partial(tasks.keep_latest, self.post_message, what, keep))

    def replan(self, on: Rig | None = None) -> None:
        """Ask for the plan of the present choice, `on` another reading than the last; the answer to any older question will be dropped."""
        self.workers.cancel_group(self, "verify")
        self.state = state = st.ask_plan(self.state)
        self.pace.planned(on or state.ground)
        if state.candidate is None or state.candidate.model is None:
            self.deriving = None
            self.state = replace(state, plan=None, plan_problem=None)
        elif (asked := st.derivation(state)) is not None:
            self.deriving = state.asked
            ground, model, intent, builds = asked
            work = partial(tasks.derive, self.services, self.post_message, state.asked, on or ground, model, intent, builds)
            self.background("plan", work, exclusive=True)

    def search_models(self) -> None:
        """Search the models, in the background."""
        self.change(replace(self.state, scanning=True))
        self.background("scan", partial(tasks.scan, self.services, self.post_message), exclusive=True)

    def survey(self) -> None:
        """See whether all models are to be derived again."""
        raise NotImplementedError

    def show(self) -> None:
        """Bring every part up to the state."""
        raise NotImplementedError

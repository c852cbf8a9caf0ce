"""Which actions of the cockpit do something now, and what the others wait for, which their keys say. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from rigtui.tui.actions import ACTIONS
from rigtui.tui.tips import TIPS

if TYPE_CHECKING:
    from rigtui.tui.state import Cockpit

PLACES = ("cockpit", "app")
MOST_TAKEN = 4
"""Alternatives that have a key."""


class Need(Struct, frozen=True):
    """What an action needs."""

    met: Callable[[Cockpit], bool]
    otherwise: str
    """What is said to whom presses its key without that."""


def _alternative(at: int) -> Need:
    return Need(
        lambda state: state.plan is not None and at <= len(state.plan.alternatives),
        f"the plan has no alternative {at} under `instead`",
    )


RIG = Need(lambda state: state.rig is not None, "the cards are still being read")
MODELS = Need(lambda state: bool(state.candidates), "no model was found yet")
CHOSEN = Need(lambda state: state.candidate is not None, "no model is chosen")
USABLE = Need(lambda state: state.candidate is not None and state.candidate.model is not None, "this model cannot be used")
PLAN = Need(lambda state: state.plan is not None, "there is no plan yet")
HERE = Need(lambda state: state.machine is None, "a rig that is only tried cannot launch")
SEEN = Need(lambda state: not state.hidden, "the filter hides every model")
RUN = Need(lambda state: state.run is not None, "no run is shown")
LIVE = Need(lambda state: state.run is not None and state.run.live, "the engine of the run that is shown has ended")
READY = Need(lambda state: state.run is not None and state.run.phase == "ready", "the engine of the run that is shown is not ready")
RUNS = Need(lambda state: bool(state.runs), "nothing was launched yet")
OTHERS = Need(lambda state: len(state.runs) > (1 if state.run else 0), "there is no other run")
TIPS_LEFT = Need(lambda state: len(state.learned) < len(TIPS), "the first steps are gone already")
CHANGED = Need(lambda state: bool(state.changed), "nothing here is set by you")

TURNING = (MODELS, CHOSEN, USABLE)
NEEDS: dict[str, tuple[Need, ...]] = {
    "cards.open": (RIG,),
    "rig.other": (RIG,),
    "model.filter": (MODELS,),
    "model.favourite": (MODELS, CHOSEN),
    "model.sort": (MODELS,),
    "model.group": (MODELS,),
    "plan.use_case": TURNING,
    "plan.use_case_back": TURNING,
    "plan.context_less": TURNING,
    "plan.context_more": TURNING,
    "plan.context_exact": TURNING,
    "plan.kv_type": TURNING,
    "plan.kv_type_back": TURNING,
    "plan.what_if": TURNING,
    "plan.compare": (*TURNING, PLAN),
    "plan.reset": (CHANGED,),
    **{f"plan.take_{at}": (*TURNING, PLAN, _alternative(at)) for at in range(1, MOST_TAKEN + 1)},
    "profile.save": TURNING,
    "profile.export": (*TURNING, PLAN),
    "engine.launch": (*TURNING, HERE, SEEN),
    "engine.log": (RUN,),
    "engine.stop": (RUN, LIVE),
    "engine.ask": (RUN, READY),
    "engine.copy": (RUN, READY),
    "engine.runs": (RUNS,),
    "engine.next": (RUNS, OTHERS),
    "tips.hide": (TIPS_LEFT,),
}
"""By the action's id; an action that is not here always does something."""


def unmet(state: Cockpit, action: str) -> str | None:
    """What the action with this id waits for; None where it does something."""
    return next((need.otherwise for need in NEEDS.get(action, ()) if not need.met(state)), None)


def allowed(state: Cockpit) -> tuple[str, ...]:
    """Ids of the actions that do something."""
    return tuple(action.id for action in ACTIONS if action.screen in PLACES and unmet(state, action.id) is None)

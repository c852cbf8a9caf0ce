"""Which actions do something now: the hint line offers these, the others' keys are dead. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rigtui.tui.tips import TIPS

if TYPE_CHECKING:
    from rigtui.tui.state import Cockpit

ALWAYS = ("model.folder", "model.rescan", "doctor.open", "profiles.open", "app.help", "app.quit", "app.theme")
MOST_TAKEN = 4
"""Alternatives that have a key."""
WITH_MODEL = (
    "model.filter",
    "model.favourite",
    "model.sort",
    "model.group",
    "plan.use_case",
    "plan.use_case_back",
    "plan.context_less",
    "plan.context_more",
    "plan.context_exact",
    "plan.kv_type",
    "plan.kv_type_back",
    "plan.what_if",
)


def allowed(state: Cockpit) -> tuple[str, ...]:
    """Ids of the actions that do something."""
    found = list(ALWAYS)
    run = state.run
    if state.rig is not None:
        found += ["cards.open", "rig.other"]
    if state.candidates:
        found += WITH_MODEL
    if state.plan is not None:
        found += [
            "plan.compare",
            "plan.scroll",
            "plan.scroll_back",
            *(f"plan.take_{at}" for at in range(1, min(len(state.plan.alternatives), MOST_TAKEN) + 1)),
        ]
    if state.candidate is not None and state.candidate.model is not None:
        found += ["profile.save", *(["engine.launch"] if state.machine is None and not state.hidden else [])]
        found += ["profile.export"] if state.plan is not None else []
    if run is not None:
        found.append("engine.log")
        found += ["engine.stop"] if run.live else []
        found += ["engine.ask", "engine.copy"] if run.phase == "ready" else []
    found += ["engine.runs"] if state.runs else []
    if len(state.runs) > (1 if run else 0):
        found.append("engine.next")
    if len(state.learned) < len(TIPS):
        found.append("tips.hide")
    if state.changed:
        found.append("plan.reset")
    return tuple(found)

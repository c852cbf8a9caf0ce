"""When does a reading of the rig ask for another plan? Memory in motion does so at once, and then at every fifth reading. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rigtui.tui.state import needs_new_plan

if TYPE_CHECKING:
    from rigtui.rig.rig import Rig

PLAN_READINGS = 5
"""So many readings lie between two plans that only memory asks for: one card's games do not keep a core busy."""


class PlanPace:
    """Remembers what the last plan was asked for on."""

    def __init__(self) -> None:
        self.on: Rig | None = None
        """The reading that the last plan was asked for on."""
        self._readings = 0

    def planned(self, rig: Rig | None) -> None:
        """A plan was asked for on this reading; None: there is none yet."""
        self.on, self._readings = rig, 0

    def due(self, rig: Rig) -> bool:
        """Whether one more reading asks for a plan: the cards are others, or their memory is and the last plan is not quite new."""
        self._readings += 1
        if self.on is None or _cards(self.on) != _cards(rig):
            return True
        return self._readings >= PLAN_READINGS and needs_new_plan(self.on, rig)


def _cards(rig: Rig) -> list[str | None]:
    return [gpu.uuid for gpu in rig.usable_gpus]

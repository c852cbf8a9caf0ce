"""When does a reading of the rig ask for another plan? Memory in motion does so at once, and then at every fifth reading. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rigtui.rig.rig import Rig

REPLAN_BYTES = 64 << 20
"""A card's free memory has to change by this much before the plan is derived again."""
REPLAN_RAM_BYTES = 512 << 20
"""Likewise for the RAM, which moves all the time."""
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


def needs_new_plan(before: Rig | None, after: Rig) -> bool:
    """Whether what is free changed enough for the plan to be derived again."""
    if before is None or len(before.gpus) != len(after.gpus):
        return True
    limits = [REPLAN_BYTES] * len(after.gpus) + [REPLAN_RAM_BYTES]
    old = [*(gpu.free_bytes for gpu in before.gpus), before.ram_free_bytes]
    new = [*(gpu.free_bytes for gpu in after.gpus), after.ram_free_bytes]
    return any((a is None) != (b is None) or abs((a or 0) - (b or 0)) >= limit for a, b, limit in zip(old, new, limits, strict=True))

"""The tuning of a profile on this machine behind the functions the page calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from rigtui.errors import RigtuiError
from rigtui.planning.remembered import numbers_of
from rigtui.runs import verify
from rigtui.tui.services import TuningView

if TYPE_CHECKING:
    from rigtui.intent.intent import Overrides
    from rigtui.runs.state import RunState
    from rigtui.runs.tune import Tuning


class LocalTuner:
    """One tuning; `turn` is held while its trials run."""

    def __init__(self, tuning: Tuning, turn: threading.Lock, save: Callable[[Overrides], str]) -> None:
        self._tuning, self._turn, self._save = tuning, turn, save

    def look(self) -> TuningView:
        """How far it is, on a fresh reading of the rig."""
        tuning, rig = self._tuning, self._tuning.rig
        found = tuning.search(rig) if tuning.axes else None
        return TuningView(
            axes=tuple(axis.name for axis in tuning.axes),
            limit=tuning.limit,
            trials=tuple(tuning.trials()),
            best=found.best if found else None,
            following=found.next if found else None,
            cards=numbers_of(rig),
        )

    def run(self, told: Callable[[TuningView], object], watching: Callable[[RunState], object], given_up: Callable[[], bool]) -> None:
        """Trials, one after the other, until they are done or given up; the engine of the last one is gone then."""
        with self._turn, closing(self._tuning.steps(watching, given_up=given_up)) as steps:
            verify.wait_until_over()
            told(self.look())
            for _ in steps:
                told(self.look())

    def save(self) -> str:
        """The best so far, in the profile's file. Raises RigtuiError when nothing worked yet."""
        best = self._tuning.search().best
        if best is None:
            raise RigtuiError("no trial has worked yet, so there is nothing to save")
        return self._save(best)

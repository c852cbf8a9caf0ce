"""Keeps a run's state and writes it: a change of phase at once, progress now and then, a heartbeat always."""

from __future__ import annotations

import contextlib
import errno
import sys
import time
from typing import Any

from msgspec.structs import replace

from rigtui.engines.engine import Failure
from rigtui.errors import RigtuiError
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.state import RunState

_WRITE_EVERY_S = 0.5
_HEARTBEAT_S = 10.0
_KEPT_NOTES = 20


def say(text: str) -> None:
    """A line for supervisor.log, which may lie on a full disk."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201 stderr is supervisor.log


class StateKeeper:
    """The supervisor's hand on `state.json`."""

    def __init__(self, directory: RunDirectory, state: RunState) -> None:
        self.state = state
        self.problem: RigtuiError | None = None
        """Why the state could not be written, once it could not."""
        self._directory = directory
        self._written = 0.0
        self._dirty = True

    def update(self, *, now: bool = False, **changes: Any) -> None:
        """Change fields of the state; `now` writes it at once."""
        changed = replace(self.state, **changes)
        if changed != self.state:
            self.state = changed
            self._dirty = True
        if now:
            self.write()

    def set_outcome(self, outcome: str, failure: Failure | None) -> None:
        """How the attempt that is going on turned out."""
        *before, last = self.state.attempts
        self.update(attempts=(*before, replace(last, outcome=outcome, failure=failure)))

    def note(self, text: str) -> None:
        """Add a remark, once."""
        if text not in self.state.notes:
            self.update(notes=(*self.state.notes, text)[-_KEPT_NOTES:])

    def write_when_due(self) -> None:
        """Write what changed, or a heartbeat, when it is time."""
        if time.monotonic() - self._written >= (_WRITE_EVERY_S if self._dirty else _HEARTBEAT_S):
            self.write()

    def write(self) -> None:
        """Write the state. When that fails the space kept back is given up for it, and `problem` says why."""
        self.state = replace(self.state, heartbeat=time.time())
        self._written = time.monotonic()
        self._dirty = False
        try:
            self._directory.write_state(self.state)
        except RigtuiError as error:
            first, self.problem = self.problem is None, error
            if first:
                self._directory.free_reserve()
                say(str(error))

    def failure(self) -> Failure | None:
        """`problem` as the end of the run."""
        if self.problem is None:
            return None
        cause = self.problem.__cause__
        full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        text = "the disk is full" if full else "the run's state could not be written"
        return Failure(code="disk_full" if full else "crash", text=f"{text}, so the engine was stopped: {self.problem}")

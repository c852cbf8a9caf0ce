"""What is kept of a run whose supervisor was killed before it could write the result: put together from what lies in the run's directory.

The plan and its bounds, the rig before the launch, and what the engine said it allocated are all on disk by then. Whoever looks next writes
the result and the final state, once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from rigtui.errors import RigtuiError
from rigtui.runs import identity
from rigtui.runs.observe import Observed
from rigtui.runs.peaks import Peaks
from rigtui.runs.results import AttemptResult, load_results
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.state import Asked, RunState
from rigtui.runs.watch import directory_of


def keep(runs: Iterable[RunState]) -> None:
    """Write the results of those of `runs` that ended without one, as far as this machine ran them and the disk takes them."""
    for state in runs:
        if not state.live and state.ended is None and state.node == identity.node():
            # What cannot be written now is tried again by whoever looks next.
            with contextlib.suppress(RigtuiError):
                _keep(directory_of(state), state)


def _keep(directory: RunDirectory, gone: RunState) -> None:
    """`gone`: the state as it is shown since the supervisor is gone. Raises RigtuiError when something cannot be read or written."""
    # Nearly every look finds nothing lost and does without it.
    from rigtui.runs import record

    asked = directory.read_last_asked()
    name = record.results_name(asked)
    known = next((run for run in load_results(name) if run.run == gone.run), None)
    done = known.attempt if known is not None else ()
    if len(done) < len(gone.attempts):
        *before, last = gone.attempts
        gone = replace(gone, attempts=(*before, replace(last, outcome=last.outcome or "stopped")))
        _save(directory, asked, gone, done)
    ended = datetime.fromtimestamp(gone.heartbeat, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    directory.write_state(replace(gone, measuring=False, ended=ended))


def _save(directory: RunDirectory, asked: Asked, gone: RunState, done: Sequence[AttemptResult]) -> None:
    from rigtui.runs import record

    plan, rig = asked.request.plan, directory.read_rig()
    observed = Observed({d.device: d.uuid or d.device for d in plan.devices}, plan.parallel)
    for event in directory.events_of(gone.attempt):
        observed.add(event)
    # The reading is one from before the first attempt.
    peaks = Peaks(rig if len(gone.attempts) == 1 else None)
    record.save(asked, gone, (*done, record.attempt_result(asked, gone, observed, peaks)), rig)

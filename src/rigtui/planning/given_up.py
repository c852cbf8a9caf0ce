"""Was an engine given up for another on this rig, and does that still hold? Then the next launch begins there. Pure."""

from __future__ import annotations

from rigtui.engines.engine import Build
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.lessons import Lessons
from rigtui.planning.outcomes import RunResult, requested
from rigtui.planning.plan import Reason
from rigtui.rig.rig import Rig
from rigtui.text import clean

CODE = "given_up"
"""Of the reason that says so."""


def given_up(lessons: Lessons, rig: Rig, model: Model, intent: Intent, build: Build | None) -> RunResult | None:
    """The last run of another file of `model` in the place of it, which was asked for just so; `build` is the one that would run `model`.

    None where the user names an engine, where cards, driver or that build are no longer the same, and where it has served the model
    since.
    """
    if rig.simulated or build is None or intent.engine != "auto":
        return None
    for run in reversed(lessons.on_this_rig(rig)):
        if run.outcome != "ready" or (run.use_case, run.requested) != (intent.use_case.name, requested(intent.overrides)):
            continue
        if run.engine == build.engine and run.fingerprint == model.fingerprint:
            return None
        left = run.given_up
        if left is not None and (left.engine, left.build, left.fingerprint) == (build.engine, build.label, model.fingerprint):
            return run
    return None


def reason(run: RunResult, name: str) -> Reason:
    """Why the plan is one for another engine; `name` is what its runs are kept under."""
    left = run.given_up
    if left is None:
        raise AssertionError("asked of a run that gave nothing up")
    why = f": {clean(left.why)}" if left.why else ""
    text = (
        f"{run.engine} at once, as on {run.started[:10]}: {clean(left.build)} could not serve this model here{why}; it is tried again "
        f"after `rigtui forget {clean(name)}`, or when it is another version"
    )
    return Reason(CODE, text)

"""What this machine has learned so far, read from the stored results: the one place where plans get their lessons from."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from rigtui import paths
from rigtui.engines.engine import Build
from rigtui.engines.llamacpp import dryrun_store
from rigtui.errors import RigtuiError
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.models.resolve import resolve
from rigtui.planning import given_up
from rigtui.planning.choose import choose, different, engine_for, ranked
from rigtui.planning.constraints import Constraint
from rigtui.planning.lessons import Lessons, learn
from rigtui.planning.outcomes import GivenUp, RunResult, cards_of
from rigtui.planning.plan import Plan
from rigtui.planning.regression import regressions
from rigtui.planning.remembered import with_constraints
from rigtui.rig.rig import Rig
from rigtui.runs import identity
from rigtui.runs.results import read_runs

READ_BYTES = 2 << 20
"""The newest results files up to this size together are read: what is older than so many runs is hardly about the rig of today."""
_files: dict[Path, tuple[int, int, tuple[RunResult, ...]]] = {}
_lock = threading.Lock()


class Derived(Struct, frozen=True, kw_only=True):
    """A plan, and all bounds that it respects beside the user's settings."""

    plan: Plan
    model: Model
    """What is served: the model that was asked for, or another file of it where its engine was given up before."""
    given_up: GivenUp | None = None
    constraints: tuple[Constraint, ...] = ()


def lessons() -> Lessons:
    """The lessons of all results. A file that cannot be read teaches nothing; unchanged files are read once per process."""
    entries = []
    for path in (paths.data_dir() / "results").glob("*.toml"):
        try:
            stat = path.stat()
        except OSError:
            continue
        if ".older-" not in path.name:
            entries.append((stat.st_mtime_ns, stat.st_size, path))
    found: list[RunResult] = []
    left = READ_BYTES
    with _lock:
        for written, size, path in sorted(entries, reverse=True):
            left -= size
            if left < 0:
                break
            if _files.get(path, (0, 0, ()))[:2] != (written, size):
                _files[path] = (written, size, _read(path))
            found += _files[path][2]
    return learn(found, identity.node())


def _read(path: Path) -> tuple[RunResult, ...]:
    try:
        return tuple(read_runs(path))
    except RigtuiError:
        return ()


def worse(run: RunResult) -> tuple[str, ...]:
    """What got worse with a run's build against the build before, one sentence each."""
    return regressions(run, lessons().runs)


def of_model(fingerprint: str) -> tuple[RunResult, ...]:
    """What runs of one model measured on this machine's cards as the last of them had them, whatever name they were kept under."""
    here = identity.node()
    found = [run for run in lessons().runs if fingerprint and (run.fingerprint, run.node) == (fingerprint, here) and run.trial is None]
    return tuple(run for run in found if cards_of(run) == cards_of(found[-1]))


def derive(
    rig: Rig, model: Model, intent: Intent, builds: Sequence[Build], *, here: bool = False, constraints: Sequence[Constraint] = ()
) -> Derived:
    """The plan for this question on this reading, with everything that earlier runs taught and dry runs showed.

    `here` and `constraints` as in `choose`. Raises what `choose` raises.
    """
    known = lessons()
    if not constraints and (instead := _instead(known, rig, model, intent, builds, here)) is not None:
        return instead
    plan = choose(rig, model, intent, builds, here=here, constraints=constraints, lessons=known, known=dryrun_store.load())
    build = next((build for build in builds if build.engine == plan.engine), None)
    return Derived(plan=plan, model=model, constraints=with_constraints(constraints, known.about(rig, model, intent, build)))


def others(rig: Rig, model: Model, intent: Intent, builds: Sequence[Build]) -> tuple[Plan, ...]:
    """What would work instead of that plan with the same file, the best first; with the same lessons. Raises what `choose` raises."""
    return tuple(different(ranked(rig, model, intent, builds, lessons=lessons(), known=dryrun_store.load())))


def _instead(known: Lessons, rig: Rig, model: Model, intent: Intent, builds: Sequence[Build], here: bool) -> Derived | None:
    """The plan for the engine that took the place of the model's own, as long as its file is still there and fits."""
    own = next((build for build in builds if build.engine == engine_for(model, intent)), None)
    run = given_up.given_up(known, rig, model, intent, own)
    if run is None or run.given_up is None:
        return None
    try:
        other = resolve(run.given_up.instead)
        plan = choose(rig, other, intent, builds, here=here, lessons=known, known=dryrun_store.load())
    except RigtuiError:
        return None
    build = next((build for build in builds if build.engine == plan.engine), None)
    if other.fingerprint != run.fingerprint or plan.status == "no_fit" or build is None:
        return None
    plan = replace(plan, reasons=(given_up.reason(run, run.profile or run.model), *plan.reasons))
    bounds = known.about(rig, other, intent, build).constraints
    return Derived(plan=plan, model=other, given_up=run.given_up, constraints=bounds)

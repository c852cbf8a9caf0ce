"""What this machine has learned so far, read from the stored results: the one place where plans get their lessons from."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from rigtui import paths
from rigtui.engines.engine import Build
from rigtui.engines.llamacpp import dryrun_store
from rigtui.errors import RigtuiError
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.choose import choose
from rigtui.planning.constraints import Constraint
from rigtui.planning.lessons import Lessons, learn
from rigtui.planning.outcomes import RunResult
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


def derive(
    rig: Rig, model: Model, intent: Intent, builds: Sequence[Build], *, here: bool = False, constraints: Sequence[Constraint] = ()
) -> Derived:
    """The plan for this question on this reading, with everything that earlier runs taught and dry runs showed.

    `here` and `constraints` as in `choose`. Raises what `choose` raises.
    """
    known = lessons()
    plan = choose(rig, model, intent, builds, here=here, constraints=constraints, lessons=known, known=dryrun_store.load())
    build = next((build for build in builds if build.engine == plan.engine), None)
    return Derived(plan=plan, constraints=with_constraints(constraints, known.about(rig, model, intent, build)))

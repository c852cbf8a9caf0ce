"""Having a plan verified by its engine: one dry run at a time on this machine, and none while a run loads."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence

from rigtui.engines.engine import Build
from rigtui.engines.llamacpp import dryrun, dryrun_store
from rigtui.engines.llamacpp.verified import runtime_in
from rigtui.errors import RigtuiError
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.paths import cache_dir
from rigtui.planning.known import Known
from rigtui.planning.plan import Plan
from rigtui.rig.rig import Rig
from rigtui.runs.memory import derive
from rigtui.runs.watch import live_runs

MOST_QUESTIONS = 3
OVER_S = 2.0
"""A dry run that is called off ends within a tenth of this."""
BUSY_PHASES = ("starting", "loading", "stopping")


def known() -> Known:
    """What dry runs have shown so far."""
    return dryrun_store.load()


def can_verify(plan: Plan, build: Build | None) -> bool:
    """Whether the plan is an estimate that a dry run of this build could verify."""
    return build is not None and plan.basis == "estimated" and plan.engine == build.engine and dryrun.can_ask(plan, build)


def verify(
    plan: Plan, model: Model, intent: Intent, build: Build, *, cancelled: Callable[[], bool] = lambda: False, file: str | None = None
) -> Known:
    """Ask the engine what it would do with `plan`, and keep what it says; returns all that is known now. Blocks for seconds.

    Raises RigtuiError with one sentence where that is not possible now, or came to nothing.
    """
    with _alone():
        _refuse_while_loading()
        called_off = _Watch(cancelled)
        seen = dryrun.ask(plan, model, intent, build, cancelled=called_off, file=file)
    return dryrun_store.add(seen, runtime_in(seen, plan))


def verified(
    plan: Plan, rig: Rig, model: Model, intent: Intent, builds: Sequence[Build], *, file: str | None = None
) -> tuple[Plan, str | None]:
    """`plan` after its engine was asked, or the plan that follows from the answer; and why it is still an estimate, one sentence.

    What the engine says may make another plan the better one, which is then asked about in its turn.
    """
    for _ in range(MOST_QUESTIONS):
        if plan.basis != "estimated":
            return plan, None
        build = next((build for build in builds if build.engine == plan.engine), None)
        if build is None or not can_verify(plan, build):
            return plan, _why_not(plan, build)
        try:
            verify(plan, model, intent, build, file=file)
        except RigtuiError as error:
            return plan, str(error)
        plan = derive(rig, model, intent, builds).plan
    return plan, None if plan.basis != "estimated" else "the engine's answers lead to ever other plans; this one stays an estimate"


def _why_not(plan: Plan, build: Build | None) -> str:
    if plan.engine != "llama.cpp":
        return f"{plan.engine} has no dry run: what it takes is known once it has run here"
    if build is None or not plan.devices:
        return "there is nothing to ask an engine: the plan uses no GPU, or no engine is installed"
    if plan.status == "no_fit":
        return "a plan that does not fit is not asked about"
    if not build.gpu:
        return f"{build.label} sees no GPU and cannot say what happens on one"
    return f"{build.label} offers no dry run (it needs --fit-target and --log-jsonl); a newer llama-server does"


def wait_until_over() -> None:
    """Wait for a dry run of this user that was just called off, so that its memory is free again; not for long."""
    deadline = time.monotonic() + OVER_S
    while time.monotonic() < deadline:
        with contextlib.suppress(RigtuiError), _alone():
            return
        time.sleep(0.05)


class _Watch:
    """Calls a dry run off when somebody else does not want it any more, or when a run begins to load."""

    LOOK_EVERY = 5

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self._cancelled = cancelled
        self._looks = 0

    def __call__(self) -> bool:
        """Whether to stop."""
        self._looks += 1
        return self._cancelled() or (self._looks % self.LOOK_EVERY == 0 and _loading())


def _loading() -> bool:
    return any(run.phase in BUSY_PHASES or run.measuring for run in live_runs())


def _refuse_while_loading() -> None:
    if _loading():
        raise RigtuiError("a run is loading: its engine and a dry run would be in each other's way; the plan stays an estimate")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Held by the one dry run of this user; goes with the process."""
    path = cache_dir() / "dryrun.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RigtuiError(f"cannot lock {path}: {error.strerror or error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise RigtuiError("another dry run is going on; the plan stays an estimate") from error
    else:
        yield
    finally:
        os.close(descriptor)

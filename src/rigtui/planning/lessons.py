"""What earlier runs on this rig taught: a fold over the stored results, asked anew before every derivation. Pure.

A run teaches when it was made on this very rig (the same cards, driver and build of the engine) and was neither simulated nor forgotten.

- A bound that was learned from a failure holds as long as its condition does: while the card has about as much free as when it
  failed. With more free it is left out. More headroom, learned because somebody took memory while the engine loaded, holds also with more
  free (they may come again), but not while that memory is taken already: then the reading itself counts it.
- Every bound ends after `UNNEEDED_RUNS` good runs in which it turned out that nobody needed what it kept free.
- What the user set is part of the question: bounds learned for other settings do not hold for these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.engine import Build
from rigtui.intent.intent import Intent, Overrides
from rigtui.models.model import Model
from rigtui.planning.constraints import Constraint, about
from rigtui.planning.outcomes import AttemptResult, ResultDevice, RunResult, cards_of, requested
from rigtui.planning.plan import Reason
from rigtui.planning.regression import regressions
from rigtui.planning.reserve import HEADROOM_DEDICATED
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import MIB, clean, mib

UNNEEDED_RUNS = 3
LEAST_BYTES = 256 * MIB
"""Differences in free memory below this are the rig's everyday noise."""
LEARNED = frozenset({"given_up", "remembered", "learned", "tuned", "lesson", "lesson_dropped", "lessons_set_aside", "regression"})
"""Codes of the reasons that earlier runs gave."""
_LEARNED = ("failure", "spill")


class Past(Struct, frozen=True):
    """One attempt with the run it belongs to."""

    run: RunResult
    attempt: AttemptResult


class Recall(Struct, frozen=True, kw_only=True):
    """What is known for one question: this model, asked for in this way, on this rig, with this build."""

    constraints: tuple[Constraint, ...] = ()
    """The bounds that hold now."""
    reasons: tuple[Reason, ...] = ()
    """What is respected, left out or set aside, one sentence each."""
    good: tuple[Past, ...] = ()
    """Attempts of any model that worked as planned on these cards with this build and driver, oldest first."""
    tuned: Overrides | None = None
    """The settings that tuning found best for this question."""


class Lessons(Struct, frozen=True, kw_only=True):
    """The runs that teach, oldest first."""

    runs: tuple[RunResult, ...] = ()
    node: str = ""
    """This machine."""

    def about(self, rig: Rig, model: Model, intent: Intent, build: Build | None) -> Recall:
        """What is known for this question. A simulated rig knows nothing: what this machine measured is not about it."""
        if rig.simulated or build is None:
            return Recall()
        here = [run for run in self.runs if run.engine == build.engine and self._made_here(run, rig)]
        valid = [run for run in here if not differences(run, rig, build)]
        worked = ((run, attempt) for run in valid for attempt in run.attempt if attempt.outcome == "ready")
        good = tuple(Past(run, attempt) for run, attempt in worked if attempt.spilled is None)
        mine = [run for run in valid if run.fingerprint == model.fingerprint]
        if not mine:
            return Recall(good=good, reasons=_set_aside([run for run in here if run.fingerprint == model.fingerprint], rig, build))
        asked = [run for run in mine if run.use_case == intent.use_case.name and run.requested == requested(intent.overrides)]
        learned = _bounds(asked)
        bounds = [_judged(bound, rig) for bound in learned]
        tuning = next((run for run in reversed(asked) if run.chosen and run.trial), None)
        if tuning is not None and any(bound.started > tuning.started for bound in learned):
            # Its settings, or what they came to mean, have failed since.
            tuning = None
        last = next((run for run in reversed(mine) if run.outcome == "ready" and run.trial is None), None)
        worse = tuple(Reason("regression", text) for text in (regressions(last, here) if last is not None else ()))
        return Recall(
            constraints=tuple(constraint for constraint, _ in bounds if constraint is not None),
            reasons=(*(reason for _, reason in bounds), *worse),
            good=good,
            tuned=tuning.trial.settings if tuning is not None and tuning.trial is not None else None,
        )

    def on_this_rig(self, rig: Rig) -> list[RunResult]:
        """The runs with just these cards and this driver, whatever engine they were of; oldest first."""
        return [run for run in self.runs if self._made_here(run, rig) and not _other_rig(run, rig)]

    def _made_here(self, run: RunResult, rig: Rig) -> bool:
        return run.node == self.node or bool(cards_of(run) & _cards(rig))


NO_LESSONS = Lessons()


def learn(results: Iterable[RunResult], node: str) -> Lessons:
    """The lessons of all stored runs; `node` is this machine's name. Simulated and forgotten runs teach nothing."""
    teaching = (run for run in results if not run.simulated and not run.forgotten)
    return Lessons(runs=tuple(sorted(teaching, key=lambda run: run.started)), node=node)


def differences(run: RunResult, rig: Rig, build: Build) -> tuple[str, ...]:
    """What is not as it was then, for people; empty: the run was made on this rig as it is."""
    found = _other_rig(run, rig)
    if run.build != build.label:
        found.append(f"the engine is {build.label} instead of {run.build}")
    return tuple(clean(text) for text in found)


def _other_rig(run: RunResult, rig: Rig) -> list[str]:
    found = []
    if cards_of(run) != _cards(rig):
        found.append("the cards are not the same")
    if None not in (run.driver, rig.driver) and run.driver != rig.driver:
        found.append(f"the driver is {rig.driver} instead of {run.driver}")
    return found


def _cards(rig: Rig) -> frozenset[str]:
    return frozenset(gpu.uuid or f"{gpu.name} {gpu.total_bytes}" for gpu in rig.usable_gpus)


def _set_aside(runs: Sequence[RunResult], rig: Rig, build: Build) -> tuple[Reason, ...]:
    if not runs:
        return ()
    why = " and ".join(differences(runs[-1], rig, build))
    text = f"what {len(runs)} earlier runs of this model taught is set aside: {why}; the next run begins anew"
    return (Reason("lessons_set_aside", text.replace("1 earlier runs", "1 earlier run") if len(runs) == 1 else text),)


class Bound(Struct, frozen=True, kw_only=True):
    """A constraint, and the failure it was learned from."""

    constraint: Constraint
    started: str
    failed: AttemptResult
    unneeded: int = 0
    """Good runs in a row since then that did not need it."""


def _bounds(runs: Sequence[RunResult]) -> list[Bound]:
    """What failures taught, the strictest of each kind and card."""
    found: dict[tuple[str, str | None], Bound] = {}
    for run in runs:
        if run.trial is not None:
            continue
        last = run.attempt[-1] if run.attempt else None
        if last is not None and last.outcome == "ready":
            # Before this run's own lessons come in: in the attempt right after the failure the memory is taken already.
            found = {key: replace(bound, unneeded=_unneeded_after(bound, last)) for key, bound in found.items()}
        for failed, attempt in pairwise(run.attempt):
            # Another engine reads another file, which these are the results of.
            new = [c for c in attempt.constraints if c.origin in _LEARNED and c not in failed.constraints and c.kind != "engine"]
            for constraint in (*new, *_taken_meanwhile(failed, attempt, new)):
                found[constraint.kind, constraint.gpu] = Bound(constraint=constraint, started=run.started, failed=failed)
    return list(found.values())


def _taken_meanwhile(failed: AttemptResult, after: AttemptResult, new: Sequence[Constraint]) -> list[Constraint]:
    """More headroom where others took memory while it loaded: the attempt after that saw it in its reading, the next run would not."""
    device = next((d for d in failed.devices if d.device == failed.failed_device), None)
    if failed.failure != "out_of_vram" or device is None:
        return []
    then = device.free_before_bytes
    now = next((d.free_before_bytes for d in after.devices if _about(d) == _about(device)), None)
    if then is None or now is None or then - now < LEAST_BYTES:
        return []
    kept = [c for c in failed.constraints if (c.kind, c.gpu) == ("headroom", _about(device))]
    # Where the headroom was for the same guest already, he must not be counted twice.
    wanted = (HEADROOM_DEDICATED if kept else device.headroom_bytes) + then - now
    if any((c.kind, c.gpu) == ("headroom", _about(device)) and isinstance(c.value, int | float) and c.value >= wanted for c in new):
        return []
    more = f"headroom {mib(device.headroom_bytes)} → {mib(wanted)}"
    text = f"others took {mib(then - now)} of {clean(device.name)} while the engine loaded: {more}"
    return [Constraint(kind="headroom", gpu=_about(device), value=wanted, text=text)]


def _unneeded_after(bound: Bound, good: AttemptResult) -> int:
    """How many runs in a row did not need the bound, after this good one; one that was not bound by it says nothing."""
    held = any((c.kind, c.gpu) == (bound.constraint.kind, bound.constraint.gpu) for c in good.constraints)
    failed = _failing_device(bound)
    device = next((d for d in good.devices if failed is not None and _about(d) == _about(failed)), None)
    if not held or failed is None or device is None or device.free_least_bytes is None:
        return bound.unneeded
    spared = device.free_least_bytes - _kept_bytes(bound, failed) >= failed.headroom_bytes // 2
    return bound.unneeded + 1 if spared else 0


def _kept_bytes(bound: Bound, failed: ResultDevice) -> int:
    """What the bound keeps free beyond what was left before."""
    value = bound.constraint.value
    if bound.constraint.kind == "headroom" and isinstance(value, int | float):
        return max(int(value) - failed.headroom_bytes, 0)
    return bound.failed.missing_bytes or LEAST_BYTES


def _failing_device(bound: Bound) -> ResultDevice | None:
    """The device the bound is about: its own card, or the one that failed."""
    devices = bound.failed.devices
    if bound.constraint.gpu is not None:
        return next((d for d in devices if _about(d) == bound.constraint.gpu), None)
    return next((d for d in devices if d.device == bound.failed.failed_device), devices[0] if len(devices) == 1 else None)


def _about(device: ResultDevice) -> str:
    return device.uuid or device.name


def _judged(bound: Bound, rig: Rig) -> tuple[Constraint | None, Reason]:
    """The constraint as a lesson if it holds now, and the sentence that says so."""
    text = clean(bound.constraint.text)
    if bound.unneeded >= UNNEEDED_RUNS:
        return None, Reason("lesson_dropped", f"left out: {text}; the last {bound.unneeded} runs did not need it")
    failed = _failing_device(bound)
    then = failed.free_before_bytes if failed is not None else None
    card = next((gpu for gpu in rig.usable_gpus if failed is not None and about(gpu) == _about(failed)), None)
    if failed is None or then is None or card is None or card.free_bytes is None:
        return _lesson(bound, text)
    kept = max(_kept_bytes(bound, failed), LEAST_BYTES)
    if bound.constraint.kind == "headroom":
        if card.free_bytes <= then - kept:
            return None, Reason("lesson_dropped", f"left out: {text}; {_more(card, then)}, so what was short then is counted already")
    elif card.free_bytes >= then + kept:
        return None, Reason("lesson_dropped", f"left out: {text}; {_more(card, then)} than when that was learned")
    return _lesson(bound, text, f", when {clean(card.name)} had {mib(then)} free")


def _more(card: Gpu, then: int) -> str:
    change = (card.free_bytes or 0) - then
    return f"{clean(card.name)} has {mib(abs(change))} {'more' if change > 0 else 'less'} free"


def _lesson(bound: Bound, text: str, condition: str = "") -> tuple[Constraint, Reason]:
    learned = f"{text} (learned {bound.started[:10]}{condition})"
    return replace(bound.constraint, text=learned, origin="lesson"), Reason("lesson", f"from an earlier run: {learned}")

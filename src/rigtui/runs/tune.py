"""Tuning a profile: trials launched one after the other, each a run of its own whose stored result is all that is kept of it.

A tuning that was broken off goes on where it was, because what was tried is read from the results. No engine is left behind: a trial is
stopped when the tuning ends in whatever way, and its supervisor stops it by itself when the tuning's process is gone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.engine import Build
from rigtui.errors import MissingError, RigtuiError
from rigtui.intent.intent import Intent, Overrides, with_settings
from rigtui.models.model import Model
from rigtui.planning.choose import choose
from rigtui.planning.lessons import Lessons, differences
from rigtui.planning.outcomes import RunResult, Trial, requested
from rigtui.planning.plan import Plan
from rigtui.planning.tuning import Axis, Prospect, Search, Tried, axes, limit_of, outdated, search, signature, value_of
from rigtui.planning.wants import batches, wants
from rigtui.rig.rig import Rig
from rigtui.runs import identity, memory, watch
from rigtui.runs.launch import Launched, launch
from rigtui.runs.results import load_results, mark_chosen
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.state import LaunchRequest, RunState

Unbroken = Callable[[], AbstractContextManager[object]]
PORTS_LOST = 3
"""So many times in a row another program may take the port between its choice and the engine's use of it."""


class Asked(Struct, frozen=True, kw_only=True):
    """What is tuned: a profile's model and intent."""

    name: str
    """The profile; its results hold the trials."""
    model: Model
    intent: Intent
    builds: tuple[Build, ...]
    probe: str = "quick"


class TrialResult(Struct, frozen=True, kw_only=True):
    """One trial, as it is shown."""

    run: str
    settings: Overrides
    value: float
    """0: it did not work."""
    ttft_s: float | None = None
    prefill_tok_s: float | None = None
    decode_tok_s: float | None = None
    graph_splits: int | None = None
    context: int = 0
    kv_type: tuple[str, ...] = ()
    failure: str | None = None
    outdated: bool = False
    """These settings lead to another context or cache by now: they are worth another trial."""

    def is_best(self, best: Overrides | None) -> bool:
        """Whether it is the trial of the `best` settings that counts."""
        return best is not None and self.settings == best and self.value > 0 and not self.outdated

    @property
    def remark(self) -> str:
        """What is to be said after its settings."""
        return " (before it was known how much fits)" if self.outdated else ""


class Tuning:
    """One tuning of one profile on the rig as `read` gives it."""

    def __init__(self, asked: Asked, read: Callable[[], Rig], *, again: bool = False) -> None:
        """`again`: begin anew; otherwise the last tuning goes on."""
        self._asked = asked
        self._read = read
        self._want = wants(asked.model, asked.intent)
        rig = read()
        self._own = self._plan(rig, Overrides())
        build = next((build for build in asked.builds if build.engine == self._own.engine), None)
        if build is None:
            raise MissingError(f"no build of {self._own.engine} is installed that could be tuned")
        if self._own.status == "no_fit":
            raise RigtuiError(f"{asked.model.name} does not fit this rig as it is now: {self._own.reasons[0].text}")
        self._build = build
        self._axes = axes(rig, self._own, asked.intent, self._want)
        question = (asked.model.fingerprint, asked.intent.use_case.name, msgspec.to_builtins(requested(asked.intent.overrides)))
        self.limit = limit_of(self._axes, self._prospects(rig))
        """As many trials at most."""
        self.id = self._id(hashlib.sha256(repr(question).encode()).hexdigest()[:8], again=again)

    def _id(self, question: str, *, again: bool) -> str:
        """The same question may be tuned several times: `<question>`, then `<question>-1` and so on."""
        known = {run.trial.tuning for run in load_results(self._asked.name) if run.trial is not None}
        number = 0
        while f"{question}-{number + 1}" in known:
            number += 1
        number += again and bool(known & {question, f"{question}-{number}"})
        return f"{question}-{number}" if number else question

    @property
    def axes(self) -> tuple[Axis, ...]:
        """What is tried; empty: the user has set it all."""
        return self._axes

    def _plan(self, rig: Rig, settings: Overrides) -> Plan:
        # What an earlier tuning chose must not come in where rigtui's own settings are measured.
        lessons = Lessons(runs=tuple(replace(run, chosen=False) for run in memory.lessons().runs), node=identity.node())
        return choose(rig, self._asked.model, with_settings(self._asked.intent, settings), self._asked.builds, lessons=lessons)

    def _prospects(self, rig: Rig) -> Callable[[Overrides], Prospect]:
        known: dict[bytes, Prospect] = {}

        def prospect(settings: Overrides) -> Prospect:
            key = msgspec.json.encode(settings)
            if key not in known:
                plan = self._plan(rig, settings)
                known[key] = Prospect(plan, signature(plan, batches(with_settings(self._asked.intent, settings), ())))
            return known[key]

        return prospect

    @property
    def rig(self) -> Rig:
        """The rig as it is now."""
        return self._read()

    def trials(self) -> list[TrialResult]:
        """What was tried of this tuning so far with this build on these cards, oldest first; trials that were broken off left out."""
        rig = self._read()
        return self._trials(rig, self._prospects(rig))

    def _trials(self, rig: Rig, prospects: Callable[[Overrides], Prospect]) -> list[TrialResult]:
        return [self._shown(run, prospects) for run in self._runs(rig)]

    def _runs(self, rig: Rig) -> list[RunResult]:
        mine = (run for run in load_results(self._asked.name) if run.trial is not None and run.trial.tuning == self.id)
        here = (run for run in mine if not run.forgotten and not differences(run, rig, self._build))
        return [run for run in here if run.attempt and (run.attempt[-1].prefill_tok_s or _failed_by_itself(run))]

    def _shown(self, run: RunResult, prospects: Callable[[Overrides], Prospect]) -> TrialResult:
        last, settings = run.attempt[-1], run.trial.settings if run.trial else Overrides()
        return TrialResult(
            run=run.run,
            settings=settings,
            value=value_of(last, self._want, self._asked.intent),
            ttft_s=last.ttft_s,
            prefill_tok_s=last.prefill_tok_s,
            decode_tok_s=last.decode_tok_s,
            graph_splits=last.graph_splits,
            context=last.context,
            kv_type=last.kv_type,
            failure=last.failure,
            outdated=outdated(last, prospects(settings).plan, self._want, self._asked.intent),
        )

    def search(self, rig: Rig | None = None) -> Search:
        """Where the tuning is."""
        rig = rig or self._read()
        prospects = self._prospects(rig)
        trials = self._trials(rig, prospects)
        tried = [Tried(settings=one.settings, value=one.value) for one in trials if not one.outdated]
        # What was measured shows that some plans come to the same: fewer are left to choose from. Every trial costs, an outdated one too.
        limit = min(self.limit, limit_of(self._axes, prospects)) - (len(trials) - len(tried))
        return search(self._axes, tried, prospects, self._want, self._asked.intent, limit=limit)

    def steps(
        self,
        watching: Callable[[RunState], object] = lambda _state: None,
        unbroken: Unbroken = nullcontext,
        given_up: Callable[[], bool] = lambda: False,
    ) -> Generator[TrialResult, None, None]:
        """Run the trials that are left, each until it is measured; then mark the best one.

        `watching` is told what a trial does meanwhile; `given_up`, asked several times a second, ends the trial that is going on and the
        tuning with it. `unbroken` is entered while a trial's run is begun and while it is stopped: what interrupts then should be kept
        until that is done, or the engine outlives the tuning until its supervisor sees that nobody waits for it. Raises RigtuiError when
        a trial cannot be launched at all. Whoever leaves early must close the iterator (leaving its loop with an exception does), which
        stops the trial that is going on.
        """
        lost = 0
        while (found := self.search()).next is not None:
            run = self._trial(found.next, watching, unbroken, given_up)
            if given_up():
                return
            result = next((one for one in self.trials() if one.run == run), None)
            lost = lost + 1 if result is None and self._lost_its_port(run) else 0
            if result is not None:
                yield result
            elif not 0 < lost < PORTS_LOST:
                raise RigtuiError(f"trial {run} could not be measured; `rigtui logs {run}` says what happened")
        self.choose(found.best)

    def _lost_its_port(self, run: str) -> bool:
        stored = next((one for one in load_results(self._asked.name) if one.run == run), None)
        return stored is not None and bool(stored.attempt) and stored.attempt[-1].failure == "port_in_use"

    def choose(self, best: Overrides | None) -> None:
        """Mark the best trial: later plans begin with its settings."""
        if best is None:
            return
        rig = self._read()
        prospect = self._prospects(rig)
        wanted = prospect(best).signature
        fresh = (one for one in reversed(self._trials(rig, prospect)) if one.value and not one.outdated)
        run = next((one.run for one in fresh if prospect(one.settings).signature == wanted), None)
        if run is not None:
            mark_chosen(self._asked.name, run, self.id)

    def _trial(self, settings: Overrides, watching: Callable[[RunState], object], unbroken: Unbroken, given_up: Callable[[], bool]) -> str:
        """One trial from its launch to its end; the run's id."""
        asked = self._asked
        request = LaunchRequest(
            plan=self._plan(self._read(), settings),
            intent=asked.intent,
            build=self._build,
            model=asked.model.name,
            profile=asked.name,
            fingerprint=asked.model.fingerprint,
            embedding=asked.intent.use_case.embedding or asked.model.embedding_model,
            trial=Trial(tuning=self.id, settings=settings),
            owner=(os.getpid(), identity.start_time(os.getpid()) or 0),
            attempts=1,
            probe=asked.probe,
        )
        launched: Launched | None = None
        try:
            with unbroken():
                launched = launch(request)
            if launched.attached:
                raise RigtuiError(f"{asked.name} runs already as {launched.state.run}; stop it first (`rigtui stop {launched.state.run}`)")
            for change in watch.follow(RunDirectory(launched.directory), log_offset=None, given_up=given_up):
                if change.state is not None:
                    watching(change.state)
                    if change.state.phase == "ready" and not change.state.measuring:
                        break
        finally:
            if launched is not None and not launched.attached:
                with unbroken():
                    _stop(launched)
        return launched.state.run


def _failed_by_itself(run: RunResult) -> bool:
    """Its settings are to blame, and not whoever killed it, took its port or filled the disk."""
    return run.outcome == "failed" and run.attempt[-1].failure not in ("killed", "port_in_use", "disk_full")


def _stop(launched: Launched) -> None:
    state = RunDirectory(launched.directory).view()
    if state is not None:
        watch.stop_and_wait(state)

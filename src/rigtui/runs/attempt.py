"""One attempt of a run: a plan launched as an engine, watched until it ends, measured once when it is ready."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import IO

import msgspec
from msgspec.structs import replace

from rigtui.engines.engine import Event, Failure
from rigtui.engines.probe import environment
from rigtui.engines.rooms import room
from rigtui.exec_engine import NOT_STARTED
from rigtui.rig.rig import Rig
from rigtui.rig.sampler import Engines, Sampler
from rigtui.runs import identity, record, shortage
from rigtui.runs.dialects import dialect_of
from rigtui.runs.journal import Journal, older_of
from rigtui.runs.keeper import StateKeeper, say
from rigtui.runs.measure import Endpoint, measure_completion, measure_embedding
from rigtui.runs.observe import Observed
from rigtui.runs.oom import OomKills
from rigtui.runs.peaks import INTERVAL_S, Peaks
from rigtui.runs.pending import instead_of_engines
from rigtui.runs.prober import Prober
from rigtui.runs.process import EngineProcess
from rigtui.runs.results import AttemptResult, without_secrets
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.state import Asked, Measured
from rigtui.runs.truth import Load, Verdict, judge
from rigtui.runs.when import timestamp
from rigtui.text import clean

_SILENT_S = 5.0
"""Health alone is believed after this long: the answer might come from another program on the port."""
_CHILDREN_EVERY_S = 1.0
_EVENTS_BYTES = 32 << 20
"""Of `events.jsonl`; beyond, it becomes `events.jsonl.1`."""


class NotStartedError(Exception):
    """The engine could not even be started."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class Attempt:
    """One engine from its start to its end. What it does is written to the state; whoever owns it decides what follows."""

    def __init__(self, directory: RunDirectory, asked: Asked, keeper: StateKeeper, read: Callable[[Engines], Rig]) -> None:
        """`asked`: the run's, with this attempt's plan, constraints, lessons and command."""
        self.asked = asked
        self.failure: Failure | None = None
        """Why it ended, once it has; None: it was asked to."""
        self._directory = directory
        self._keeper = keeper
        self._read = read
        plan = asked.request.plan
        self._observed = Observed({d.device: d.uuid or d.device for d in plan.devices}, plan.parallel)
        self._events: deque[Event] = deque(maxlen=10_000)
        self._events_file: IO[bytes] | None = None
        self._engine: EngineProcess | None = None
        self._prober: Prober | None = None
        self._peaks = Peaks(None)
        self._load = Load(None)
        self._sampler: Sampler | None = None
        self._oom_kills = OomKills()
        self._known_pids: frozenset[int] = frozenset()
        self._pids_at = float("-inf")
        self._kill_at: float | None = None
        """Monotonic time from which the engine is killed; None: nobody asked it to stop."""
        self._started = time.monotonic()
        self._moved: tuple[int | None, ...] = ()
        self._moved_at = self._started

    def start(self) -> None:
        """Start the engine. Raises NotStartedError with the failure."""
        spawn = self.asked.spawn
        if shutil.which(spawn.argv[0]) is None:
            text = f"the engine {spawn.argv[0]} is not there, or cannot be run; install it or choose another one"
            raise NotStartedError(Failure(code="engine_missing", text=text))
        key, env = self._api_key(), environment(spawn.env, spawn.not_inherited)
        if spawn.key_variable is not None:
            if key is None:
                text = f"the API key file {self.asked.request.api_key_file} has no key that can be read; without one it is open to anybody"
                raise NotStartedError(Failure(code="bad_argument", text=text))
            env = env | {spawn.key_variable: key}
        before = self._read(Engines())
        self._peaks, self._load = Peaks(before), Load(before)
        header = f"=== rigtui attempt {self._keeper.state.attempt} {timestamp()} {' '.join(without_secrets(spawn.argv))}"
        self._started = self._moved_at = time.monotonic()
        try:
            self._events_file = open(self._directory.events, "ab", buffering=0)  # noqa: SIM115 open as long as the attempt
            engine = EngineProcess(spawn.argv, env, Journal(self._directory.engine_log, header), self._reader())
        except OSError as error:
            code = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "crash"
            text = f"the engine could not be started: {error.strerror or error}"
            raise NotStartedError(Failure(code=code, text=text)) from error
        self._engine = engine
        self._keeper.update(now=True, pid=engine.pid, pid_started=engine.started)
        self._sampler = Sampler(INTERVAL_S, lambda: Engines(pids=self._pids(engine.pid)), self._read)
        self._sampler.subscribe(self._peaks.add)
        self._sampler.subscribe(self._load.add)
        self._sampler.start()
        self._prober = Prober(Endpoint(spawn.host, spawn.port, key, dialect_of(spawn.api, spawn.model_name)), self._measure)
        self._prober.start()

    def _pids(self, engine: int) -> frozenset[int]:
        # To look for children costs more than a reading, and engines start theirs early.
        if time.monotonic() - self._pids_at > _CHILDREN_EVERY_S:
            self._pids_at, self._known_pids = time.monotonic(), frozenset(identity.with_children({engine}))
        return self._known_pids

    def _reader(self) -> Callable[[str], None]:
        reader = room(self.asked.request.build.engine).reader(self.asked.request.build)
        return lambda line: self._events.extend(reader.feed(line))

    def _api_key(self) -> str | None:
        path = self.asked.request.api_key_file
        if path is None:
            return None
        try:
            with open(path, encoding="utf-8") as stream:
                return stream.readline(4096).strip() or None
        except (OSError, UnicodeDecodeError) as error:
            self._keeper.note(f"the API key file {path} cannot be read ({error}), so the run cannot be measured")
            return None

    def _measure(self, endpoint: Endpoint) -> Measured:
        request = self.asked.request
        if request.embedding:
            return measure_embedding(endpoint, request.plan.context_per_slot)
        return measure_completion(endpoint, request.plan.context_per_slot, full=request.probe == "full")

    @property
    def running(self) -> bool:
        """Its engine has not ended yet."""
        return self._engine is not None and self._engine.poll() is None

    @property
    def idle(self) -> bool:
        """It serves, and nothing is to be watched closely."""
        return self._keeper.state.phase == "ready" and not self._keeper.state.measuring

    def tick(self) -> bool:
        """Look once; True when the measurement is over, until the state says so."""
        assert self._engine is not None
        self._take_events(self._engine)
        phase, measured = self._keeper.state.phase, False
        if self._kill_at is not None:
            if time.monotonic() >= self._kill_at:
                self._engine.signal(signal.SIGKILL)
        elif phase in ("starting", "loading"):
            self._watch_loading(self._engine)
        elif self._keeper.state.measuring and self._prober is not None and self._prober.done:
            if self._prober.problem is not None:
                self._keeper.note(self._prober.problem)
            self._settle()
            measured = True
        return measured

    def verdict(self) -> Verdict:
        """The plan against what was measured of it."""
        before = self._peaks.before
        wsl = before is not None and before.platform == "wsl2"
        return judge(self.asked.request.plan, self._keeper.state.measured or Measured(), self._observed, self._load, wsl=wsl)

    def rig_without(self) -> Rig:
        """The rig as it would be without this attempt's engine."""
        pids = self._pids(self._engine.pid) if self._engine is not None else frozenset()
        return instead_of_engines(self._read(Engines(pids=pids, bytes_by_uuid=self._keeper.state.logged_bytes)))

    def give_up(self, failure: Failure) -> None:
        """Stop the engine, although it runs, for this reason."""
        self.failure = failure
        self.stop()

    def stop(self, *, now: bool = False) -> None:
        """Ask the engine to end; `now`: without its grace."""
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self.asked.request.stop_grace_s
            if self._engine is not None:
                self._engine.signal(signal.SIGTERM)
        if now:
            self._kill_at = time.monotonic()

    def _take_events(self, engine: EngineProcess) -> None:
        lines = []
        while self._events:
            event = self._events.popleft()
            self._observed.add(event)
            entry = {"time": round(time.time(), 3), "attempt": self._keeper.state.attempt, **msgspec.to_builtins(event)}
            lines.append(msgspec.json.encode(entry))
        if lines and self._events_file is not None:
            try:
                if self._events_file.tell() >= _EVENTS_BYTES:
                    self._events_file.close()
                    os.replace(self._directory.events, older_of(self._directory.events))
                    self._events_file = open(self._directory.events, "ab", buffering=0)  # noqa: SIM115
                self._events_file.write(b"\n".join(lines) + b"\n")
            except OSError as error:
                self._keeper.note(f"events.jsonl is incomplete: {error.strerror or error}")
                # What is left of a full disk is for the state.
                self._events_file.close()
                self._events_file = None
            context = self._observed.context or self._keeper.state.context
            self._keeper.update(logged_bytes=self._observed.logged_bytes(), context=context)
        for problem in (engine.pump.log_problem, engine.pump.line_problem):
            if problem is not None:
                self._keeper.note(problem)

    def _watch_loading(self, engine: EngineProcess) -> None:
        assert self._prober is not None
        progress, read = self._observed.progress, engine.read_bytes()
        if progress is None and read is not None:
            progress = min(read / max(self.asked.spawn.weights_bytes, 1), 0.99)
        if self._keeper.state.phase == "starting" and self._observed.loading:
            self._keeper.update(now=True, phase="loading")
        if progress is not None and self._keeper.state.phase == "loading":
            self._keeper.update(progress=round(progress, 3))
        since = self._prober.healthy_since
        silent = not self._prober.announced and since is not None and time.monotonic() - since > _SILENT_S
        if since is not None and (self._observed.listening or silent):
            measured = record.with_log(Measured(load_s=round(since - self._started, 2)), self._observed)
            self._keeper.update(now=True, phase="ready", progress=1.0, ready_at=timestamp(), measured=measured, measuring=True)
            self._keeper.set_outcome("ready", None)
            self._load.begin()
            self._prober.measure()
        else:
            self._watch_progress(engine, read)

    def _watch_progress(self, engine: EngineProcess, read: int | None) -> None:
        """An engine that neither says nor reads anything for long is stuck."""
        moved = (engine.pump.taken, read)
        if moved != self._moved:
            self._moved, self._moved_at = moved, time.monotonic()
        limit_s = self.asked.request.stuck_s
        if time.monotonic() - self._moved_at > limit_s:
            at = f" at {self._keeper.state.progress:.0%}" if self._keeper.state.progress else ""
            text = f"loading stood still{at}: the engine said and read nothing for {limit_s:,.0f} s, so it was stopped"
            self.give_up(Failure(code="timeout", text=text))
            self.stop(now=True)

    def _settle(self) -> None:
        """What was measured, and the highest use of the cards so far, become part of the state."""
        speeds = self._prober.measured if self._prober is not None else None
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler = None
            if self._engine is not None and self._engine.poll() is None:
                # A small model is measured between two readings: its use is seen all the same.
                self._peaks.add(self._read(Engines(pids=self._pids(self._engine.pid))))
            peaks, basis = self._peaks.result(self._keeper.state.planned_bytes)
            before = self._keeper.state.measured or Measured()
            measured = replace(speeds or Measured(), load_s=before.load_s, peak_bytes=peaks, peak_basis=basis, spilled=before.spilled)
            self._keeper.update(measured=record.with_log(measured, self._observed))

    def finish(self) -> None:
        """Leave nothing of the engine behind, and find out why it ended."""
        if self._prober is not None:
            self._prober.stop()
        if self._engine is not None:
            code = self._engine.poll()
            self._engine.finish()
            self._take_events(self._engine)
            if self.failure is None and self._kill_at is None and code is not None:
                self.failure = self._diagnose(self._engine, code)
        self._settle()
        if self._events_file is not None:
            self._events_file.close()

    def _diagnose(self, engine: EngineProcess, code: int) -> Failure:
        """Why an engine that nobody asked to stop has ended."""
        tail = [clean(line) for line in engine.pump.tail]
        if code == NOT_STARTED and tail and tail[-1].startswith("cannot start "):
            return Failure(code="engine_missing", text=f"the engine did not start: {tail[-1]}", line=tail[-1])
        exit_code, number = (code, None) if code >= 0 else (None, -code)
        try:
            engine_room = room(self.asked.request.build.engine)
            failure = engine_room.diagnose(self._observed.events, tail, exit_code, number, asked_to_stop=False)
            failure = self._oom_kills.explain(failure, number)
            return shortage.measured(failure, self.asked.request.plan, self._peaks, self._observed, self._read(Engines()))
        except Exception:  # noqa: BLE001 the end of a run must be written, understood or not
            say(traceback.format_exc())
            how = f"with status {code}" if code >= 0 else f"by signal {-code}"
            return Failure(code="exited", text=f"the engine ended {how}; its log says why", line=tail[-1] if tail else None)

    def result(self) -> AttemptResult:
        """What it came to, for the results."""
        return record.attempt_result(self.asked, self._keeper.state, self._observed, self._peaks)

    @property
    def rig_before(self) -> Rig | None:
        """The rig just before the engine started."""
        return self._peaks.before

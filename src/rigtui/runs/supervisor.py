"""The supervisor: `python -m rigtui.runs.supervisor RUNDIR`, one small detached process per run.

It owns the engine: starts it, reads its log, watches its health and the cards, measures it once, stops it when asked, and writes all
that to the run directory. Terminals come and go; they only read that directory and put requests into it.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec
from msgspec.structs import replace

from rigtui.engines.engine import Event, Failure
from rigtui.engines.rooms import room
from rigtui.errors import RigtuiError
from rigtui.rig.rig import Rig
from rigtui.rig.sampler import Engines, Sampler, read_rig
from rigtui.runs import identity, record
from rigtui.runs.exec_engine import NOT_STARTED
from rigtui.runs.keeper import StateKeeper, say
from rigtui.runs.measure import Endpoint, measure_completion, measure_embedding
from rigtui.runs.observe import Observed
from rigtui.runs.peaks import INTERVAL_S, Peaks
from rigtui.runs.prober import Prober
from rigtui.runs.process import EngineProcess
from rigtui.runs.results import without_secrets
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.state import Measured
from rigtui.runs.when import timestamp
from rigtui.text import clean

_BUSY_TICK_S = 0.1
_IDLE_TICK_S = 0.5
_SILENT_S = 5.0
"""Health alone is believed after this long: the answer might come from another program on the port."""
_CHILDREN_EVERY_S = 1.0
_KEPT_REQUESTS = 20


class _NotStartedError(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class Supervisor:
    """One run from start to end."""

    def __init__(self, directory: RunDirectory, read: Callable[[Engines], Rig] = read_rig) -> None:
        self._directory = directory
        self._read = read
        self._asked = directory.read_asked()
        self._keeper = StateKeeper(directory, record.first_state(self._asked))
        self._observed = Observed({d.device: d.uuid or d.device for d in self._asked.request.plan.devices})
        self._events: deque[Event] = deque(maxlen=10_000)
        self._events_file: IO[bytes] | None = None
        self._engine: EngineProcess | None = None
        self._prober: Prober | None = None
        self._peaks = Peaks(None)
        self._sampler: Sampler | None = None
        self._known_pids: frozenset[int] = frozenset()
        self._pids_at = float("-inf")
        self._signalled = False
        self._kill_at: float | None = None
        """Monotonic time from which the engine is killed; None: nobody asked to stop."""
        self._started = time.monotonic()

    def run(self) -> None:
        """Serve the run until its engine has ended. Always leaves a final state, unless it is killed itself."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        failure: Failure | None = None
        try:
            self._keeper.write()
            if self._keeper.problem is None:
                engine = self._start_engine()
                while engine.poll() is None:
                    self._tick(engine)
                    idle = self._keeper.state.phase == "ready" and not self._keeper.state.measuring
                    time.sleep(_IDLE_TICK_S if idle else _BUSY_TICK_S)
        except _NotStartedError as error:
            failure = error.failure
        except Exception as error:  # noqa: BLE001 whatever happens here, the engine must not be left alone
            say(traceback.format_exc())
            failure = Failure(code="crash", text=f"the supervisor failed ({error!r}), so the engine was stopped; please report this")
        finally:
            self._end(failure)

    def _on_signal(self, *_: object) -> None:
        self._signalled = True

    def _start_engine(self) -> EngineProcess:
        spawn = self._asked.spawn
        if shutil.which(spawn.argv[0]) is None:
            text = f"the engine {spawn.argv[0]} is not there, or cannot be run; install it or choose another one"
            raise _NotStartedError(Failure(code="engine_missing", text=text))
        self._peaks = Peaks(self._read(Engines()))
        header = f"=== rigtui attempt {self._keeper.state.attempt} {timestamp()} {' '.join(without_secrets(spawn.argv))}"
        self._started = time.monotonic()
        try:
            self._events_file = open(self._directory.events, "ab", buffering=0)  # noqa: SIM115 open as long as the run
            engine = EngineProcess(spawn.argv, spawn.env, self._directory.engine_log, header, self._reader())
        except OSError as error:
            code = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "crash"
            text = f"the engine could not be started: {error.strerror or error}"
            raise _NotStartedError(Failure(code=code, text=text)) from error
        self._engine = engine
        self._keeper.update(now=True, pid=engine.pid, pid_started=engine.started)
        self._sampler = Sampler(INTERVAL_S, lambda: Engines(pids=self._pids(engine.pid)), self._read)
        self._sampler.subscribe(self._peaks.add)
        self._sampler.start()
        self._prober = Prober(Endpoint(spawn.host, spawn.port, self._api_key()), self._measure)
        self._prober.start()
        return engine

    def _pids(self, engine: int) -> frozenset[int]:
        # To look for children costs more than a reading, and engines start theirs early.
        if time.monotonic() - self._pids_at > _CHILDREN_EVERY_S:
            self._pids_at, self._known_pids = time.monotonic(), frozenset(identity.with_children({engine}))
        return self._known_pids

    def _reader(self) -> Callable[[str], None]:
        reader = room(self._asked.request.build.engine).reader(self._asked.request.build)
        return lambda line: self._events.extend(reader.feed(line))

    def _api_key(self) -> str | None:
        path = self._asked.request.api_key_file
        if path is None:
            return None
        try:
            with open(path, encoding="utf-8") as stream:
                return stream.readline(4096).strip() or None
        except (OSError, UnicodeDecodeError) as error:
            self._keeper.note(f"the API key file {path} cannot be read ({error}), so the run cannot be measured")
            return None

    def _measure(self, endpoint: Endpoint) -> Measured:
        request = self._asked.request
        if request.embedding:
            return measure_embedding(endpoint, request.plan.context_per_slot)
        return measure_completion(endpoint, request.plan.context_per_slot, full=request.probe == "full")

    def _tick(self, engine: EngineProcess) -> None:
        self._take_requests(engine)
        self._take_events(engine)
        phase = self._keeper.state.phase
        if self._kill_at is not None:
            if time.monotonic() >= self._kill_at:
                engine.signal(signal.SIGKILL)
        elif self._keeper.problem is not None:
            # An engine that nobody can see or stop must not run on.
            self._ask_to_stop(engine, now=False)
        elif phase in ("starting", "loading"):
            self._watch_loading(engine)
        elif self._keeper.state.measuring and self._prober is not None and self._prober.done:
            if self._prober.problem is not None:
                self._keeper.note(self._prober.problem)
            self._settle(self._prober.measured)
            self._keeper.update(now=True, measuring=False)
        self._keeper.write_when_due()

    def _take_requests(self, engine: EngineProcess) -> None:
        taken = []
        for name, request in self._directory.take_requests():
            taken.append(name)
            if request is None:
                self._keeper.note(f"the request {clean(name)} was not understood and is ignored")
            else:
                self._ask_to_stop(engine, now=request.now)
        if taken:
            self._keeper.update(now=True, acknowledged=(*self._keeper.state.acknowledged, *taken)[-_KEPT_REQUESTS:])
        if self._signalled:
            self._signalled = False
            self._ask_to_stop(engine, now=False)

    def _ask_to_stop(self, engine: EngineProcess, *, now: bool) -> None:
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._asked.request.stop_grace_s
            self._keeper.update(now=True, phase="stopping", measuring=False)
            engine.signal(signal.SIGTERM)
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
                self._events_file.write(b"\n".join(lines) + b"\n")
            except OSError as error:
                self._keeper.note(f"events.jsonl is incomplete: {error.strerror or error}")
            context = self._observed.context or self._keeper.state.context
            self._keeper.update(logged_bytes=self._observed.logged_bytes(), context=context)
        for problem in (engine.pump.log_problem, engine.pump.line_problem):
            if problem is not None:
                self._keeper.note(problem)

    def _watch_loading(self, engine: EngineProcess) -> None:
        assert self._prober is not None
        progress = self._observed.progress
        if progress is None and (read := engine.read_bytes()) is not None:
            progress = min(read / max(self._asked.spawn.weights_bytes, 1), 0.99)
        if self._keeper.state.phase == "starting" and self._observed.loading:
            self._keeper.update(now=True, phase="loading")
        if progress is not None and self._keeper.state.phase == "loading":
            self._keeper.update(progress=round(progress, 3))
        since = self._prober.healthy_since
        if since is not None and (self._observed.listening or time.monotonic() - since > _SILENT_S):
            measured = record.with_log(Measured(load_s=round(since - self._started, 2)), self._observed)
            self._keeper.update(now=True, phase="ready", progress=1.0, ready_at=timestamp(), measured=measured, measuring=True)
            self._set_outcome("ready", None)
            self._prober.measure()

    def _set_outcome(self, outcome: str, failure: Failure | None) -> None:
        *before, last = self._keeper.state.attempts
        self._keeper.update(attempts=(*before, replace(last, outcome=outcome, failure=failure)))

    def _settle(self, speeds: Measured | None) -> None:
        """What was measured, and the highest use of the cards so far, become part of the state and of the results."""
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler = None
            if self._engine is not None and self._engine.poll() is None:
                # A small model is measured between two readings: its use is seen all the same.
                self._peaks.add(self._read(Engines(pids=self._pids(self._engine.pid))))
            peaks, basis = self._peaks.result(self._keeper.state.planned_bytes)
            before = self._keeper.state.measured
            measured = replace(speeds or Measured(), load_s=before.load_s if before else None, peak_bytes=peaks, peak_basis=basis)
            self._keeper.update(measured=record.with_log(measured, self._observed))
        try:
            warning = record.save(self._asked, self._keeper.state, self._observed, self._peaks)
        except (RigtuiError, OSError) as error:
            warning = f"the results could not be saved: {error}"
        if warning is not None:
            self._keeper.note(warning)

    def _end(self, failure: Failure | None) -> None:
        """Leave no engine behind, and say how it ended."""
        if self._prober is not None:
            self._prober.stop()
        if self._engine is not None:
            code = self._engine.poll()
            self._engine.finish()
            self._take_events(self._engine)
            if failure is None and self._kill_at is None and code is not None:
                failure = self._diagnose(self._engine, code)
        failure = failure or self._keeper.failure()
        was_ready = self._keeper.state.ready_at is not None
        self._set_outcome("failed" if failure else "ready" if was_ready else "stopped", failure)
        self._keeper.update(phase="failed" if failure else "stopped", measuring=False, failure=failure, ended=timestamp())
        self._settle(self._prober.measured if self._prober is not None else None)
        self._keeper.write()
        if self._events_file is not None:
            self._events_file.close()

    def _diagnose(self, engine: EngineProcess, code: int) -> Failure:
        """Why an engine that nobody asked to stop has ended."""
        tail = [clean(line) for line in engine.pump.tail]
        if code == NOT_STARTED and tail and tail[-1].startswith("cannot start "):
            return Failure(code="engine_missing", text=f"the engine did not start: {tail[-1]}", line=tail[-1])
        exit_code, number = (code, None) if code >= 0 else (None, -code)
        try:
            engine_room = room(self._asked.request.build.engine)
            return engine_room.diagnose(self._observed.events, tail, exit_code, number, asked_to_stop=False)
        except Exception:  # noqa: BLE001 the end of a run must be written, understood or not
            say(traceback.format_exc())
            how = f"with status {code}" if code >= 0 else f"by signal {-code}"
            return Failure(code="exited", text=f"the engine ended {how}; its log says why", line=tail[-1] if tail else None)


def main(arguments: list[str]) -> int:
    """Detach from whoever started it, then supervise the run of the given directory."""
    if os.fork() > 0:
        os._exit(0)  # the launcher waits for this one; the supervisor belongs to init and leaves no zombie behind
    os.setsid()
    Supervisor(RunDirectory(Path(arguments[0]))).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The supervisor: `python -m rigtui.runs.supervisor RUNDIR`, one small detached process per run.

It owns the engine: launches one attempt after another until one serves or nothing is left to try, stops it when asked, and writes all that
to the run directory. Terminals come and go; they only read that directory and put requests into it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from rigtui.engines.engine import Failure
from rigtui.engines.rooms import room
from rigtui.errors import RigtuiError
from rigtui.rig.rig import Rig
from rigtui.rig.sampler import Engines, read_rig
from rigtui.runs import identity, record, watch
from rigtui.runs.attempt import Attempt, NotStartedError
from rigtui.runs.keeper import StateKeeper, say
from rigtui.runs.ports import choose_port
from rigtui.runs.results import AttemptResult
from rigtui.runs.rundir import Request, RunDirectory
from rigtui.runs.state import Asked, Measured
from rigtui.runs.walk import Walker, Way, Ways
from rigtui.runs.when import timestamp
from rigtui.text import clean

_BUSY_TICK_S = 0.1
_IDLE_TICK_S = 0.5
_KEPT_REQUESTS = 20


class Supervisor:
    """One run from start to end."""

    def __init__(
        self, directory: RunDirectory, read: Callable[[Engines], Rig] = read_rig, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock`: seconds, for the limit on mending."""
        self._directory = directory
        self._read = read
        self._clock = clock
        self._asked = directory.read_asked()
        """The run's; its plan, constraints and command are those of the attempt that is going on."""
        self._keeper = StateKeeper(directory, record.first_state(self._asked))
        self._walker = Walker(self._asked, read)
        self._attempt = Attempt(directory, self._asked, self._keeper, read)
        self._done: list[AttemptResult] = []
        self._rig_before: Rig | None = None
        self._ways: tuple[Way, ...] = ()
        """On from the last failure."""
        self._by_hand: int | None = None
        """Which of `_ways` the user took."""
        self._stopping = False
        self._signalled = False
        self._mending_left_s = self._asked.request.mending_s

    def run(self) -> None:
        """Serve the run until its last engine has ended. Always leaves a final state, unless it is killed itself."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        failure: Failure | None = None
        try:
            self._keeper.write()
            if self._keeper.problem is None:
                failure = self._attempts()
        except Exception as error:  # noqa: BLE001 whatever happens here, the engine must not be left alone
            say(traceback.format_exc())
            failure = Failure(code="crash", text=f"the supervisor failed ({error!r}), so the engine was stopped; please report this")
        finally:
            self._end(failure)

    def _on_signal(self, *_: object) -> None:
        self._signalled = True

    def _attempts(self) -> Failure | None:
        """Launch and watch, until nothing more is to be launched; why the run failed, or None."""
        while True:
            began = self._clock()
            failure = self._attempt_to_its_end()
            if self._keeper.state.ready_at is None and len(self._keeper.state.attempts) > 1:
                self._mending_left_s -= self._clock() - began
            if self._stopping or self._keeper.problem is not None:
                return failure
            # No engine runs any more, whatever phase it had come to.
            self._keeper.update(now=True, phase="starting", measuring=False)
            way, why_none = self._next(failure)
            if way is None:
                return replace(failure, text=f"{failure.text}; {why_none}") if failure is not None and why_none else failure
            if self._asked_to_stop():
                return None
            self._launch(way)

    def _attempt_to_its_end(self) -> Failure | None:
        """Run the attempt; why it ended, or None when it was asked to."""
        attempt = self._attempt
        try:
            attempt.start()
            self._keep_rig(attempt)
            while attempt.running:
                self._take_requests()
                if self._keeper.problem is not None or self._abandoned():
                    # An engine that nobody can see or stop, or that nobody wants any more, must not run on.
                    self._stop(now=False)
                if attempt.tick():
                    self._judge(attempt)
                    self._save(attempt.result())
                    self._keeper.update(now=True, measuring=False)
                self._keeper.write_when_due()
                time.sleep(_IDLE_TICK_S if attempt.idle else _BUSY_TICK_S)
        except NotStartedError as error:
            attempt.failure = error.failure
        self._settle(attempt.failure)
        return attempt.failure

    def _keep_rig(self, attempt: Attempt) -> None:
        """The rig before the first attempt, for the result: on disk as well, should this process be killed."""
        if self._rig_before is None and attempt.rig_before is not None:
            self._rig_before = attempt.rig_before
            try:
                self._directory.write_rig(self._rig_before)
            except RigtuiError as error:
                self._keeper.note(str(error))

    def _judge(self, attempt: Attempt) -> None:
        """Say where the plan and what was measured differ; a spill is mended where the use case asks for speed."""
        request = attempt.asked.request
        if request.simulated:
            return  # the plan is one for other cards
        verdict = attempt.verdict()
        for text in verdict.notes:
            self._keeper.note(text)
        spill = verdict.spill
        if spill is None:
            return
        found = self._walker.ways(spill, request.plan, request.constraints, rig=attempt.rig_without())
        self._offer(found)
        mends = any(way.plan.status != "offload" for way in found.ways) and self._limit() is None
        if mends and request.intent.use_case.prefer == "speed":
            attempt.give_up(spill)
            return
        self._keeper.update(measured=replace(self._keeper.state.measured or Measured(), spilled=spill.text))
        if mends:
            self._keeper.note(f"{spill.text}; the steps of the ladder would mend it, and the use case prefers context to speed")
        else:
            self._keeper.note(f"{spill.text}; {found.why_none or 'no step would keep it on the cards'}")

    def _offer(self, found: Ways) -> None:
        """Let the ways on be seen, and taken by hand."""
        self._ways = found.ways
        self._keeper.update(steps=tuple(way.offered() for way in found.ways), step=None)

    def _abandoned(self) -> bool:
        """The process that the run was for is gone."""
        owner = self._asked.request.owner
        return owner is not None and not identity.is_running(*owner)

    def _settle(self, failure: Failure | None) -> None:
        """The attempt is over: nothing of it is left, and what it came to is kept."""
        self._attempt.finish()
        failure = failure or self._attempt.failure or self._keeper.failure()
        was_ready = self._keeper.state.ready_at is not None
        self._keeper.set_outcome("failed" if failure else "ready" if was_ready else "stopped", failure)
        result = self._attempt.result()
        self._save(result)
        self._done.append(result)

    def _save(self, result: AttemptResult) -> None:
        """The results so far; `result` is the attempt's that is going on."""
        try:
            if self._rig_before is None:
                self._rig_before = self._attempt.rig_before
            warning = record.save(self._attempt.asked, self._keeper.state, (*self._done, result), self._rig_before)
        except (RigtuiError, OSError) as error:
            warning = f"the results could not be saved: {error}"
        if warning is not None:
            self._keeper.note(warning)

    def _next(self, failure: Failure | None) -> tuple[Way | None, str]:
        """What is launched after the attempt that just ended, or why nothing is."""
        request = self._attempt.asked.request
        if self._by_hand is not None:
            number, self._by_hand = self._by_hand, None
            self._keeper.update(step=number)
            return self._ways[number], ""
        if failure is None:
            return None, ""
        limit = self._limit()
        if limit is not None:
            return None, limit
        if failure.code == "port_in_use":
            return self._other_port()
        found = self._walker.ways(failure, request.plan, request.constraints)
        self._offer(found)
        if not found.ways:
            return None, found.why_none
        self._keeper.update(step=0)
        return found.ways[0], ""

    def _limit(self) -> str | None:
        """Why no attempt is begun any more; None: one may be. One sentence, empty where only one was wanted."""
        request = self._attempt.asked.request
        if request.trial is not None:
            return ""  # it shows what these very settings come to
        if len(self._keeper.state.attempts) >= request.attempts:
            return f"{request.attempts} attempts are the limit" if request.attempts > 1 else ""
        if self._mending_left_s <= 0:
            return f"it was tried for {request.mending_s / 60:.0f} minutes, which is the limit"
        return None

    def _other_port(self) -> tuple[Way | None, str]:
        """The same plan on the next free port, where the user left it open."""
        request, taken = self._attempt.asked.request, self._keeper.state.port
        if request.port is not None:
            return None, f"your --port {request.port} leaves no other"
        change = f"port {taken} was taken by another program meanwhile: the next free one"
        return Way(plan=request.plan, build=request.build, constraints=request.constraints, change=change), ""

    def _launch(self, way: Way) -> None:
        """Make the next attempt out of `way`."""
        before = self._attempt.asked.request
        request = replace(before, plan=way.plan, build=way.build, constraints=way.constraints)
        if way.model is not None:
            failure = self._keeper.state.attempts[-1].failure
            left = record.given_up(before, way.model, failure.text if failure else "")
            request = replace(request, fingerprint=way.model.fingerprint, given_up=left)
        port = self._port(request.port)
        spawn = room(way.build.engine).spawn(way.plan, way.build, request.host, port, request.api_key_file)
        asked: Asked = replace(self._attempt.asked, spawn=spawn, request=request, learned=way.learned)
        self._keeper.state = record.next_attempt(self._keeper.state, asked, way.change)
        self._attempt = Attempt(self._directory, asked, self._keeper, self._read)
        self._directory.write_attempt(asked)
        self._keeper.write()

    def _port(self, own: int | None) -> int:
        """The port of the attempt before, unless somebody has it by now."""
        last, failure = self._keeper.state.port, self._keeper.state.attempts[-1].failure
        if own is not None or failure is None or failure.code != "port_in_use":
            return last
        return choose_port(self._attempt.asked.request.host, None, {last, *(state.port for state in watch.live_runs())})

    def _take_requests(self) -> None:
        taken = []
        for name, request in self._directory.take_requests():
            taken.append(name)
            if request is None or not self._obey(request):
                self._keeper.note(f"the request {clean(name)} was not understood and is ignored")
        if taken:
            self._keeper.update(now=True, acknowledged=(*self._keeper.state.acknowledged, *taken)[-_KEPT_REQUESTS:])
        if self._signalled:
            self._signalled = False
            self._stop(now=False)

    def _asked_to_stop(self) -> bool:
        self._take_requests()
        return self._stopping

    def _obey(self, request: Request) -> bool:
        """Do what a client wants; False when there is no such thing."""
        if request.action == "stop":
            self._stop(now=request.now)
            return True
        step = self._keeper.state.step
        number = request.step if request.action == "take" else None if step is None else step + 1
        if number is None or not 0 <= number < len(self._ways) or self._stopping:
            return False
        self._by_hand = number
        self._attempt.stop()
        return True

    def _stop(self, *, now: bool) -> None:
        if not self._stopping:
            self._stopping = True
            self._keeper.update(now=True, phase="stopping", measuring=False)
        self._attempt.stop(now=now)

    def _end(self, failure: Failure | None) -> None:
        """Leave no engine behind, and say how the run ended."""
        if len(self._done) < len(self._keeper.state.attempts):
            self._settle(failure)
        failure = failure or self._keeper.failure()
        self._keeper.update(phase="failed" if failure else "stopped", measuring=False, failure=failure, ended=timestamp())
        self._keeper.write()


def main(arguments: list[str]) -> int:
    """Detach from whoever started it, then supervise the run of the given directory."""
    if os.fork() > 0:
        os._exit(0)  # the launcher waits for this one; the supervisor belongs to init and leaves no zombie behind
    os.setsid()
    Supervisor(RunDirectory(Path(arguments[0]))).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Looking at runs from any process: which there are, what they do now, what their engines say. Nothing here changes a run,
but for the requests to stop and to take a step."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from rigtui.errors import RigtuiError, UsageError
from rigtui.rig.division import Engines
from rigtui.runs import identity, rundir
from rigtui.runs.journal import older_of
from rigtui.runs.rundir import Request, RunDirectory
from rigtui.runs.state import RunState

_ended: dict[str, tuple[int, RunState]] = {}
"""Ended runs as they were last read, by folder and time of writing: a screen asks several times a second, and they change no more."""
_LOG_CHUNK = 1 << 20
_POLL_S = 0.2
_STOP_EXTRA_S = 5.0
"""What a supervisor gets beyond the engine's grace before it is taken for stuck."""


def all_runs() -> list[RunState]:
    """Every run of this node whose state can be read, oldest first, as it really is."""
    found: dict[str, tuple[int, RunState]] = {}
    states = []
    for directory in rundir.all_directories():
        path = str(directory.path)
        written = directory.written_at()
        state = _ended[path][1] if path in _ended and _ended[path][0] == written else directory.view()
        if state is not None:
            states.append(state)
            if written is not None and not state.live:
                found[path] = (written, state)
    _ended.clear()
    _ended.update(found)
    return states


def live_runs() -> list[RunState]:
    """The runs that have an engine, or are about to, oldest first."""
    return [state for state in all_runs() if state.live]


def directory_of(state: RunState) -> RunDirectory:
    """The folder of a run of this node."""
    return RunDirectory(rundir.run_path(state.model, state.started, state.run))


def live_run_of(profile: str | None, model_path: str) -> RunState | None:
    """The live run that a launch of this model under this profile (None: under none) would repeat."""
    for state in live_runs():
        if state.phase != "stopping" and (state.profile, state.model_path) == (profile, model_path):
            return state
    return None


def find_run(text: str, *, live: bool = False) -> RunState:
    """The run that `text` means: the beginning of its id, or a profile's or model's name.

    A name means the run that is live, or else the last one. `live` looks at running ones alone. Raises UsageError when there is
    none, or more than one.
    """
    states = live_runs() if live else all_runs()
    by_id = [s for s in states if s.run == text] or [s for s in states if text and s.run.startswith(text)]
    named = [s for s in states if text in (s.profile, s.model, s.model_id)]
    found = by_id or [s for s in named if s.live] or named[-1:]
    if len(found) == 1:
        return found[0]
    if not found:
        what = "running" if live else "known"
        near = [s for s in states if s.live] or states
        known = ", ".join(f"{s.run} ({s.profile or s.model})" for s in near[-5:])
        raise UsageError(f"no run called {text} is {what} on this rig; " + (f"there are: {known}" if known else "there is none at all"))
    which = ", ".join(f"{s.run} (port {s.port}, {s.phase})" for s in found)
    raise UsageError(f"{text} can mean {len(found)} runs: {which}; name one by its id")


def engines_on_this_rig() -> Engines:
    """The processes of every live engine with their children, and per card what the engines logged plus runtime."""
    states = [s for s in live_runs() if identity.is_running(s.pid, s.pid_started)]
    held: dict[str, int] = {}
    for state in states:
        for uuid, size in state.logged_bytes.items():
            held[uuid] = held.get(uuid, 0) + size + state.runtime_bytes.get(uuid, 0)
    pids = identity.with_children({s.pid for s in states if s.pid is not None}) if states else set()
    return Engines(pids=frozenset(pids), bytes_by_uuid=held)


def request_stop(state: RunState, *, now: bool = False) -> None:
    """Ask a run to stop; `now` without the engine's grace. Raises RigtuiError when the request cannot be left."""
    directory_of(state).put_request(Request(action="stop", now=now))


def request_step(state: RunState, step: int | None = None) -> None:
    """Ask a run to give up its attempt for `step` of its ladder's steps, or for the next one.

    Raises RigtuiError when there is no such step, or the request cannot be left.
    """
    number = step if step is not None else (state.step if state.step is not None else -1) + 1
    if not state.live or not 0 <= number < len(state.steps):
        known = f"it has {len(state.steps)}" if state.steps else "it has none"
        raise RigtuiError(f"run {state.run} has no step {number + 1} to take; {known}")
    directory_of(state).put_request(Request(action="take", step=number))


def stop_and_wait(state: RunState, *, now: bool = False) -> RunState:
    """Stop a run and return its final state. A supervisor that does not answer is killed, and its engine dies with it."""
    directory = directory_of(state)
    if not state.live:
        return state
    request_stop(state, now=now)
    grace_s = 0.0 if now else directory.read_asked().request.stop_grace_s
    ended = wait_for_end(directory, grace_s + _STOP_EXTRA_S)
    if ended is None:
        if state.supervisor_pid is not None and identity.is_running(state.supervisor_pid, state.supervisor_started):
            os.kill(state.supervisor_pid, signal.SIGKILL)
        ended = wait_for_end(directory, _STOP_EXTRA_S)
    if ended is None:
        raise RigtuiError(f"run {state.run} does not stop; its supervisor is process {state.supervisor_pid}, its engine {state.pid}")
    return ended


def wait_for_end(directory: RunDirectory, timeout_s: float) -> RunState | None:
    """The state once the run is over, or None after the time."""
    deadline = time.monotonic() + timeout_s
    while True:
        state = directory.view()
        if state is not None and not state.live:
            return state
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.05)


class Change(Struct, frozen=True, kw_only=True):
    """What is new since the last look."""

    state: RunState | None = None
    """The new state; None: as before."""
    log: bytes = b""
    """What the engine said since, raw."""


class Follower:
    """Looks at one run again and again; a look at a run that did nothing costs two stats."""

    def __init__(self, directory: RunDirectory, *, log_offset: int | None = 0) -> None:
        """`log_offset`: where in the log to begin; None: at its end."""
        self._directory = directory
        self._seen: tuple[int, int] | None = None
        self._state: RunState | None = None
        entry = self._log_entry()
        self._inode = entry.st_ino if entry is not None else None
        self._offset = log_offset if log_offset is not None else entry.st_size if entry is not None else 0

    @property
    def offset(self) -> int:
        """How far the log was read."""
        return self._offset

    def poll(self) -> Change | None:
        """What is new, or None. At most 1 MiB of log at a time."""
        state = self._new_state()
        log = self._new_log()
        return Change(state=state, log=log) if state is not None or log else None

    def _new_state(self) -> RunState | None:
        try:
            entry = (self._directory.path / "state.json").stat()
        except OSError:
            return None
        seen = (entry.st_mtime_ns, entry.st_ino)
        known = self._state
        gone = known is not None and known.live and not identity.is_running(known.supervisor_pid, known.supervisor_started)
        if seen == self._seen and not gone:
            return None
        self._seen = seen
        state = self._directory.view()
        if state is None or state == known:
            return None
        self._state = state
        return state

    def _log_entry(self) -> os.stat_result | None:
        try:
            return self._directory.engine_log.stat()
        except OSError:
            return None

    def _new_log(self) -> bytes:
        entry = self._log_entry()
        if entry is None:
            return b""
        if self._inode not in (None, entry.st_ino):
            # The log was full and is now the older one; what was not read of it comes first.
            data = _read_from(older_of(self._directory.engine_log), self._offset)
            self._offset += len(data)
            if data:
                return data
            self._offset = 0
        self._inode = entry.st_ino
        if entry.st_size <= self._offset:
            return b""
        data = _read_from(self._directory.engine_log, self._offset)
        self._offset += len(data)
        return data


def _read_from(path: Path, offset: int) -> bytes:
    """At most a chunk of a log from `offset` on."""
    try:
        with open(path, "rb") as stream:
            stream.seek(offset)
            return stream.read(_LOG_CHUNK)
    except OSError:
        return b""


def follow(directory: RunDirectory, *, log_offset: int | None = 0, given_up: Callable[[], bool] = lambda: False) -> Iterator[Change]:
    """Changes of a run as they happen; ends when the run has ended and its log is read, or soon after `given_up` says so."""
    follower = Follower(directory, log_offset=log_offset)
    live = True
    while not given_up():
        change = follower.poll()
        if change is not None:
            if change.state is not None:
                live = change.state.live
            yield change
        elif not live:
            return
        else:
            time.sleep(_POLL_S)

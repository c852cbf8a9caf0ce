"""The run directory `<state>/runs/<node>/<model>/<start>/`: who reads it needs no lock, whoever writes it does so atomically.

`run.toml` (what was asked), `attempt.json` (the same for the last attempt, once one failed), `rig.json` (before the first attempt),
`state.json`, `engine.log` (raw bytes of every attempt, a header line each; `engine.log.1` and `engine.times` as `runs.journal` has them),
`events.jsonl`, `requests/<n>.json` (put there by clients, taken away by the supervisor), `supervisor.log`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from rigtui import files, paths
from rigtui.decoding import known
from rigtui.engines.engine import Event
from rigtui.errors import RigtuiError
from rigtui.rig.rig import Rig
from rigtui.runs import identity
from rigtui.runs.state import STATE_SCHEMA, Asked, LaunchRequest, RunState, supervisor_gone
from rigtui.text import slug

KEPT_RUNS = 20
"""Ended runs that are kept per model."""
KEPT_BYTES = 2 << 30
"""Of all runs of a node together."""
ACTIONS = frozenset({"stop", "skip", "take"})
_MAX_JSON_BYTES = 1 << 20
_MAX_REQUEST_BYTES = 1 << 16
_RESERVE_BYTES = 1 << 16


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a client wants of the supervisor."""

    action: str
    """`stop`; `skip`: give up the attempt that is going on for the next step of the ladder; `take`: for the step `step`."""
    now: bool = False
    """Stop without the grace the engine is normally given."""
    step: int | None = None
    """Which of the state's `steps`."""


class _Entry(msgspec.Struct, frozen=True):
    """The part of a line of `events.jsonl` that is not the event."""

    attempt: int


def runs_root() -> Path:
    """All runs of this node."""
    return paths.state_dir() / "runs" / identity.node()


def run_path(model: str, started: str, run: str) -> Path:
    """Where a run of this node lies; `started` as ISO 8601."""
    return runs_root() / slug(model) / f"{re.sub(r'[^0-9TZ]', '', started)}-{run}"


class RunDirectory:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def engine_log(self) -> Path:
        """Raw bytes of every attempt."""
        return self.path / "engine.log"

    @property
    def events(self) -> Path:
        """One JSON object per line: what was understood of the log."""
        return self.path / "events.jsonl"

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor itself said (empty unless something is wrong)."""
        return self.path / "supervisor.log"

    @classmethod
    def create(cls, asked: Asked) -> RunDirectory:
        """Make the folder of a new run and write `run.toml`.

        Raises RigtuiError when it cannot be written (disk full, no permission).
        """
        path = run_path(asked.request.model, asked.started, asked.run)
        try:
            path.mkdir(parents=True, mode=0o700)
            (path / "requests").mkdir()
            files.write_atomic(path / "run.toml", files.dump_toml(msgspec.to_builtins(asked)))
            # The command and its environment may hold secrets; the rest is for everyone who may look into this home.
            (path / "run.toml").chmod(0o600)
            path.chmod(0o755)
            # Given up when the disk is full, so that the last state can still be written.
            files.write_atomic(path / ".reserve", b"\0" * _RESERVE_BYTES)
        except OSError as error:
            raise RigtuiError(f"cannot make the run's folder {path}: {error.strerror or error}") from error
        except RigtuiError:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return cls(path)

    def read_asked(self) -> Asked:
        """`run.toml`. Raises RigtuiError when it is missing or damaged."""
        data = files.read_toml(self.path / "run.toml")
        try:
            return msgspec.convert(data, known(Asked))
        except msgspec.ValidationError as error:
            raise RigtuiError(f"{self.path / 'run.toml'} is damaged: {error}") from error

    def write_attempt(self, asked: Asked) -> None:
        """Keep what an attempt that was derived anew is launched with. Raises RigtuiError when it cannot be written."""
        path = self.path / "attempt.json"
        files.write_atomic(path, msgspec.json.encode(asked))
        path.chmod(0o600)

    def read_last_asked(self) -> Asked:
        """What the last attempt was launched with. Raises RigtuiError when it is missing or damaged."""
        with contextlib.suppress(OSError, msgspec.DecodeError), open(self.path / "attempt.json", "rb") as stream:
            return msgspec.json.decode(stream.read(_MAX_JSON_BYTES), type=known(Asked))
        return self.read_asked()

    def read_request(self) -> LaunchRequest:
        """What was asked for, with the plan of the last attempt. Raises RigtuiError when it is missing or damaged."""
        return self.read_last_asked().request

    def write_rig(self, rig: Rig) -> None:
        """Keep the rig as it was before the first attempt. Raises RigtuiError when it cannot be written."""
        files.write_atomic(self.path / "rig.json", msgspec.json.encode(rig))

    def read_rig(self) -> Rig | None:
        """The rig as it was before the first attempt; None while nothing was launched."""
        try:
            with open(self.path / "rig.json", "rb") as stream:
                return msgspec.json.decode(stream.read(_MAX_JSON_BYTES), type=known(Rig))
        except (OSError, msgspec.DecodeError):
            return None

    def events_of(self, attempt: int) -> list[Event]:
        """What was understood of the engine's log in one attempt, as far as it is still there; lines cut short are left out."""
        found = []
        with contextlib.suppress(OSError), open(self.events, "rb") as stream:
            for line in stream:
                with contextlib.suppress(msgspec.DecodeError):
                    if msgspec.json.decode(line, type=known(_Entry)).attempt == attempt:
                        found.append(msgspec.json.decode(line, type=known(Event)))
        return found

    def read_state(self) -> RunState | None:
        """`state.json` as it was written; None when it is missing, damaged or of another version."""
        try:
            with open(self.path / "state.json", "rb") as stream:
                data = stream.read(_MAX_JSON_BYTES)
            state = msgspec.json.decode(data, type=known(RunState))
        except (OSError, msgspec.DecodeError):
            return None
        return state if state.schema == STATE_SCHEMA else None

    def written_at(self) -> int | None:
        """When `state.json` was written (nanoseconds), or None while there is none."""
        try:
            return (self.path / "state.json").stat().st_mtime_ns
        except OSError:
            return None

    def view(self) -> RunState | None:
        """The state as it really is: a run whose supervisor is gone is not shown as running."""
        state = self.read_state()
        if state is None or not state.live or state.node != identity.node():
            return state
        rebooted = state.boot_id != identity.boot_id()
        if not rebooted and identity.is_running(state.supervisor_pid, state.supervisor_started):
            return state
        # It may have ended properly between the two looks.
        again = self.read_state()
        return again if again is None or not again.live else supervisor_gone(again, rebooted=rebooted)

    def write_state(self, state: RunState) -> None:
        """Replace `state.json`. Raises RigtuiError when the disk is full or the folder is gone."""
        data = msgspec.json.format(msgspec.json.encode(state), indent=1)
        files.write_atomic(self.path / "state.json", data)

    def size(self) -> int:
        """Bytes of all that lies in the folder."""
        found = 0
        for path in self.path.rglob("*"):
            with contextlib.suppress(OSError):
                found += path.stat().st_size
        return found

    def free_reserve(self) -> None:
        """Give up the space that was kept for the last state."""
        with contextlib.suppress(OSError):
            (self.path / ".reserve").unlink()

    def put_request(self, request: Request) -> str:
        """Leave a request for the supervisor; returns its file name."""
        name = f"{time.time_ns()}.json"
        files.write_atomic(self.path / "requests" / name, msgspec.json.encode(request))
        return name

    def take_requests(self) -> Iterator[tuple[str, Request | None]]:
        """The waiting requests, oldest first, each removed as it is given out; None for one that is not understood."""
        try:
            names = sorted(e.name for e in os.scandir(self.path / "requests") if e.name.endswith(".json") and not e.name.startswith("."))
        except OSError:
            return
        for name in names:
            path = self.path / "requests" / name
            request = None
            with contextlib.suppress(OSError, msgspec.DecodeError), open(path, "rb") as stream:
                request = msgspec.json.decode(stream.read(_MAX_REQUEST_BYTES), type=known(Request))
            with contextlib.suppress(OSError):
                path.unlink()
            yield name, request if request is None or request.action in ACTIONS else None


def all_directories() -> list[RunDirectory]:
    """Every run of this node, oldest first."""
    found = (path for path in runs_root().glob("*/*") if path.is_dir() and not path.name.startswith("."))
    return [RunDirectory(path) for path in sorted(found, key=lambda p: p.name)]


def prune(keep: int = KEPT_RUNS, most_bytes: int = KEPT_BYTES) -> None:
    """Remove the oldest ended runs of each model beyond `keep`, then the oldest of all beyond `most_bytes`.

    The caller holds the launch lock. A run that is live, or whose state this version cannot read, stays; a folder without any state is a
    launch that failed.
    """
    by_model: dict[Path, list[RunDirectory]] = {}
    for directory in all_directories():
        by_model.setdefault(directory.path.parent, []).append(directory)
    for directories in by_model.values():
        for directory in directories[: max(len(directories) - keep, 0)]:
            _remove_ended(directory)
    sizes = [(directory, directory.size()) for directory in all_directories()]
    over = sum(size for _, size in sizes) - most_bytes
    for directory, size in sizes:
        if over > 0 and _remove_ended(directory):
            over -= size


def _remove_ended(directory: RunDirectory) -> bool:
    state = directory.view()
    gone = not (directory.path / "state.json").exists() or (state is not None and not state.live and state.node == identity.node())
    if gone:
        shutil.rmtree(directory.path, ignore_errors=True)
    return gone

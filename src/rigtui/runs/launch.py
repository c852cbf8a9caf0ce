"""Starting a run: one at a time per node, attached to the one that is there already, on a port that is free."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from rigtui import files
from rigtui.engines.engine import Spawn
from rigtui.engines.rooms import room
from rigtui.errors import RigtuiError
from rigtui.runs import lost, rundir, watch
from rigtui.runs.ports import choose_port
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.state import Asked, LaunchRequest, RunState
from rigtui.runs.when import timestamp
from rigtui.text import clean

_SUPERVISOR_STARTS_S = 30.0
_COMPLAINS_S = 2.0
"""A supervisor that said something and has no state by then has failed."""


class Launched(Struct, frozen=True, kw_only=True):
    """A run that was started, or found."""

    state: RunState
    directory: Path
    attached: bool = False
    """It ran already."""
    stopped: tuple[RunState, ...] = ()
    """Runs that were stopped for it."""


def launch(request: LaunchRequest, make_spawn: Callable[[LaunchRequest, int], Spawn] | None = None) -> Launched:
    """Start a run and return once its supervisor is there; the engine loads after that.

    A live run of the same profile and model is returned instead, unless the request says replace, which stops every live run first, or
    beside. `make_spawn` turns the request and the port into the engine's command; the default asks the engine's
    room. Raises RigtuiError with one sentence: port in use, disk full, no permission.
    """
    request = replace(request, api_key_file=key_file(request.api_key_file))
    with files.locked(rundir.runs_root() / "launch"):
        stopped: tuple[RunState, ...] = ()
        if request.replace:
            stopped = tuple(watch.stop_and_wait(state) for state in watch.live_runs())
        elif not request.beside and (there := watch.live_run_of(request.name, request.plan.model.path)) is not None:
            return Launched(state=there, directory=watch.directory_of(there).path, attached=True)
        port = choose_port(request.host, request.port, {s.port for s in watch.live_runs()})
        lost.keep(watch.all_runs())
        rundir.prune()
        spawn = (make_spawn or _spawn)(request, port)
        asked = Asked(run=secrets.token_hex(4), started=timestamp(), spawn=spawn, request=request)
        directory = RunDirectory.create(asked)
        state = _start_supervisor(directory)
    return Launched(state=state, directory=directory.path, stopped=stopped)


def key_file(path: str | None) -> str | None:
    """The absolute path of a file with API keys. Raises RigtuiError when it is not there."""
    if path is None:
        return None
    absolute = Path(path).expanduser().absolute()
    if not absolute.is_file():
        raise RigtuiError(f"the API key file {path} is not there; make one with one key per line")
    return str(absolute)


def _spawn(request: LaunchRequest, port: int) -> Spawn:
    return room(request.build.engine).spawn(request.plan, request.build, request.host, port, request.api_key_file)


def _start_supervisor(directory: RunDirectory) -> RunState:
    # -P: what lies in the current folder must not be imported in the place of rigtui's own modules.
    argv = [sys.executable, "-P", "-m", "rigtui.runs.supervisor", str(directory.path)]
    try:
        with open(directory.supervisor_log, "ab") as log:
            # Returns at once: the supervisor detaches itself.
            subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=False)
    except OSError as error:
        raise RigtuiError(f"the supervisor could not be started: {error.strerror or error}") from error
    began = time.monotonic()
    while (state := directory.read_state()) is None:
        said, waited = _last_line(directory), time.monotonic() - began
        if waited >= _SUPERVISOR_STARTS_S or (said is not None and waited >= _COMPLAINS_S):
            said = said or "it said nothing"
            raise RigtuiError(f"the supervisor did not start: {said} (all of it in {directory.supervisor_log})")
        time.sleep(0.02)
    return state


def _last_line(directory: RunDirectory) -> str | None:
    """The end of what the supervisor said before it left; None while it said nothing."""
    lines = directory.supervisor_log.read_bytes()[-4096:].decode("utf-8", errors="replace").split("\n")
    # A line that is not finished may still be written to.
    return next((clean(line) for line in reversed(lines[:-1]) if line.strip() and not line.startswith((" ", "Traceback"))), None)

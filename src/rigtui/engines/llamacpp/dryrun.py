"""Asks the engine itself what it would do with a plan, and stops it before it allocates anything.

llama-server is started with the plan's own arguments and as much log as shows what `--fit` decides (`dryrun_log`). No weights are read;
each card holds the engine's bare context for the seconds this takes. Needs a build with `--fit-target` and `--log-jsonl`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO

from rigtui import exec_engine
from rigtui.engines.engine import Build
from rigtui.engines.llamacpp.builds import build_id
from rigtui.engines.llamacpp.dryrun_log import Answer, DryRunLog
from rigtui.engines.llamacpp.environment import DECIDING
from rigtui.engines.llamacpp.verified import seen_in, way_of
from rigtui.engines.probe import environment
from rigtui.errors import RigtuiError
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.known import Seen
from rigtui.planning.plan import Plan

NEEDED = frozenset({"--fit-target", "--log-jsonl", "--log-verbosity"})
TIMEOUT_S = 120.0
"""A large mixture on many cards takes `--fit` some ten seconds, on a slow processor a minute."""
MOST_BYTES = 256 << 20
"""Of output; a real one has some MiB."""
_POLL_S = 0.1
_WITH_VALUE = frozenset({"--host", "--port", "--api-key-file", "--load-mode", "-lv", "--verbosity", "--log-verbosity", "--log-file"})
_WITHOUT = frozenset({"--no-mmap", "--metrics", "--log-disable", "--verbose", "-v", "--log-jsonl"})


class CancelledError(RigtuiError):
    """Nobody wants the answer any more."""


def can_ask(plan: Plan, build: Build) -> bool:
    """Whether a dry run of the plan says anything: it uses cards, is for this build, and the build offers what is needed."""
    return bool(plan.devices) and plan.status != "no_fit" and not build.embedded and build.options >= NEEDED


def ask(
    plan: Plan, model: Model, intent: Intent, build: Build, *, cancelled: Callable[[], bool] = lambda: False, file: str | None = None
) -> Seen:
    """What the engine would do with `plan`. Blocks for seconds, at most `TIMEOUT_S`.

    `file`: a GGUF file with the model's header, where the model itself is not on this machine. Raises CancelledError when `cancelled`
    says so, RigtuiError with one sentence when the engine cannot start, crashes, hangs, or says nothing that can be understood.
    """
    way = way_of(plan, model.fingerprint, build_id(build), intent.overrides.engine_args)
    argv = arguments(plan, build, file)
    answer = _listen(argv, environment(plan.env, DECIDING), cancelled)
    seen = seen_in(answer, plan, model, way)
    if seen is None:
        raise RigtuiError("the engine's dry run speaks of other devices or tensors than the plan; the plan stays an estimate")
    return seen


def arguments(plan: Plan, build: Build, file: str | None = None) -> tuple[str, ...]:
    """The plan's own command without what only matters when it serves, with the log that is read."""
    start = len(build.argv)
    kept: list[str] = []
    words = iter(plan.command[start:])
    for word in words:
        if word in _WITH_VALUE:
            next(words, None)
        elif word not in _WITHOUT:
            kept.append(word)
    if file is not None:
        kept[kept.index("-m") + 1] = file
    # Mapped, for the file is read before anything is allocated: time enough to stop.
    own = ["--host", "127.0.0.1", "--port", "0", "-lv", "5", "--log-jsonl"]
    own += ["--offline"] if "--offline" in build.options else []
    return (*build.argv, *kept, *own)


def _listen(argv: tuple[str, ...], environment: Mapping[str, str], cancelled: Callable[[], bool]) -> Answer:
    import subprocess

    tied = (sys.executable, "-I", "-S", exec_engine.__file__, str(os.getpid()), *argv)
    try:
        process = subprocess.Popen(
            tied, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    except OSError as error:
        raise RigtuiError(f"the engine's dry run cannot be started: {error.strerror or error}") from error
    assert process.stdout is not None
    log = DryRunLog()
    with process.stdout as stream:
        try:
            _follow(stream, log, cancelled)
        finally:
            # The whole group: a wrapper script may have started others.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if log.answer is None:
        raise RigtuiError(f"the engine's dry run {_ending(process.returncode)} before it said what it would do{_last(log)}")
    return log.answer


def _follow(stream: IO[bytes], log: DryRunLog, cancelled: Callable[[], bool]) -> None:
    """Feed the log until it has an answer or the engine has ended."""
    import selectors

    deadline, read, rest = time.monotonic() + TIMEOUT_S, 0, b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if cancelled():
                raise CancelledError("the dry run was called off")
            if time.monotonic() > deadline or read > MOST_BYTES:
                raise RigtuiError(f"the engine's dry run came to no end in {TIMEOUT_S:.0f} seconds; the plan stays an estimate")
            if not selector.select(_POLL_S):
                continue
            part = os.read(stream.fileno(), 1 << 16)
            if not part:
                return
            read += len(part)
            *lines, rest = (rest + part).split(b"\n")
            rest = rest[: 1 << 16]
            for line in lines:
                if log.feed(line.decode("utf-8", "replace")):
                    return


def _ending(code: int) -> str:
    if code == exec_engine.NOT_STARTED:
        return "could not start"
    return f"was killed by signal {-code}" if code < 0 and code != -signal.SIGKILL else "ended"


def _last(log: DryRunLog) -> str:
    return f": {log.problem[:200]}" if log.problem else ""

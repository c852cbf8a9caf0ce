"""Become an engine that dies with whoever started it: `python -I -S exec_engine.py PARENT_PID PROGRAM ARG…`.

A program of its own, because code between fork and exec is not safe in a process that has threads. An engine of several processes (vLLM)
leaves the others behind, with their VRAM, when its first one is killed; a small child of it sees to that.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; kept across exec
NOT_STARTED = 127
"""Exit code when the program cannot be started, as a shell has it."""
_LAST_WORDS_S = 0.5
"""Between the death of the engine and that of what it left: Python's resource tracker removes shared memory in that time."""


def main() -> int:
    """Arrange to be killed with the parent, undo ignored signals, become the engine."""
    parent, argv = int(sys.argv[1]), sys.argv[2:]
    if not _signalled_at_death_of_parent(signal.SIGKILL):
        print(f"cannot tie the engine to its supervisor: {os.strerror(ctypes.get_errno())}", file=sys.stderr)  # noqa: T201
        return NOT_STARTED
    if os.getppid() != parent:  # it died before the request to die with it was in place
        return NOT_STARTED
    # An ignored signal stays ignored across exec; llama-server must be able to be interrupted.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    _guard_group()
    try:
        os.execvp(argv[0], argv)  # noqa: S606 no shell is wanted
    except OSError as error:
        print(f"cannot start {argv[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
    return NOT_STARTED


def _signalled_at_death_of_parent(number: signal.Signals) -> bool:
    return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) == 0)


def _guard_group() -> None:
    """Start the child that waits until this process, the engine to be, is gone, and then ends its group."""
    engine = os.getpid()
    if os.getpgrp() != engine:
        return  # then the group is not the engine's alone
    try:
        if os.fork() > 0:
            return
    except OSError:
        return
    # Asked to end with the whole group, it stays: the engine may take its time.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR1,))
    os.closerange(0, 3)  # whoever reads the engine's output must see its end
    if _signalled_at_death_of_parent(signal.SIGUSR1) and os.getppid() == engine:
        signal.sigwait((signal.SIGUSR1,))
    time.sleep(_LAST_WORDS_S)
    os.killpg(engine, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())

"""Become an engine that dies with whoever started it: `python -I -S exec_engine.py PARENT_PID PROGRAM ARG…`.

A program of its own, because code between fork and exec is not safe in a process that has threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; kept across exec
NOT_STARTED = 127
"""Exit code when the program cannot be started, as a shell has it."""


def main() -> int:
    """Arrange to be killed with the parent, undo ignored signals, become the engine."""
    parent, argv = int(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        print(f"cannot tie the engine to its supervisor: {os.strerror(ctypes.get_errno())}", file=sys.stderr)  # noqa: T201
        return NOT_STARTED
    if os.getppid() != parent:  # it died before the request to die with it was in place
        return NOT_STARTED
    # An ignored signal stays ignored across exec; llama-server must be able to be interrupted.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 no shell is wanted
    except OSError as error:
        print(f"cannot start {argv[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
    return NOT_STARTED


if __name__ == "__main__":
    sys.exit(main())

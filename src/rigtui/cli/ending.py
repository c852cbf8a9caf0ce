"""SIGTERM for a command in the foreground: it stops whatever Ctrl-C stops. SIGHUP is left alone: a closed terminal ends no engine."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rigtui.errors import EXIT_INTERRUPTED, EXIT_TERMINATED


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """130 after Ctrl-C, 143 after SIGTERM, as shells count."""
    return EXIT_TERMINATED if isinstance(interrupt, Terminated) else EXIT_INTERRUPTED


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


def take_sigterm_as_interrupt() -> None:
    """From here on SIGTERM raises Terminated in the main thread. Programs that are started get it as ever."""
    signal.signal(signal.SIGTERM, _terminate)


class Held:
    """Whether a signal came that has not been answered yet."""

    came: type[KeyboardInterrupt] | None = None

    def answer(self) -> None:
        """Raise what came."""
        if self.came is not None:
            raise self.came


@contextmanager
def held() -> Iterator[Held]:
    """Ctrl-C and SIGTERM are kept for later while something is started that must not be left half known; a second one is not."""
    pending = Held()

    def keep(number: int, _frame: FrameType | None) -> None:
        kind = Terminated if number == signal.SIGTERM else KeyboardInterrupt
        if pending.came is not None:
            raise kind
        pending.came = kind

    before = {number: signal.signal(number, keep) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield pending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def answered_after() -> Iterator[None]:
    """Ctrl-C and SIGTERM are kept while the block runs, and raised where it ends."""
    with held() as pending:
        yield
    pending.answer()

"""Asks the shown run, while it is ready, how it works; on a thread of its own, because a busy engine answers late.

An engine that rests is left alone until its log says that something happens: asking leaves lines in that log, and the screen moves.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual.worker import get_current_worker

from rigtui.errors import RigtuiError
from rigtui.tui.messages import LiveRead
from rigtui.tui.tasks import Post, cancelled

if TYPE_CHECKING:
    from rigtui.engines.live import Live
    from rigtui.runs.state import RunState
    from rigtui.tui.services import LiveSource, Services

SILENT = 3
"""Looks without an answer after which an engine is left alone, too."""


class LiveWatch:
    """`run` is set by the screen and read by the thread; None: there is nobody to ask."""

    def __init__(self, services: Services, post: Post) -> None:
        self._services, self._post = services, post
        self.run: RunState | None = None
        self.wake = threading.Event()
        """Set: it is worth a look."""

    def heard(self, lines: Iterable[str]) -> None:
        """The run's log grew: worth a look, unless that was only our own asking."""
        from rigtui.runs.live import left_by_asking

        if not all(left_by_asking(line) for line in lines):
            self.wake.set()

    def loop(self) -> None:
        """Until the screen goes."""
        worker = get_current_worker()
        opened: tuple[str, LiveSource] | None = None
        silent = 0
        while not cancelled(worker):
            run = self.run
            if run is None:
                opened = None
            elif opened is None or opened[0] != run.run or self.wake.is_set():
                self.wake.clear()
                opened, live = self._read(run, opened)
                silent = silent + 1 if live is None else 0
                if (live is not None and not resting(live)) or 0 < silent < SILENT:
                    self.wake.set()
            worker.cancelled_event.wait(self._services.live_interval_s)

    def _read(self, run: RunState, opened: tuple[str, LiveSource] | None) -> tuple[tuple[str, LiveSource] | None, Live | None]:
        try:
            if opened is None or opened[0] != run.run:
                opened = (run.run, self._services.open_live(run))
        except RigtuiError:
            # Its key cannot be read any more: it is not asked.
            return None, None
        live = opened[1].read()
        self._post(LiveRead(run.run, live))
        return opened, live


def resting(live: Live | None) -> bool | None:
    """Whether an engine has nothing to do; None: it does not say."""
    if live is None or live.processing is None:
        return None
    return live.processing == 0 and not live.waiting

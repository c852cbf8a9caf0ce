"""Asks the shown run, while it is ready, how it works; on a thread of its own, because a busy engine answers late."""

from __future__ import annotations

from textual.worker import get_current_worker

from rigtui.errors import RigtuiError
from rigtui.runs.state import RunState
from rigtui.tui.messages import LiveRead
from rigtui.tui.services import LiveSource, Services
from rigtui.tui.tasks import Post, cancelled


class LiveWatch:
    """`run` is set by the screen and read by the thread; None: there is nobody to ask."""

    def __init__(self, services: Services, post: Post) -> None:
        self._services, self._post = services, post
        self.run: RunState | None = None

    def loop(self) -> None:
        """Until the screen goes."""
        worker = get_current_worker()
        opened: tuple[str, LiveSource] | None = None
        while not cancelled(worker):
            run = self.run
            opened = None if run is None else self._read(run, opened)
            worker.cancelled_event.wait(self._services.live_interval_s)

    def _read(self, run: RunState, opened: tuple[str, LiveSource] | None) -> tuple[str, LiveSource] | None:
        try:
            if opened is None or opened[0] != run.run:
                opened = (run.run, self._services.open_live(run))
        except RigtuiError:
            # Its key cannot be read any more: it is not asked.
            return None
        self._post(LiveRead(run.run, opened[1].read()))
        return opened

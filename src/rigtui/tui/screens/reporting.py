"""What screens with background work have in common: it runs on threads, reports by messages, and a fault in it is told."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.screen import ScreenResultType
from textual.worker import Worker, WorkerState

from rigtui.text import clean
from rigtui.tui.layout import LaidOut
from rigtui.tui.messages import Noted


class Reporting(LaidOut[ScreenResultType]):
    """A screen that has work done in the background."""

    def background(self, group: str, work: Callable[[], None], *, exclusive: bool = False) -> None:
        """Do something on a thread; it reports by messages. `exclusive`: what is left of the same group is called off."""
        # Described, or Textual 8.2.8 (worker_manager.py) writes all of `work` out: every model found, 20 ms for fifty of them.
        self.run_worker(work, thread=True, group=group, description=group, exclusive=exclusive, exit_on_error=False)

    @on(Worker.StateChanged)
    def _worker_ended(self, event: Worker.StateChanged) -> None:
        """A fault in one part must not take the screen with it: it is told, and the rest goes on."""
        error = event.worker.error
        if event.state is WorkerState.ERROR and error is not None:
            text = f"a fault in rigtui itself ({event.worker.group}): {type(error).__name__}: {error}"
            self.faulted(event.worker.group, text)
            self.post_message(Noted(text, title="fault", failed=True))

    def faulted(self, group: str, text: str) -> None:
        """The work of `group` ended by the fault that `text` tells: nothing is to wait for it any more."""

    @on(Noted)
    def _noted(self, event: Noted) -> None:
        from rigtui.tui.notes import stands

        severity, timeout = ("error", 12) if event.failed else ("information", 5)
        text = clean(event.text)
        if not stands(self.app, text, event.title):
            self.notify(text, title=event.title, severity=severity, timeout=timeout, markup=False)  # type: ignore[arg-type]

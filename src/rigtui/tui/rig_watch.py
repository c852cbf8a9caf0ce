"""The readings of the rig, as messages: begun on a thread, because the driver may take its time, and ended by the screen at any time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from rigtui.tui.messages import RigRead

if TYPE_CHECKING:
    from rigtui.tui.services import Services
    from rigtui.tui.tasks import Post


class RigWatch:
    """One watch, from `begin` to `end`, whichever is called first."""

    def __init__(self, services: Services, post: Post) -> None:
        self._services, self._post = services, post
        self._lock = threading.Lock()
        self._over = False
        self._end: Callable[[], None] | None = None

    def begin(self) -> None:
        """Have every reading told."""
        end = self._services.watch_rig(lambda rig: self._post(RigRead(rig)))
        with self._lock:
            self._end = end
            over = self._over
        if over:
            end()

    def end(self) -> None:
        """Nobody looks any more."""
        with self._lock:
            self._over = True
            end = self._end
        if end is not None:
            end()

"""Asks a loading engine whether it is ready, and measures it once when told to. A thread, so that the supervisor never waits for HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rigtui.errors import RigtuiError
from rigtui.runs.measure import Endpoint
from rigtui.runs.state import Measured

_INTERVAL_S = 0.2


class Prober(threading.Thread):
    """First health, then, after `go`, one measurement."""

    def __init__(self, endpoint: Endpoint, measure: Callable[[Endpoint], Measured]) -> None:
        super().__init__(name="prober", daemon=True)
        self._endpoint = endpoint
        self._measure = measure
        self._go = threading.Event()
        self._stopped = threading.Event()
        self.healthy_since: float | None = None
        """Monotonic time of the first good answer."""
        self.measured: Measured | None = None
        self.problem: str | None = None
        """Why there is no measurement."""

    def run(self) -> None:
        """Poll, wait, measure."""
        while not self._endpoint.healthy():
            if self._stopped.wait(_INTERVAL_S):
                return
        self.healthy_since = time.monotonic()
        self._go.wait()
        if self._stopped.is_set():
            return
        try:
            self.measured = self._measure(self._endpoint)
        except RigtuiError as error:
            self.problem = f"the engine could not be measured: {error}"
        except Exception as error:  # noqa: BLE001 whatever an engine answers, it goes on serving
            self.problem = f"the engine could not be measured: {error!r}"

    @property
    def announced(self) -> bool:
        """The engine's log will say when it listens."""
        return self._endpoint.dialect.announces

    @property
    def done(self) -> bool:
        """The measurement is over, one way or the other."""
        return self.measured is not None or self.problem is not None

    def measure(self) -> None:
        """Begin to measure."""
        self._go.set()

    def stop(self) -> None:
        """Let go; a measurement that is going on ends with the engine."""
        self._stopped.set()
        self._go.set()

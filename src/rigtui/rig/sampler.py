"""Readings of this rig: one by one (`read_rig`), or again and again by one thread (`Sampler`).

A process has one open NVML handle, whoever asks; readings are immutable values and may be kept and shared.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from msgspec.structs import replace

from rigtui.rig.cards import complete
from rigtui.rig.division import NO_ENGINES, Engines, divide
from rigtui.rig.host import HostReader
from rigtui.rig.nvml import Nvml
from rigtui.rig.rig import Rig

__all__ = ["LOADING_S", "NO_ENGINES", "REST_S", "Engines", "RigReader", "Sampler", "read_rig"]

REST_S = 1.0
"""Between two readings while nothing happens."""
LOADING_S = 0.2
"""While an engine loads or is measured, so that peaks are seen."""


class RigReader:
    """Reads this machine; keeps the handle of the driver open between readings. Safe to share between threads."""

    def __init__(self, host: HostReader | None = None, nvml: Nvml | None = None) -> None:
        self._host = host or HostReader()
        self._nvml = nvml or Nvml(self._host.platform)
        self._lock = threading.Lock()

    def read(self, engines: Engines = NO_ENGINES) -> Rig:
        """The rig now; `engines` says which processes and bytes are those of rigtui's engines."""
        with self._lock:
            host = self._host.read()
            cards = self._nvml.read()
        return Rig(
            name=host.name,
            platform=host.platform,
            gpus=tuple(divide(complete(gpu), host.platform, engines) for gpu in cards.gpus),
            driver=cards.driver,
            cuda=cards.cuda,
            ram_total_bytes=host.ram_total_bytes,
            ram_free_bytes=host.ram_free_bytes,
            cpu_name=host.cpu_name,
            cpu_cores=host.cpu_cores,
            cpu_percent=host.cpu_percent,
            problem=cards.problem,
            taken_at=time.time(),
        )

    def close(self) -> None:
        """Let go of the driver; a later reading opens it again."""
        with self._lock:
            self._nvml.close()


_shared: RigReader | None = None
_shared_lock = threading.Lock()


def read_rig(engines: Engines = NO_ENGINES) -> Rig:
    """This rig now. A missing driver is the rig's `problem`, a failing card that card's `error`; nothing is raised for them."""
    global _shared  # noqa: PLW0603 the one handle of this process
    with _shared_lock:
        if _shared is None:
            _shared = RigReader()
    return _shared.read(engines)


class Sampler:
    """One thread that reads the rig at an interval that may change, and tells who subscribed.

    The thread never dies of a reading: what goes wrong becomes `Rig.problem`. It is a daemon and waits on an event, so that
    neither `stop` nor the end of the program waits for the interval.
    """

    def __init__(
        self,
        interval_s: float = REST_S,
        engines: Callable[[], Engines] = Engines,
        read: Callable[[Engines], Rig] = read_rig,
    ) -> None:
        self._interval_s = interval_s
        self._engines = engines
        self._read = read
        self._latest: Rig | None = None
        self._subscribers: list[Callable[[Rig], object]] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def latest(self) -> Rig | None:
        """The newest reading; None before the first."""
        return self._latest

    @property
    def interval_s(self) -> float:
        """Seconds between two readings."""
        return self._interval_s

    @interval_s.setter
    def interval_s(self, seconds: float) -> None:
        self._interval_s = seconds
        self._wake.set()

    def subscribe(self, tell: Callable[[Rig], object]) -> Callable[[], None]:
        """Call `tell` with every reading, in the sampler's thread; the function that comes back ends that.

        What `tell` raises is its own affair: the others are told all the same.
        """
        with self._lock:
            self._subscribers.append(tell)

        def unsubscribe() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._subscribers.remove(tell)

        return unsubscribe

    def start(self) -> None:
        """Begin to read; at once, then at the interval."""
        if self._thread is None:
            # A new event: a thread that hangs in the driver since an earlier `stop` must not come back to life.
            self._stopping = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._stopping,), name="rig-sampler", daemon=True)
            self._thread.start()

    def stop(self, wait_s: float = 1.0) -> None:
        """End it; waits at most `wait_s` for a reading that is going on (a driver may hang on a lost card)."""
        self._stopping.set()
        self._wake.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(wait_s)

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            started = time.monotonic()
            self._sample()
            # A changed interval wakes the wait and counts from the last reading on.
            while not stopping.is_set() and (left := started + self._interval_s - time.monotonic()) > 0:
                self._wake.wait(left)
                self._wake.clear()

    def _sample(self) -> None:
        try:
            rig = self._read(self._engines())
        except Exception as error:  # noqa: BLE001 the thread must outlive whatever a driver or its bindings do
            before = self._latest or Rig(name="this machine", platform="linux")
            rig = replace(
                before, gpus=(), problem=f"the cards cannot be read ({error}): run `rigtui gpus` for details", taken_at=time.time()
            )
        self._latest = rig
        with self._lock:
            subscribers = tuple(self._subscribers)
        for tell in subscribers:
            with contextlib.suppress(Exception):
                tell(rig)

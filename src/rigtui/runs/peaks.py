"""The highest use of each card while an engine loads and works, seen by sampling."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from rigtui.rig.rig import Gpu, Rig
from rigtui.runs import identity

INTERVAL_S = 0.1
"""10 Hz: a compute peak that lasts less than 200 ms is still seen."""
_CHILDREN_EVERY = 10
"""Samples between two looks for the engine's children, which cost more than a sample."""


class Peaks:
    """Folds readings into the highest use per card UUID."""

    def __init__(self, before: Rig | None) -> None:
        """`before`: a reading from before the engine started."""
        self._used_before = {g.uuid: used for g in (before.gpus if before else ()) if g.uuid and (used := _used(g)) is not None}
        self._processes: dict[str, int] = {}
        self._growth: dict[str, int] = {}
        self.driver = before.driver if before else None
        self.gpus = tuple((g.uuid, g.name) for g in (before.gpus if before else ()) if g.uuid)

    def add(self, rig: Rig, pids: Iterable[int]) -> None:
        """Take one more reading; `pids` are the engine's."""
        own = set(pids)
        for gpu in rig.gpus:
            if gpu.uuid is None or gpu.error is not None:
                continue
            held = [p.bytes for p in gpu.processes or () if p.pid in own]
            if held and None not in held:
                self._processes[gpu.uuid] = max(self._processes.get(gpu.uuid, 0), sum(b for b in held if b is not None))
            used = _used(gpu)
            if used is not None and gpu.uuid in self._used_before:
                self._growth[gpu.uuid] = max(self._growth.get(gpu.uuid, 0), used - self._used_before[gpu.uuid])

    def result(self, wanted: Iterable[str]) -> tuple[dict[str, int], str | None]:
        """Peak per card and how it was found: `process`, or `card` where no process list names the engine.

        `wanted` are the UUIDs of the cards that the plan uses; growth of any other card is somebody else's.
        """
        if self._processes:
            return dict(self._processes), "process"
        growth = {uuid: self._growth[uuid] for uuid in wanted if self._growth.get(uuid, 0) > 0}
        return (growth, "card") if growth else ({}, None)


def _used(gpu: Gpu) -> int | None:
    return None if gpu.total_bytes is None or gpu.free_bytes is None else gpu.total_bytes - gpu.free_bytes


class PeakWatch(threading.Thread):
    """Samples until it is told to stop."""

    def __init__(self, read: Callable[[set[int]], Rig], peaks: Peaks, pid: int) -> None:
        """`read` gives a reading with the given processes counted as engines; `pid` is the engine's."""
        super().__init__(name="peak-watch", daemon=True)
        self._read = read
        self._pid = pid
        self._ended = threading.Event()
        self._peaks = peaks
        self.problem: str | None = None
        """Why the sampling ended before it was told to."""

    def run(self) -> None:
        """Read the rig again and again."""
        pids: set[int] = set()
        count = 0
        while not self._ended.wait(INTERVAL_S):
            if count % _CHILDREN_EVERY == 0:
                pids = identity.with_children({self._pid})
            count += 1
            try:
                self._peaks.add(self._read(pids), pids)
            except Exception as error:  # noqa: BLE001 a driver that fails must not take the engine with it
                self.problem = f"the cards cannot be watched: {error}"
                return

    def stop(self) -> None:
        """End it and wait for the reading that is going on."""
        self._ended.set()
        if self.is_alive():
            self.join(5)

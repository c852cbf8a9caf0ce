"""The highest use of each card and the least that was free there while an engine loads and works, from readings taken again and again."""

from __future__ import annotations

from collections.abc import Iterable

from rigtui.rig.division import used_bytes
from rigtui.rig.rig import Rig

INTERVAL_S = 0.1
"""10 Hz: a peak that lasts 200 ms is seen for certain."""


class Peaks:
    """Folds readings, in which this run's processes are the engines, into the highest use per card UUID."""

    def __init__(self, before: Rig | None) -> None:
        """`before`: a reading from before the engine started; None: there is none."""
        gpus = [g for g in (before.gpus if before else ()) if g.uuid is not None]
        self.before = before
        self.free_least: dict[str, int] = {}
        """Per card UUID, bytes."""
        self._used_before = {g.uuid: used for g in gpus if (used := used_bytes(g)) is not None}
        self._processes: dict[str, int] = {}
        self._growth: dict[str, int] = {}

    def add(self, rig: Rig) -> None:
        """Take one more reading."""
        for gpu in rig.gpus:
            if gpu.uuid is None or gpu.error is not None:
                continue
            if gpu.free_bytes is not None:
                self.free_least[gpu.uuid] = min(self.free_least.get(gpu.uuid, gpu.free_bytes), gpu.free_bytes)
            held = [p.bytes for p in gpu.processes or () if p.engine]
            if held and None not in held:
                total = sum(size for size in held if size is not None)
                self._processes[gpu.uuid] = max(self._processes.get(gpu.uuid, 0), total)
            used, before = used_bytes(gpu), self._used_before.get(gpu.uuid)
            if used is not None and before is not None:
                self._growth[gpu.uuid] = max(self._growth.get(gpu.uuid, 0), used - before)

    def free_before(self, uuid: str | None) -> int | None:
        """Bytes that were free on a card before the engine started."""
        return next((g.free_bytes for g in (self.before.gpus if self.before else ()) if uuid is not None and g.uuid == uuid), None)

    def result(self, cards: Iterable[str]) -> tuple[dict[str, int], str | None]:
        """Peak per card, and how it was found: `process`, or `card` where no process list names the engine.

        `cards` are the UUIDs that the plan uses; growth of any other card is somebody else's.
        """
        if self._processes:
            return dict(self._processes), "process"
        growth = {uuid: self._growth[uuid] for uuid in cards if self._growth.get(uuid, 0) > 0}
        return (growth, "card") if growth else ({}, None)

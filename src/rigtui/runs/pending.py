"""A rig as a launch must see it: what loading runs will still take counts as taken, what is stopped first counts as free. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from rigtui.rig.rig import Gpu, Rig
from rigtui.runs.state import RunState


def beside(rig: Rig, runs: Iterable[RunState]) -> Rig:
    """`rig` less what the loading ones of `runs` have planned and do not hold yet."""
    pending: dict[str, int] = {}
    for run in runs:
        if run.phase in ("starting", "loading"):
            for card, planned in run.planned_bytes.items():
                pending[card] = pending.get(card, 0) + max(planned - _held(rig, card, run), 0)
    if not pending:
        return rig
    return replace(rig, gpus=tuple(_less(gpu, pending.get(gpu.uuid or "", 0)) for gpu in rig.gpus))


def _held(rig: Rig, card: str, run: RunState) -> int:
    """What the run's engine holds on a card by now: by the driver's list, or by the engine's own log where there is none."""
    listed = [p.bytes for gpu in rig.gpus if gpu.uuid == card for p in gpu.processes or () if p.pid == run.pid and p.bytes is not None]
    return sum(listed) if listed else run.logged_bytes.get(card, 0)


def _less(gpu: Gpu, pending: int) -> Gpu:
    if not pending or gpu.free_bytes is None:
        return gpu
    pending = min(pending, gpu.free_bytes)
    return replace(gpu, free_bytes=gpu.free_bytes - pending, engines_bytes=(gpu.engines_bytes or 0) + pending)


def instead_of_engines(rig: Rig) -> Rig:
    """`rig` as if every engine that rigtui started were stopped."""
    return replace(rig, gpus=tuple(_without_engines(gpu) for gpu in rig.gpus))


def _without_engines(gpu: Gpu) -> Gpu:
    if not gpu.engines_bytes or gpu.free_bytes is None:
        return gpu
    return replace(gpu, free_bytes=gpu.free_bytes + gpu.engines_bytes, engines_bytes=0)

"""How much was missing when an allocation failed: what was asked for against what was free just then. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from rigtui.engines.engine import Failure
from rigtui.planning.plan import Plan, PlanDevice
from rigtui.rig.rig import Gpu, Rig
from rigtui.runs.peaks import Peaks
from rigtui.text import mib


def measured(failure: Failure, plan: Plan, peaks: Peaks, held: Mapping[str, int], after: Rig) -> Failure:
    """`failure` with the bytes that were missing, where it is a failed allocation on a card of the plan.

    `peaks` watched the cards until the engine ended, `held` is what it had allocated on each by its own words (by UUID, or the device's
    name), `after` a reading with the engine gone.
    """
    device = next((d for d in plan.devices if d.device == failure.device), None)
    if failure.code != "out_of_vram" or device is None or failure.asked_bytes is None:
        return failure
    card = next((gpu for gpu in after.gpus if gpu.uuid is not None and gpu.uuid == device.uuid), None)
    if card is not None and card.total_bytes is not None and failure.asked_bytes > card.total_bytes:
        return _too_much(failure, device, card)
    by_process, basis = peaks.result(())
    mine = by_process.get(device.uuid or "", 0) if basis == "process" else held.get(device.uuid or device.device, 0) + device.floor_bytes
    free = _free_then(device, peaks, mine, card)
    if free is None:
        return failure
    # Memory in pieces: an allocation may fail though as much is free in all.
    missing = max(failure.asked_bytes - free, 0)
    text = f"{failure.text}: {mib(missing)} too little was free" if missing else failure.text
    return replace(failure, text=f"{text} ({device.name})", missing_bytes=missing)


def _free_then(device: PlanDevice, peaks: Peaks, held: int, card: Gpu | None) -> int | None:
    """Bytes free on the card when the allocation failed: the least that was seen, or what is free now less what the engine held then.

    Another program may have taken its memory between the last reading and the failure: then only the second shows it.
    """
    least = peaks.free_least.get(device.uuid or "")
    now = None if card is None or card.free_bytes is None else max(card.free_bytes - held, 0)
    return min((size for size in (least, now) if size is not None), default=None)


def _too_much(failure: Failure, device: PlanDevice, card: Gpu) -> Failure:
    """No card of this size could ever give that."""
    size = f"{mib(failure.asked_bytes)}, and {device.name} has {mib(card.total_bytes)} in all"
    missing = (failure.asked_bytes or 0) - (card.free_bytes or 0)
    if failure.stage == "kv":
        return replace(failure, code="context_too_long", text=f"the KV cache of this context needs {size}", missing_bytes=missing)
    return replace(failure, code="no_fit", text=f"it does not fit at all: {failure.text}: it asked for {size}", missing_bytes=missing)

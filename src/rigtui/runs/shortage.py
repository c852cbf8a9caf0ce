"""How much was missing when an allocation failed: what was asked for against what was free just then. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from rigtui.engines.engine import Failure
from rigtui.planning.plan import Plan, PlanDevice
from rigtui.rig.rig import Gpu, Rig
from rigtui.runs.observe import Observed
from rigtui.runs.peaks import Peaks
from rigtui.text import mib


def measured(failure: Failure, plan: Plan, peaks: Peaks, observed: Observed, after: Rig) -> Failure:
    """`failure` with the bytes that were missing, where it is a failed allocation on a card of the plan.

    `peaks` watched the cards until the engine ended, `observed` is what the engine said, `after` a reading with the engine gone.
    """
    device = next((d for d in plan.devices if d.device == failure.device), None)
    if failure.code != "out_of_vram" or device is None or failure.asked_bytes is None:
        return failure
    card = next((gpu for gpu in after.gpus if gpu.uuid is not None and gpu.uuid == device.uuid), None)
    if card is not None and card.total_bytes is not None and failure.asked_bytes > card.total_bytes:
        return _too_much(failure, device, card)
    free = _free_then(device, peaks, observed, card)
    if free is None or free >= failure.asked_bytes:
        # The engine may see less than the driver shows (WSL), or what is free lies in pieces.
        return failure
    missing = failure.asked_bytes - free
    return replace(failure, text=f"{failure.text}: {mib(missing)} too little was free ({device.name})", missing_bytes=missing)


def _free_then(device: PlanDevice, peaks: Peaks, observed: Observed, card: Gpu | None) -> int | None:
    """Bytes free on the card when the allocation failed: the least that was seen, or what is free now less what the engine held then.

    Another program may have taken its memory between the last reading and the failure: then only the second shows it.
    """
    found = []
    if device.uuid in peaks.free_least:
        found.append(peaks.free_least[device.uuid])
    if card is not None and card.free_bytes is not None:
        found.append(max(card.free_bytes - _held(device, peaks, observed), 0))
    return min(found, default=None)


def _held(device: PlanDevice, peaks: Peaks, observed: Observed) -> int:
    """What the engine had of the card at its end: as it was seen, or by its own words and what its runtime took."""
    seen, basis = peaks.result(())
    before, engine_free = peaks.free_before(device.uuid), observed.engine_free.get(device.device)
    runtime = device.floor_bytes if before is None or engine_free is None else max(before - engine_free, 0)
    said = sum(observed.buffers().get(device.device, {}).values()) + runtime
    return max(said, seen.get(device.uuid or "", 0) if basis == "process" else 0)


def _too_much(failure: Failure, device: PlanDevice, card: Gpu) -> Failure:
    """No card of this size could ever give that."""
    size = f"{mib(failure.asked_bytes)}, and {device.name} has {mib(card.total_bytes)} in all"
    missing = (failure.asked_bytes or 0) - (card.free_bytes or 0)
    if failure.stage == "kv":
        return replace(failure, code="context_too_long", text=f"the KV cache of this context needs {size}", missing_bytes=missing)
    return replace(failure, code="no_fit", text=f"it does not fit at all: {failure.text}: it asked for {size}", missing_bytes=missing)

"""Whether what was planned is what happened: memory and speed as observed against the plan, and what spilled into RAM unnoticed.

"No out of memory" is not "it fits": llama.cpp's `--fit` moves layers to RAM when less is free than was planned with, and under WSL the
driver moves memory of the cards to RAM without an error. The sign of the second, as reported for WSL2 and Windows: the card is busy, its
memory bus idles, and tokens come at a tenth of the pace. Where a driver under WSL tells nothing of that, the pace counts together with
memory that was planned on the card and never seen there.
"""

from __future__ import annotations

from statistics import median

from msgspec import Struct

from rigtui.engines.engine import Failure
from rigtui.planning.plan import Plan, PlanDevice
from rigtui.rig.rig import Rig
from rigtui.runs.observe import Observed
from rigtui.runs.state import Measured
from rigtui.text import MIB, mib

SLOW = {"measured": 0.5, "calibrated": 0.5, "estimated": 0.35}
"""Share of the expected speed below which a run is called slow, by what the expectation rests on."""
SPILLED = 0.3
"""Share of it below which a busy card with an idle memory bus has spilled."""
BUSY_PERCENT = 90
BUS_IDLE_PERCENT = 10
READINGS_LEAST = 3
MORE_BYTES = 256 * MIB
MORE_SHARE = 0.05
"""A peak is worth a word when it is above the plan by both."""
RAM_MORE_BYTES = 2048 * MIB


class Load:
    """What the cards and the RAM did meanwhile, from readings."""

    def __init__(self, before: Rig | None) -> None:
        """`before`: a reading from before the engine started."""
        self._ram_before = before.ram_free_bytes if before else None
        self._ram_least: int | None = self._ram_before
        self._busy: dict[str, list[tuple[int, int]]] = {}

    def add(self, rig: Rig) -> None:
        """Take one more reading."""
        if rig.ram_free_bytes is not None:
            self._ram_least = min(self._ram_least or rig.ram_free_bytes, rig.ram_free_bytes)
        for gpu in rig.gpus:
            if gpu.uuid is not None and gpu.utilization is not None and gpu.memory_utilization is not None:
                self._busy.setdefault(gpu.uuid, []).append((gpu.utilization, gpu.memory_utilization))

    def begin(self) -> None:
        """From now on the engine works: how busy the cards were before says nothing."""
        self._busy = {}

    @property
    def ram_growth(self) -> int | None:
        """Bytes of RAM that went into use since before the launch, at most."""
        if self._ram_before is None or self._ram_least is None:
            return None
        return self._ram_before - self._ram_least

    def told(self, uuid: str | None) -> bool:
        """Whether the driver says how busy the card and its memory are."""
        return bool(self._busy.get(uuid or ""))

    def idle_bus(self, uuid: str | None) -> tuple[int, int] | None:
        """Percent busy and percent of memory use of a card that computes and whose memory idles; None for any other."""
        readings = self._busy.get(uuid or "", [])
        if len(readings) < READINGS_LEAST:
            return None
        busy, bus = median(pair[0] for pair in readings), median(pair[1] for pair in readings)
        return (round(busy), round(bus)) if busy >= BUSY_PERCENT and bus <= BUS_IDLE_PERCENT else None


class Verdict(Struct, frozen=True, kw_only=True):
    """What is to be said."""

    notes: tuple[str, ...] = ()
    spill: Failure | None = None


def judge(plan: Plan, measured: Measured, observed: Observed, load: Load, *, wsl: bool) -> Verdict:
    """The plan against what was observed of it."""
    notes = [*_peaks(plan, measured), *_ram(plan, load)]
    spill = _moved_to_ram(plan, observed) or _silent_spill(plan, measured, load, wsl=wsl)
    expected, decode = plan.expected.decode_tok_s, measured.decode_tok_s
    if spill is None and expected and decode and decode < SLOW[plan.expected.basis] * expected:
        unknown = wsl and decode < SPILLED * expected and not any(load.told(device.uuid) for device in plan.devices)
        maybe = "; Windows may have moved memory of a card to RAM, and the driver does not tell how busy the cards are" if unknown else ""
        notes.append(f"slow: {decode:,.1f} tok/s, where {expected:,.0f} were expected ({plan.expected.basis}){maybe}")
    return Verdict(notes=tuple(notes), spill=spill)


def _peaks(plan: Plan, measured: Measured) -> list[str]:
    found = []
    for device in plan.devices:
        peak = measured.peak_bytes.get(device.uuid or device.device)
        if peak is not None and peak - device.used_bytes > max(MORE_BYTES, MORE_SHARE * device.used_bytes):
            whose = " (other programs may have a part in it)" if measured.peak_basis == "card" else ""
            more = f"{mib(peak - device.used_bytes)} more than the {mib(device.used_bytes)} planned{whose}"
            found.append(f"{device.name} was used up to {mib(peak)}: {more}")
    return found


def _ram(plan: Plan, load: Load) -> list[str]:
    planned = plan.host.weights_bytes + plan.host.kv_bytes + plan.host.compute_bytes
    growth = load.ram_growth
    if growth is None or growth < planned + RAM_MORE_BYTES:
        return []
    return [f"{mib(growth)} of RAM went into use meanwhile, {mib(planned)} were planned"]


def _moved_to_ram(plan: Plan, observed: Observed) -> Failure | None:
    """Weights that the engine itself put into RAM though the plan has all of them on the cards."""
    if not plan.devices or plan.host.offloaded_layers:
        return None  # a mapped file is counted from its first to its last layer in RAM: that says nothing
    on_cards = {device.device for device in plan.devices}
    in_ram = sum(kinds.get("weights", 0) for device, kinds in observed.buffers().items() if device not in on_cards)
    unplanned = in_ram - plan.host.weights_bytes
    if unplanned <= max(MORE_BYTES, MORE_SHARE * plan.model.weights_bytes):
        return None
    text = f"{mib(unplanned)} of the weights spilled into RAM: less was free on the cards than planned with, so the engine moved layers"
    return Failure(code="spill", text=text, missing_bytes=unplanned)


def _silent_spill(plan: Plan, measured: Measured, load: Load, *, wsl: bool) -> Failure | None:
    """Memory of the cards that the driver moved to RAM without a word."""
    expected, decode = plan.expected.decode_tok_s, measured.decode_tok_s
    if not expected or not decode or decode >= SPILLED * expected:
        return None
    who = "Windows moves memory of the card to RAM without an error" if wsl else "a part of what it computes with lies in RAM"
    for device in plan.devices:
        idle, missing = load.idle_bus(device.uuid), _unseen(device, measured)
        if idle is not None:
            sign = f"it is {idle[0]} % busy while its memory is used {idle[1]} % of the time"
        elif wsl and missing is not None and not load.told(device.uuid):
            sign = f"{mib(missing)} that were planned on it were never seen there"
        else:
            continue
        text = f"{device.name} spilled into RAM: {sign}, and it gives {decode:,.1f} tok/s where {expected:,.0f} are expected; {who}"
        return Failure(code="spill", text=text, device=device.device, missing_bytes=missing)
    return None


def _unseen(device: PlanDevice, measured: Measured) -> int | None:
    """Bytes that were planned on the card and never seen there."""
    peak = measured.peak_bytes.get(device.uuid or device.device)
    missing = device.used_bytes - peak if peak is not None else 0
    return missing if missing > MORE_BYTES else None

"""From a reading of the rig and a plan to the pieces of every card's bar: pure, so that what is drawn can be tested as numbers.

A bar reads from left to right: what is taken now (reserved, desktop, others, engines, unknown), what the plan adds
(weights, KV, compute, floor), the headroom it leaves on purpose, and what stays free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from rigtui.text import MIB, clean

if TYPE_CHECKING:
    from rigtui.planning.plan import Plan, PlanDevice
    from rigtui.rig.rig import Gpu, Rig

NOW = ("reserved", "desktop", "others", "engines", "unknown", "used")
PLANNED = ("weights", "kv", "compute", "floor")
RAM = "RAM"
LABELS = {"kv": "KV"}
"""Where the word shown differs from the kind's name."""


def label(kind: str) -> str:
    """The word for a kind of use, as the plan spells it."""
    return LABELS.get(kind, kind)


class Piece(Struct, frozen=True):
    """A run of bytes of one kind on one card."""

    kind: str
    bytes: int
    holders: tuple[tuple[str, int], ...] = ()
    """Who holds it, by name, and how many bytes each; the largest first. Empty where nobody is told."""


class BarRow(Struct, frozen=True, kw_only=True):
    """Everything one line of the picture shows: one card, or the RAM."""

    name: str
    """`0 RTX 4090`, `RAM`."""
    total_bytes: int = 0
    pieces: tuple[Piece, ...] = ()
    """In drawing order; headroom and free included."""
    before_bytes: int | None = None
    after_bytes: int | None = None
    """Free before and after the plan; `after` is None where no plan touches this card, negative where it does not fit."""
    error: str | None = None
    simulated: bool = False
    temperature_c: int | None = None
    utilization: int | None = None
    history: tuple[float, ...] = ()
    """Share of the total in use, 0..1, oldest first."""
    placed: str = ""
    """What the plan puts here, in a few words: `layers 0-31`, `layers 32-47 + head`."""


def short_name(name: str) -> str:
    """A card's name without the maker's words: `NVIDIA GeForce RTX 4090` -> `RTX 4090`."""
    words = clean(name)
    for noise in ("NVIDIA", "GeForce", "Laptop GPU", "Graphics Device"):
        words = words.replace(noise, "")
    return " ".join(words.split()) or clean(name)


def match_devices(rig: Rig, plan: Plan | None) -> dict[int, PlanDevice]:
    """Which card (position in `rig.gpus`) each device of the plan is: by UUID, else by name and free memory.

    A rig file has no UUIDs; two cards of one name are told apart by what they had free when the plan was made.
    """
    found: dict[int, PlanDevice] = {}
    if plan is None:
        return found
    for device in plan.devices:
        left = [(at, gpu) for at, gpu in enumerate(rig.gpus) if at not in found and gpu.error is None]
        same = [(at, gpu) for at, gpu in left if device.uuid and gpu.uuid == device.uuid]
        same = same or [(at, gpu) for at, gpu in left if gpu.name == device.name and not (gpu.uuid and device.uuid)]
        if same:
            at, _ = min(same, key=lambda item: abs((item[1].free_bytes or 0) - device.free_before_bytes))
            found[at] = device
    return found


def layers_text(device: PlanDevice) -> str:
    """The layers on a device in a few words."""
    if device.layers == 0:
        return "head" if device.output else "no layers"
    last = device.first_layer + device.layers - 1
    span = f"layer {last}" if device.layers == 1 else f"layers {device.first_layer}–{last}"
    return f"{span} + head" if device.output else span


def rows(rig: Rig, plan: Plan | None, history: dict[str, tuple[float, ...]] | None = None) -> tuple[BarRow, ...]:
    """One row per card and one for the RAM, with the plan laid over the reading where there is one."""
    history = history or {}
    devices = match_devices(rig, plan)
    cards = tuple(card_row(gpu, devices.get(at), rig.simulated, history.get(card_key(gpu), ())) for at, gpu in enumerate(rig.gpus))
    ram = ram_row(rig, plan, history.get(RAM, ()))
    return (*cards, ram) if ram else cards


def card_key(gpu: Gpu) -> str:
    """What a card's history is kept under: its identity, or its place where it has none."""
    return gpu.uuid or gpu.pci or f"index {gpu.index}"


def shares_in_use(rig: Rig) -> dict[str, float]:
    """How much of every memory is in use, 0..1, by what its history is kept under; what is unknown is left out."""
    sizes = {card_key(gpu): (gpu.total_bytes, gpu.free_bytes) for gpu in rig.usable_gpus}
    sizes[RAM] = (rig.ram_total_bytes, rig.ram_free_bytes)
    return {key: round(1 - free / total, 3) for key, (total, free) in sizes.items() if total and free is not None}


def card_row(gpu: Gpu, device: PlanDevice | None, simulated: bool, history: tuple[float, ...] = ()) -> BarRow:
    """The row of one card; a card that cannot be read is a row with its error."""
    name = f"{gpu.index} {short_name(gpu.name)}"
    if gpu.error is not None or gpu.total_bytes is None or gpu.free_bytes is None:
        return BarRow(name=name, error=clean(gpu.error or "its memory cannot be read"))
    taken = {
        "reserved": gpu.reserved_bytes,
        "desktop": gpu.desktop_bytes,
        "others": gpu.others_bytes,
        "engines": gpu.engines_bytes,
        "unknown": gpu.unknown_bytes,
    }
    holders = holders_of(gpu)
    pieces = [Piece(kind, size, holders.get(kind, ())) for kind, size in taken.items() if size]
    # What the kinds do not explain is still taken: shown as unknown, so that the picture always adds up to the total.
    rest = gpu.total_bytes - gpu.free_bytes - sum(piece.bytes for piece in pieces)
    if rest > 0:
        known = [piece for piece in pieces if piece.kind != "unknown"]
        pieces = [*known, Piece("unknown", rest + (gpu.unknown_bytes or 0))]
    planned, after = _planned(device, gpu.free_bytes)
    return BarRow(
        name=name,
        total_bytes=gpu.total_bytes,
        pieces=(*pieces, *planned),
        before_bytes=gpu.free_bytes,
        after_bytes=after,
        simulated=simulated,
        temperature_c=gpu.temperature_c,
        utilization=gpu.utilization,
        history=history,
        placed=layers_text(device) if device else "",
    )


def holders_of(gpu: Gpu) -> dict[str, tuple[tuple[str, int], ...]]:
    """The processes on a card by kind of use, those of one name taken together, the largest first."""
    found: dict[str, dict[str, int]] = {}
    for process in gpu.processes or ():
        if process.bytes:
            kind = "engines" if process.engine else "desktop" if process.kind == "graphics" else "others"
            names = found.setdefault(kind, {})
            name = clean(process.name)
            names[name] = names.get(name, 0) + process.bytes
    return {kind: tuple(sorted(names.items(), key=lambda item: (-item[1], item[0]))) for kind, names in found.items()}


def _planned(device: PlanDevice | None, free: int) -> tuple[list[Piece], int | None]:
    if device is None:
        return [Piece("free", free)], None
    sizes = {
        "weights": device.weights_bytes,
        "kv": device.kv_bytes,
        "compute": device.compute_bytes,
        "floor": device.floor_bytes,
    }
    pieces = [Piece(kind, size) for kind, size in sizes.items() if size]
    after = free - device.used_bytes
    headroom = max(0, min(device.headroom_bytes, after))
    pieces += [Piece(kind, size) for kind, size in (("headroom", headroom), ("free", max(0, after - headroom))) if size]
    return pieces, after


def ram_row(rig: Rig, plan: Plan | None, history: tuple[float, ...] = ()) -> BarRow | None:
    """The row of the system's memory, or None where it is unknown."""
    if not rig.ram_total_bytes or rig.ram_free_bytes is None:
        return None
    host = plan.host if plan else None
    sizes = {"weights": host.weights_bytes, "kv": host.kv_bytes, "compute": host.compute_bytes} if host else {}
    pieces = [Piece("used", max(0, rig.ram_total_bytes - rig.ram_free_bytes))]
    pieces += [Piece(kind, size) for kind, size in sizes.items() if size]
    added = sum(sizes.values())
    after = rig.ram_free_bytes - added
    if after > 0:
        pieces.append(Piece("free", after))
    offloaded = host.offloaded_layers if host else 0
    return BarRow(
        name=RAM,
        total_bytes=rig.ram_total_bytes,
        pieces=tuple(pieces),
        before_bytes=rig.ram_free_bytes,
        after_bytes=after if added >= MIB else None,
        simulated=rig.simulated,
        history=history,
        placed=f"{offloaded} layer{'s' if offloaded != 1 else ''} in RAM" if offloaded else "",
    )


def cells(pieces: Sequence[Piece], total: int, width: int) -> list[tuple[str, int]]:
    """How many of `width` cells each piece gets, in order; together exactly `width`.

    Boundaries are rounded from the running sum, so a piece never drifts by more than half a cell; what would vanish
    but matters (1 % of the card, or 256 MiB) keeps one cell, taken from the widest. Pieces beyond the total are cut off, the last cell
    then says `short`.
    """
    if width <= 0 or total <= 0:
        return []
    edges, running = [0], 0
    for piece in pieces:
        running += max(0, piece.bytes)
        edges.append(min(width, (running * width * 2 + total) // (2 * total)))
    counts = [edges[at + 1] - edges[at] for at in range(len(pieces))]
    least = min(total // 100, 256 * MIB)
    for at, piece in enumerate(pieces):
        if counts[at] == 0 and piece.bytes >= least and max(counts) > 1:
            counts[counts.index(max(counts))] -= 1
            counts[at] = 1
    result = [(piece.kind, count) for piece, count in zip(pieces, counts, strict=True) if count]
    missing = width - sum(count for _, count in result)
    if missing > 0:
        result.append(("free", missing))
    if running > total + MIB and result:
        kind, count = result[-1]
        result[-1:] = [(kind, count - 1), ("short", 1)] if count > 1 else [("short", 1)]
    return result

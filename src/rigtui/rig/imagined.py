"""Rigs one does not have: this one with a card more or less, to plan for. Pure but for the table of cards."""

from __future__ import annotations

import re

from msgspec.structs import replace

from rigtui.errors import UsageError
from rigtui.rig.cards import Card, complete, names, sold, spelled
from rigtui.rig.rig import Gpu, Rig
from rigtui.rig.rigfile import MAX_GPUS
from rigtui.text import GIB, MIB, clean, nearest

RESERVED_BYTES = 400 * MIB
"""What drivers keep for themselves on a card of 12 to 24 GiB: 378 to 464 MiB."""
_SIZED = re.compile(r"(?P<name>.*?)[\s,]+(?P<gib>\d{1,3}(?:\.\d)?)\s*(?:G|GB|GiB)?", re.IGNORECASE)


def imagined(rig: Rig) -> Rig:
    """`rig` as a rig file would say it: what engines hold counts as free, and no card has an identity."""
    if rig.simulated:
        return rig
    cards = [gpu for gpu in rig.gpus if gpu.error is None]
    return replace(rig, gpus=tuple(_renumbered([_without_engines(gpu) for gpu in cards])), simulated=True, problem=None)


def _without_engines(gpu: Gpu) -> Gpu:
    free = None if gpu.free_bytes is None else gpu.free_bytes + (gpu.engines_bytes or 0)
    return replace(gpu, uuid=None, pci=None, processes=None, free_bytes=free, engines_bytes=0, temperature_c=None, utilization=None)


def _renumbered(cards: list[Gpu]) -> list[Gpu]:
    return [replace(gpu, index=index) for index, gpu in enumerate(cards)]


def with_card(rig: Rig, text: str) -> Rig:
    """`rig` with one more card, empty but for the driver's share: `RTX 3060 12` or `RTX 4090`.

    Raises UsageError when no card has this name, or several sizes were sold under it and none is named.
    """
    card = _card(text)
    base = imagined(rig)
    if len(base.gpus) >= MAX_GPUS:
        raise UsageError(f"more than {MAX_GPUS} cards cannot be planned for")
    gpus = _renumbered([*base.gpus, card])
    return replace(base, name=_name(base, f"+ {card.name}"), gpus=tuple(gpus))


def without_card(rig: Rig, index: int) -> Rig:
    """`rig` without the card of this index."""
    base = imagined(rig)
    gone = next((gpu for gpu in rig.gpus if gpu.index == index), None)
    if gone is None or gone.error is not None:
        raise UsageError(f"there is no GPU {index} that can be taken out")
    # Cards that cannot be read are not in the imagined rig: places shift.
    place = [gpu.index for gpu in rig.gpus if gpu.error is None].index(index)
    kept = [gpu for at, gpu in enumerate(base.gpus) if at != place]
    return replace(base, name=_name(base, f"− {clean(gone.name)}"), gpus=tuple(_renumbered(kept)))


def _name(rig: Rig, change: str) -> str:
    return f"{rig.name} {change.replace('NVIDIA ', '').replace('GeForce ', '')}"[:200]


def _spelled(name: str) -> str:
    """As the table writes it, with the RTX that people leave out: `3060 ti` is the GeForce RTX 3060 Ti."""
    return spelled(name if sold(name) else f"RTX {name}")


def _sold(name: str) -> tuple[Card, ...]:
    return sold(_spelled(name))


def _card(text: str) -> Gpu:
    wanted, size = clean(text).strip(), None
    found = _sold(wanted)
    if not found and (match := _SIZED.fullmatch(wanted)):
        wanted, size = match["name"].strip(), float(match["gib"])
        found = _sold(wanted)
    if not found:
        close = nearest(wanted.lower(), {name.lower(): name for name in names()})
        hint = f"; did you mean {next(name for name in names() if name.lower() == close)}?" if close else ""
        raise UsageError(f"rigtui knows no card called {wanted or '(nothing)'}{hint}")
    wanted = _spelled(wanted)
    sizes = sorted({card.memory_bytes for card in found if card.memory_bytes})
    fitting = [memory for memory in sizes if size is None or abs(memory - size * GIB) < GIB // 2]
    if len(fitting) != 1:
        known = " and ".join(f"{memory // GIB}" for memory in sizes)
        ways = " or ".join(f"{wanted} {memory // GIB}" for memory in sizes)
        raise UsageError(f"the {wanted} was sold with {known} GiB: write the size behind the name, {ways}")
    gpu = Gpu(
        index=0,
        name=f"NVIDIA {wanted}",
        total_bytes=fitting[0],
        free_bytes=fitting[0] - RESERVED_BYTES,
        reserved_bytes=RESERVED_BYTES,
        desktop_bytes=0,
        others_bytes=0,
        engines_bytes=0,
        unknown_bytes=0,
        display=False,
    )
    return complete(gpu)

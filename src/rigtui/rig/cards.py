"""What a card's name tells: memory, bandwidth and compute capability, from `cards.toml`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from rigtui.decoding import known
from rigtui.errors import RigtuiError
from rigtui.rig.rig import Gpu
from rigtui.text import GIB

_TABLE = Path(__file__).with_name("cards.toml")
# A driver shows up to 7 % less than was sold (ECC on old cards, firmware), and a little more never.
_LEAST_SHARE = 0.9
_MOST_SHARE = 1.02


class Card(Struct, frozen=True):
    """A card as sold. None where its name does not tell."""

    memory_bytes: int | None
    bandwidth_gb_s: float | None
    compute_capability: str | None


def look_up(name: str, total_bytes: int | None = None) -> Card | None:
    """The card called `name`; None when the table does not know it.

    Cards of different memory were sold under one name: `total_bytes` picks the one meant. Without it, or when it fits none
    of them (a modified card), only what is the same for all of them is told.
    """
    sold = _table().get(_key(name))
    if not sold:
        return None
    if total_bytes is not None:
        matching = [c for c in sold if c.memory_bytes and _LEAST_SHARE <= total_bytes / c.memory_bytes <= _MOST_SHARE]
        if len(matching) == 1:
            return matching[0]
    memory, bandwidth, capability = ({getattr(card, field) for card in sold} for field in Card.__struct_fields__)
    return Card(
        memory_bytes=memory.pop() if len(memory) == 1 and total_bytes is None else None,
        bandwidth_gb_s=bandwidth.pop() if len(bandwidth) == 1 and total_bytes is None else None,
        compute_capability=capability.pop() if len(capability) == 1 else None,
    )


def sold(name: str) -> tuple[Card, ...]:
    """Every card that was sold as `name`; none when the table does not know it."""
    return _table().get(_key(name), ())


def names() -> tuple[str, ...]:
    """The names in the table, as they are written there."""
    return tuple(dict.fromkeys(name for name, *_ in _rows()))


def spelled(name: str) -> str:
    """A name that the table knows, as it is written there."""
    return next((known for known in names() if _key(known) == _key(name)), name)


def complete(gpu: Gpu) -> Gpu:
    """`gpu` with the bandwidth and compute capability that its name tells, where they are not known already."""
    if gpu.bandwidth_gb_s is not None and gpu.compute_capability is not None:
        return gpu
    card = look_up(gpu.name, gpu.total_bytes)
    if card is None:
        return gpu
    return replace(
        gpu,
        bandwidth_gb_s=card.bandwidth_gb_s if gpu.bandwidth_gb_s is None else gpu.bandwidth_gb_s,
        compute_capability=card.compute_capability if gpu.compute_capability is None else gpu.compute_capability,
    )


def _key(name: str) -> str:
    words = name.casefold().split()
    return " ".join(word for word in words if word not in ("nvidia", "geforce"))


@cache
def _table() -> dict[str, tuple[Card, ...]]:
    table: dict[str, tuple[Card, ...]] = {}
    for name, gigabytes, bandwidth, capability in _rows():
        card = Card(memory_bytes=int(gigabytes * GIB), bandwidth_gb_s=bandwidth or None, compute_capability=capability)
        table[_key(name)] = (*table.get(_key(name), ()), card)
    return table


@cache
def _rows() -> tuple[tuple[str, float, float, str], ...]:
    import tomllib

    class Table(Struct):
        cards: tuple[tuple[str, float, float, str], ...]

    try:
        return msgspec.convert(tomllib.loads(_TABLE.read_text(encoding="utf-8")), known(Table)).cards
    except (OSError, ValueError) as error:
        raise RigtuiError(f"rigtui's own table of cards cannot be read ({error}): install rigtui again") from error

"""Which device holds which block of a model. Pure.

Sources in llama.cpp 0.5.0-dev: llama-model.cpp:1556-1614 (split), common/fit.cpp (partial layers).
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Sequence

from msgspec import Struct

from rigtui.engines.llamacpp.weights import Part

HOST = -1


class Placement(Struct, frozen=True):
    """Where every block lives."""

    home: tuple[int, ...]
    """Per block (MTP blocks too), and last for the output head: device index or HOST."""
    moved: dict[int, tuple[Part, int]] = {}
    """Blocks of which a part lies elsewhere: the part that stays, and where the rest is."""


def _float32(value: float) -> float:
    result: float = struct.unpack("f", struct.pack("f", value))[0]
    return result


def split_home(blocks: int, ngl: int, weights: Sequence[float]) -> tuple[int, ...]:
    """Device of every block and of the head: the last `ngl` of them, divided in proportion to `weights`, in llama.cpp's 32-bit arithmetic.

    `ngl` counts the head as one. The first blocks stay in RAM when it is less than all.
    """
    slots = blocks + 1
    ngl = min(ngl, slots)
    if ngl == 0 or not weights:
        return (HOST,) * slots
    total = 0.0
    edges = []
    for weight in weights:
        total = _float32(total + _float32(weight))
        edges.append(total)
    edges = [_float32(edge / total) if total else 1.0 for edge in edges]
    home = (HOST,) * (slots - ngl)
    start = 0
    for device, edge in enumerate(edges[:-1]):
        end = bisect_left(range(ngl), edge, lo=start, key=lambda slot: _float32(slot / ngl))
        home += (device,) * (end - start)
        start = end
    return home + (len(weights) - 1,) * (ngl - start)

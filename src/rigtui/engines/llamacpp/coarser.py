"""Is a coarser KV cache worth more than a finer one that serves fully on the same cards? Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rigtui.engines.llamacpp.activity import TYPICAL_CONTEXT
from rigtui.engines.llamacpp.kv import BLOCKS
from rigtui.engines.llamacpp.search import Candidate, Search
from rigtui.engines.llamacpp.weights import Part
from rigtui.planning.speed import GPU_EFFICIENCY
from rigtui.planning.wants import KV_QUALITY

CLEARLY = 1.1
"""Expected speed, its quality counted, from which it is: a cache that serves stays fine for less."""


def may_pay(search: Search, candidate: Candidate, coarser: tuple[str, str]) -> bool:
    """Whether the same cards with the cache `coarser` may be clearly faster, told by a bound that costs next to nothing.

    Less of the cache is read, and at most as many bytes as it spares move from the slowest card to the fastest one.
    """
    tok_s = search.rated(candidate).decode_tok_s
    speeds = [card.bandwidth_gb_s * 1e9 * GPU_EFFICIENCY for card in candidate.gpus if card.bandwidth_gb_s]
    if not tok_s or len(speeds) < len(candidate.gpus):
        return False
    finer, uses = candidate.settings.kv_type, candidate.fitted.footprint.devices
    spared = [use.kv * (1 - _width(coarser) / _width(finer)) for use in uses]
    filled = min(1.0, TYPICAL_CONTEXT / search.per_slot(candidate))
    seconds = sum(size * filled / speed for size, speed in zip(spared, speeds, strict=True))
    elsewhere = sum(use.total for use, speed in zip(uses, speeds, strict=True) if speed < max(speeds))
    seconds += min(sum(spared), elsewhere) * _read(search) * (1 / min(speeds) - 1 / max(speeds))
    return _quality(coarser) / _quality(finer) > CLEARLY * (1 - seconds * tok_s)


def paying(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The rated candidates without those of a coarser cache that is not clearly faster than a finer one that serves on the same cards."""
    best: dict[tuple[frozenset[int], tuple[str, str]], float] = {}
    for one in candidates:
        if one.status == "fits":
            best[_key(one)] = max(best.get(_key(one), 0.0), _value(one))
    return [
        one
        for one in candidates
        if one.status != "fits"
        or all(
            best[_key(one)] >= value * CLEARLY
            for (cards, kv), value in best.items()
            if cards == _key(one)[0] and _width(kv) > _width(one.settings.kv_type)
        )
    ]


def _key(candidate: Candidate) -> tuple[frozenset[int], tuple[str, str]]:
    return frozenset(card.index for card in candidate.gpus), candidate.settings.kv_type


def _value(candidate: Candidate) -> float:
    return (candidate.decode_tok_s or 0.0) * _quality(candidate.settings.kv_type)


def _quality(kinds: tuple[str, str]) -> float:
    return min(map(KV_QUALITY.__getitem__, kinds))


def _width(kinds: tuple[str, str]) -> float:
    """Bytes per element of K and of V together."""
    return sum(size / elements for elements, size in map(BLOCKS.__getitem__, kinds))


def _read(search: Search) -> float:
    """Of the bytes on cards the share that a token reads."""
    experts, layers = search.model.experts, search.table.layers
    if experts is None or not experts.count:
        return 1.0
    sparse = sum(layer.moved[Part.EXPERTS].gpu for layer in layers)
    return 1 - sparse * (1 - experts.used / experts.count) / max(search.table.gpu_bytes, 1)

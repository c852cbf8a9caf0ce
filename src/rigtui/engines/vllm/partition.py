"""Which layers each pipeline stage gets, so that the KV cache becomes as large as it can be. Pure.

All stages keep as many KV blocks as the poorest of them: the best partition is the one whose poorest stage is richest. Stages hold runs of
layers, and a longer run never leaves a stage more blocks; so the most blocks are found by halving, and for a number of blocks it is enough
that every stage in turn takes as many layers as it can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate

from rigtui.engines.vllm.footprint import UNBOUNDED, Demand

Blocks = Callable[[int, int, int], int]
"""KV blocks of a stage, by its budget, its first layer and how many it has."""


def even(layers: int, stages: int) -> tuple[int, ...]:
    """vLLM's own partition: what is left over goes to the stages before the last (vLLM 0.33, distributed/utils.py:214)."""
    share, rest = divmod(layers, stages)
    found = [share] * stages
    for behind in range(2, rest + 2):
        found[-behind] += 1
    return tuple(found)


def firsts(partition: Sequence[int]) -> tuple[int, ...]:
    """The first layer of every stage."""
    return tuple(accumulate(partition, initial=0))[:-1]


def least_blocks(demand: Demand, budgets: Sequence[int], partition: Sequence[int]) -> int:
    """KV blocks all stages keep; negative: by so many bytes the poorest stage misses its weights and activations."""
    return _least(demand.blocks, budgets, partition)


def _least(blocks: Blocks, budgets: Sequence[int], partition: Sequence[int]) -> int:
    return min(blocks(budget, first, count) for budget, first, count in zip(budgets, firsts(partition), partition, strict=True))


def best(demand: Demand, budgets: Sequence[int], *, above: int = -1) -> tuple[int, ...] | None:
    """The partition with the most KV blocks and at least one layer a stage.

    None where weights do not fit, stages outnumber layers, or no partition keeps more than `above` blocks.
    """
    if len(budgets) == 1:
        # All layers on one stage: there is no other partition.
        whole = (demand.model.layers,)
        return whole if demand.model.layers and least_blocks(demand, budgets, whole) > above else None
    blocks, layers = cache(demand.blocks), demand.model.layers  # every number that is tried asks about much the same stages
    found = _filled(blocks, layers, budgets, above + 1) if len(budgets) <= layers else None
    if found is None:
        return None
    low = _least(blocks, budgets, found)
    high: int | None = None
    while high is None or high - low > 1:
        # Until there is an upper bound, twice as many are tried; a stage without any cache bounds nothing.
        middle = 2 * low + 1 if high is None else (low + high) // 2
        filled = _filled(blocks, layers, budgets, middle)
        if filled is None:
            high = middle
        else:
            found = filled
            low = max(middle, _least(blocks, budgets, filled))
            high = low + 1 if low >= UNBOUNDED else high
    return found


def _filled(blocks: Blocks, layers: int, budgets: Sequence[int], least: int) -> tuple[int, ...] | None:
    """A partition with at least `least` KV blocks on every stage, or None."""
    stages = len(budgets)
    counts: list[int] = []
    first = 0
    for index, budget in enumerate(budgets):
        most = layers - first - (stages - index - 1)
        if index == stages - 1:
            low = most if blocks(budget, first, most) >= least else 0
        else:
            low, high = 0, most + 1
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if blocks(budget, first, middle) >= least else (low, middle)
        if low < 1:
            return None
        counts.append(low)
        first += low
    return tuple(counts)

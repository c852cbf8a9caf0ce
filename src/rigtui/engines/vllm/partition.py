"""Which layers each pipeline stage gets, so that the KV cache becomes as large as it can be. Pure.

All stages keep as many KV blocks as the poorest of them: the best partition is the one whose poorest stage is richest. Stages hold runs of
layers, and a longer run never leaves a stage more blocks; so the most blocks are found by halving, and for a number of blocks it is enough
that every stage in turn takes as many layers as it can.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from rigtui.engines.vllm.footprint import UNBOUNDED, Demand


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
    return min(demand.blocks(budget, first, count) for budget, first, count in zip(budgets, firsts(partition), partition, strict=True))


def best(demand: Demand, budgets: Sequence[int], *, above: int = -1) -> tuple[int, ...] | None:
    """The partition with the most KV blocks and at least one layer a stage.

    None where weights do not fit, stages outnumber layers, or no partition keeps more than `above` blocks.
    """
    if len(budgets) == 1:
        # All layers on one stage: there is no other partition.
        whole = (demand.model.layers,)
        return whole if demand.model.layers and least_blocks(demand, budgets, whole) > above else None
    found = _filled(demand, budgets, above + 1) if len(budgets) <= demand.model.layers else None
    if found is None:
        return None
    low = least_blocks(demand, budgets, found)
    high: int | None = None
    while high is None or high - low > 1:
        # Until there is an upper bound, twice as many are tried; a stage without any cache bounds nothing.
        middle = 2 * low + 1 if high is None else (low + high) // 2
        filled = _filled(demand, budgets, middle)
        if filled is None:
            high = middle
        else:
            found = filled
            low = max(middle, least_blocks(demand, budgets, filled))
            high = low + 1 if low >= UNBOUNDED else high
    return found


def _filled(demand: Demand, budgets: Sequence[int], blocks: int) -> tuple[int, ...] | None:
    """A partition with at least `blocks` KV blocks on every stage, or None."""
    layers, stages = demand.model.layers, len(budgets)
    counts: list[int] = []
    first = 0
    for index, budget in enumerate(budgets):
        most = layers - first - (stages - index - 1)
        if index == stages - 1:
            low = most if demand.blocks(budget, first, most) >= blocks else 0
        else:
            low, high = 0, most + 1
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if demand.blocks(budget, first, middle) >= blocks else (low, middle)
        if low < 1:
            return None
        counts.append(low)
        first += low
    return tuple(counts)

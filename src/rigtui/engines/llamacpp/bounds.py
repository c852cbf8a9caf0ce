"""What cannot be, told without a judgement: lower bounds of what a model takes when all of it lies on GPUs. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from operator import add

from rigtui.engines.llamacpp.footprint import Needs


def can_hold(need: Needs, rooms: Sequence[int], least: int, *, divided: bool) -> bool:
    """Whether GPUs with so much room (bytes, in engine order) are not out of the question.

    `least`: below this no compute buffer of a GPU stays that holds whole layers (`Computation.least`). `divided`: parts of a layer may lie
    on different GPUs, as `--fit` lays experts.
    """
    if not divided:
        return _packed(need, rooms, least)
    # One GPU may hold the head alone, another only the last block.
    spare = least * min(len(rooms) - 1, 2)
    return need.table.gpu_bytes + sum(need.kv) <= sum(max(room - least, 0) for room in rooms) + spare


def _packed(need: Needs, rooms: Sequence[int], least: int) -> bool:
    """Whether whole layers, in their order, can lie in the rooms: as many as go into the last one, then into the one before."""
    upto = list(map(add, need.table.upto, accumulate(need.kv, initial=0)))
    count = left = len(need.kv)
    head, shared = need.table.output.gpu, need.table.per_device
    for room in reversed(rooms):
        if room < head:
            continue
        spare, head = room - head - shared, 0
        before = left
        if spare >= least:
            left = min(left, bisect_left(upto, upto[before] - (spare - least)))
        if before == count == left and count and upto[count] - upto[count - 1] <= spare:
            left -= 1  # the last block alone, which needs less
    return not left and not head

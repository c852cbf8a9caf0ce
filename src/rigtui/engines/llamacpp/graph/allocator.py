"""What a sequence of tensors needs of one device's memory when each takes the smallest hole that holds it.

llama.cpp 0.5.0-dev (0c1e57098), ggml/src/ggml-alloc.c: a new tensor goes into the smallest free block that is large enough, the later of
equals, and only then to the open end; a tensor is freed after its last use, and the result of some operations takes the place of a source.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from rigtui.engines.llamacpp.graph.tensors import IN_PLACE, Bytes, Tensor


class Tape:
    """When the tensors on one device are taken and freed; for any number of cells."""

    def __init__(self, alignment: int) -> None:
        self.alignment = alignment
        self.sizes: list[Bytes] = []
        self.steps: list[int] = []
        """The number of a tensor that is taken, or its complement when it is freed."""
        self.known: dict[tuple[int, int], int] = {}

    def peak(self, full: int, window: int) -> int:
        """Bytes needed with so many cells of either kind of cache."""
        if (full, window) not in self.known:
            self.known[full, window] = _peak(self._sizes(full, window), self.steps)
        return self.known[full, window]

    def alive(self, full: int, window: int) -> int:
        """The most bytes that are needed at once: fewer than `peak` by what lies idle in holes."""
        sizes = self._sizes(full, window)
        return max(accumulate(sizes[step] if step >= 0 else -sizes[~step] for step in self.steps), default=0)

    def _sizes(self, full: int, window: int) -> list[int]:
        unit = self.alignment
        return [-(-(fixed + per_full * full + per_window * window) // unit) * unit for fixed, per_full, per_window in self.sizes]


def _peak(sizes: Sequence[int], steps: Sequence[int]) -> int:
    offsets = [0] * len(sizes)
    holes: list[list[int]] = []
    """Free blocks before the open end as [offset, size], by offset."""
    end = peak = 0
    for number in steps:
        size = sizes[number if number >= 0 else ~number]
        if not size:
            continue
        if number < 0:
            end = _free(holes, offsets[~number], size, end)
            continue
        best, smallest = -1, 0
        for index, hole in enumerate(holes):
            if hole[1] >= size and (best < 0 or hole[1] <= smallest):
                best, smallest = index, hole[1]
        if best < 0:
            offsets[number] = end
            end += size
            peak = max(peak, end)
            continue
        hole = holes[best]
        offsets[number] = hole[0]
        hole[0] += size
        hole[1] -= size
        if not hole[1]:
            del holes[best]
    return peak


def _free(holes: list[list[int]], offset: int, size: int, end: int) -> int:
    """Give a block back, joined with its neighbours; returns where the open end begins."""
    index = 0
    while index < len(holes) and holes[index][0] < offset:
        index += 1
    if index and sum(holes[index - 1]) == offset:
        index -= 1
        holes[index][1] += size
    else:
        holes.insert(index, [offset, size])
    block = holes[index]
    if index + 1 < len(holes) and sum(block) == holes[index + 1][0]:
        block[1] += holes.pop(index + 1)[1]
    if sum(block) == end:
        del holes[index]
        return block[0]
    return end


def record(nodes: Sequence[Tensor], leafs: Sequence[Tensor], alignments: Sequence[int]) -> list[Tape]:
    """Follow the lifetimes of a scheduled graph: inputs first, then every node; its sources go where this was their last use."""
    recorded = [Tape(alignment) for alignment in alignments]
    for leaf in leafs:
        _take(leaf, recorded)
    for node in nodes:
        root = node.root
        if root is not None and node.op != "after":
            root.views += 1
        for source in node.sources:
            source.children += 1
    for node in nodes:
        if node.root is None:
            _take(node, recorded)
        for source in node.sources:
            source.children = left = source.children - 1
            if not left and not source.views and (source.alive or source.root is not None):
                _release(source, recorded)
    return recorded


def _take(tensor: Tensor, recorded: list[Tape]) -> None:
    if tensor.alive or tensor.external or tensor.root is not None:
        return
    tensor.alive = True
    if tensor.op in IN_PLACE and _takes_over(tensor):
        return
    assert tensor.device is not None
    tape = recorded[tensor.device]
    tensor.place, tensor.number = tensor.device, len(tape.sizes)
    tape.sizes.append(tensor.bytes)
    tape.steps.append(tensor.number)


def _takes_over(tensor: Tensor) -> bool:
    """The place of the first source of the same shape that nothing else needs, whatever device it is on; never a view's."""
    for source in tensor.sources:
        if source.children != 1 or source.views or not source.alive or source.root is not None or source.output:
            continue
        if source.ne == tensor.ne and source.item == tensor.item and source.packed:
            source.alive = False
            tensor.place, tensor.number = source.place, source.number
            return True
    return False


def _release(source: Tensor, recorded: list[Tape]) -> None:
    """Free what nothing needs any more; for a view that is done, what it shows."""
    owner = source
    if source.root is not None:
        owner = source.root
        owner.views -= 1
        if owner.views or owner.children:
            return
    if owner.alive and not owner.output:
        owner.alive = False
        recorded[owner.place].steps.append(~owner.number)

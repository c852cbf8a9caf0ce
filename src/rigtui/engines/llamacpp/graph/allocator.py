"""What a sequence of tensors needs of one device's memory when each takes the smallest hole that holds it.

llama.cpp 0.5.0-dev (0c1e57098), ggml/src/ggml-alloc.c: a new tensor goes into the smallest free block that is large enough, the later of
equals, and only then to the open end; a tensor is freed after its last use, and the result of some operations takes the place of a source.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from msgspec import Struct

from rigtui.engines.llamacpp.graph.pieces import Joined
from rigtui.engines.llamacpp.graph.tensors import Bytes


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


class Part(Struct, frozen=True):
    """What one device computes without a break."""

    inputs: list[tuple[int, int]]
    """What it needs from another device, and its copy."""
    nodes: list[int]


def record(graph: Joined, parts: Sequence[Part], leafs: Sequence[int], alignments: Sequence[int]) -> list[Tape]:
    """Follow the lifetimes of a scheduled graph: inputs first, then every node; its sources go where this was their last use."""
    lives = _Lives(graph, alignments)
    for leaf in leafs:
        lives.take(leaf)
    for part in parts:
        for source, _ in part.inputs:
            lives.children[source] += 1
    for part in parts:
        for source, copy in part.inputs:
            lives.let_go((source,))
            lives.take(copy)
        lives.compute(part.nodes)
    return lives.tapes


class _Lives:
    """Which tensors are alive, and where."""

    def __init__(self, graph: Joined, alignments: Sequence[int]) -> None:
        self.graph = graph
        self.children, self.views, self.root = graph.children, graph.views, graph.root
        self.tapes = [Tape(alignment) for alignment in alignments]
        self.alive = [False] * len(graph.device)
        self.place = [0] * len(graph.device)
        """The device it lies on, which is another one's where it took over a place."""
        self.number = [0] * len(graph.device)
        """On the tape of that device."""

    def compute(self, nodes: Iterable[int]) -> None:
        """Take every node, and let its sources go."""
        graph, root = self.graph, self.root
        for node in nodes:
            sources = graph.sources[graph.first[node] : graph.first[node + 1]]
            if root[node] < 0 and not (graph.in_place[node] and self._takes_over(node, sources)):
                self.take(node)
            self.let_go(sources)

    def take(self, tensor: int) -> None:
        """Give a tensor memory of its own, unless it has some."""
        if self.alive[tensor]:
            return
        self.alive[tensor] = True
        device = self.graph.device[tensor]
        assert device is not None
        tape = self.tapes[device]
        self.place[tensor] = device
        self.number[tensor] = number = len(tape.sizes)
        tape.sizes.append(self.graph.bytes[tensor])
        tape.steps.append(number)

    def _takes_over(self, node: int, sources: Iterable[int]) -> bool:
        """The place of the first source of the same shape that nothing else needs, whatever device it is on; never a view's."""
        graph = self.graph
        for source in sources:
            if self.children[source] != 1 or self.views[source] or not self.alive[source] or graph.output[source]:
                continue
            if graph.ne[source] == graph.ne[node] and graph.item[source] == graph.item[node] and graph.packed[source]:
                self.alive[source], self.alive[node] = False, True
                self.place[node], self.number[node] = self.place[source], self.number[source]
                return True
        return False

    def let_go(self, sources: Iterable[int]) -> None:
        """One use less of each; what nothing needs any more is freed, and what a view shows when that is done."""
        children, views, root, alive = self.children, self.views, self.root, self.alive
        for source in sources:
            children[source] = left = children[source] - 1
            if left or views[source]:
                continue
            owner = source
            if root[source] >= 0:
                owner = root[source]
                views[owner] -= 1
                if views[owner] or children[owner]:
                    continue
            if alive[owner] and not self.graph.output[owner]:
                alive[owner] = False
                self.tapes[self.place[owner]].steps.append(~self.number[owner])

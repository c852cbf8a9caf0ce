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
    holes = _Holes()
    peak = 0
    for number in steps:
        if number < 0:
            holes.free(offsets[~number], sizes[~number])
        else:
            size = sizes[number]
            offsets[number] = offset = holes.take(size)
            peak = max(peak, offset + size)
    return peak


class _Holes:
    """Free blocks before the open end, by their offsets.

    A tensor without any bytes (the states of no further sequence, in models that keep a state) has a place too. Where that stands between
    two tensors when it is freed, it becomes a hole of no size, and then holes on either side of it are not joined any more: what follows
    may have to go behind free memory.
    """

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.sizes: list[int] = []
        self.end = 0
        """Where the open end begins."""

    def take(self, size: int) -> int:
        """Use the smallest hole, or the open end; returns the offset."""
        best, smallest = -1, 0
        for index, free in enumerate(self.sizes):
            if free >= size and (best < 0 or free <= smallest):
                best, smallest = index, free
        if best < 0:
            self.end += size
            return self.end - size
        offset = self.starts[best]
        if smallest > size:
            self.starts[best] = offset + size
            self.sizes[best] = smallest - size
        else:
            del self.starts[best], self.sizes[best]
        return offset

    def free(self, offset: int, size: int) -> None:
        """Give a block back, joined with the first neighbour there is and the one after or before that."""
        starts, sizes, behind = self.starts, self.sizes, offset + size
        for index, start in enumerate(starts):
            if start + sizes[index] == offset:
                sizes[index] += size
                self._join(index)
                return
            if start == behind:
                starts[index] = offset
                sizes[index] += size
                if index and starts[index - 1] + sizes[index - 1] == offset:
                    self._join(index - 1)
                return
        if behind == self.end:
            self.end = offset
            if starts and starts[-1] + sizes[-1] == offset:
                self.end = starts.pop()
                sizes.pop()
            return
        # Holes of no size can put the others out of order: the engine looks for the first that lies behind, too.
        index = next((at for at, start in enumerate(starts) if start >= offset), len(starts))
        starts.insert(index, offset)
        sizes.insert(index, size)

    def _join(self, index: int) -> None:
        """Join a hole with the next one, or the open end, where that follows at once."""
        starts, sizes = self.starts, self.sizes
        after = starts[index] + sizes[index]
        if index + 1 < len(starts):
            if starts[index + 1] == after:
                sizes[index] += sizes[index + 1]
                del starts[index + 1], sizes[index + 1]
        elif after == self.end:
            self.end = starts[index]
            del starts[index], sizes[index]


class Part(Struct, frozen=True):
    """What one device computes without a break."""

    inputs: list[tuple[int, int]]
    """What it needs from another device, and its copy."""
    nodes: list[int]


def record(graph: Joined, parts: Sequence[Part], leafs: Iterable[int], copies: int, alignments: Sequence[int]) -> list[Tape]:
    """Follow the lifetimes of a scheduled graph: `copies` of each of `leafs` first, then every node; its sources go where this was their
    last use.
    """
    lives = _Lives(graph, alignments)
    for leaf in leafs:
        lives.take(leaf)
        lives.hold(leaf, copies - 1)
    for part in parts:
        for source, _ in part.inputs:
            lives.children[source] += 1
    for part in parts:
        for source, copy in part.inputs:
            lives.let_go(source)
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
        all_sources, first, root, in_place = self.graph.sources, self.graph.first, self.root, self.graph.in_place
        children, views = self.children, self.views
        for node in nodes:
            sources = all_sources[first[node] : first[node + 1]]
            if root[node] < 0 and not (in_place[node] and self._takes_over(node, sources)):
                self.take(node)
            for source in sources:
                children[source] = left = children[source] - 1
                if not left and not views[source]:
                    self._done(source)

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

    def hold(self, tensor: int, times: int) -> None:
        """Memory like that of `tensor`, so many times, that is never freed."""
        tape = self.tapes[self.place[tensor]]
        for number in range(len(tape.sizes), len(tape.sizes) + times):
            tape.sizes.append(self.graph.bytes[tensor])
            tape.steps.append(number)

    def _takes_over(self, node: int, sources: Iterable[int]) -> bool:
        """The place of the first source of the same shape that nothing else needs, whatever device it is on; never a view's."""
        graph, children, views, alive = self.graph, self.children, self.views, self.alive
        for source in sources:
            if children[source] != 1 or views[source] or not alive[source] or graph.output[source]:
                continue
            if graph.ne[source] == graph.ne[node] and graph.item[source] == graph.item[node] and graph.packed[source]:
                alive[source], alive[node] = False, True
                self.place[node], self.number[node] = self.place[source], self.number[source]
                return True
        return False

    def let_go(self, source: int) -> None:
        """One use less; what nothing needs any more is freed."""
        self.children[source] -= 1
        if not self.children[source] and not self.views[source]:
            self._done(source)

    def _done(self, tensor: int) -> None:
        """Free what nothing needs any more; of a view what it shows, when that is done."""
        owner = self.root[tensor]
        if owner < 0:
            owner = tensor
        else:
            self.views[owner] -= 1
            if self.views[owner] or self.children[owner]:
                return
        if self.alive[owner] and not self.graph.output[owner]:
            self.alive[owner] = False
            self.tapes[self.place[owner]].steps.append(~self.number[owner])

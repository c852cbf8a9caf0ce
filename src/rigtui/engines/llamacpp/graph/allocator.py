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
    """The end of the highest place; written in one piece because it runs hundreds of thousands of steps."""
    offsets = [0] * len(sizes)
    starts: list[int] = []
    holes: list[int] = []
    end = peak = 0
    for number in steps:
        if number < 0:
            end = _freed(starts, holes, end, offsets[~number], sizes[~number])
            continue
        size, best, smallest = sizes[number], -1, 0
        for index, hole in enumerate(holes):
            if hole >= size and (best < 0 or hole <= smallest):
                best, smallest = index, hole
        if best < 0:
            offsets[number] = end
            end += size
            peak = max(peak, end)
            continue
        offsets[number] = start = starts[best]
        if smallest > size:
            starts[best], holes[best] = start + size, smallest - size
        else:
            del starts[best], holes[best]
    return peak


def _freed(starts: list[int], holes: list[int], end: int, offset: int, size: int) -> int:
    """Give a block back, joined with the first neighbour there is and the one after or before that; where the open end begins then.

    `starts` and `holes` are the offsets and sizes of the free blocks before it. A tensor without any bytes (the states of no further
    sequence, in models that keep a state) has a place too. Where that stands between two tensors when it is freed, it becomes a hole of no
    size, and then holes on either side of it are not joined any more: what follows may have to go behind free memory.
    """
    behind = offset + size
    for index, start in enumerate(starts):
        if start + holes[index] == offset:
            holes[index] += size
            return _joined(starts, holes, end, index)
        if start == behind:
            starts[index] = offset
            holes[index] += size
            if index and starts[index - 1] + holes[index - 1] == offset:
                return _joined(starts, holes, end, index - 1)
            return end
    if behind == end:
        if starts and starts[-1] + holes[-1] == offset:
            holes.pop()
            return starts.pop()
        return offset
    # Holes of no size can put the others out of order: the engine looks for the first that lies behind, too.
    index = next((at for at, start in enumerate(starts) if start >= offset), len(starts))
    starts.insert(index, offset)
    holes.insert(index, size)
    return end


def _joined(starts: list[int], holes: list[int], end: int, index: int) -> int:
    """Join a hole with the next one, or the open end, where that follows at once; where the open end begins then."""
    after = starts[index] + holes[index]
    if index + 1 < len(starts):
        if starts[index + 1] == after:
            holes[index] += holes[index + 1]
            del starts[index + 1], holes[index + 1]
        return end
    if after != end:
        return end
    holes.pop()
    return starts.pop()


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
            graph.uses[graph.owner[source]] += 1
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
        self.owner, self.uses, self.output = graph.owner, graph.uses, graph.output
        self.tapes = [Tape(alignment) for alignment in alignments]
        self.place: list[tuple[Tape, int] | None] = [None] * len(graph.device)
        """Of those that are alive the tape of the device it lies on, which is another one's where it took over a place, and its number
        there.
        """

    def compute(self, nodes: Iterable[int]) -> None:
        """Take every node, and let its sources go."""
        sources, first, owner, in_place = self.graph.sources, self.graph.first, self.owner, self.graph.in_place
        take, takes_over, let_go = self.take, self._takes_over, self.let_go
        for node in nodes:
            own = sources[first[node] : first[node + 1]]
            if owner[node] == node and not (in_place[node] and takes_over(node, own)):
                take(node)
            let_go(own)

    def take(self, tensor: int) -> None:
        """Give a tensor memory of its own, unless it has some."""
        if self.place[tensor] is not None:
            return
        device = self.graph.device[tensor]
        assert device is not None
        tape = self.tapes[device]
        number = len(tape.sizes)
        self.place[tensor] = tape, number
        tape.sizes.append(self.graph.bytes[tensor])
        tape.steps.append(number)

    def hold(self, tensor: int, times: int) -> None:
        """Memory like that of `tensor`, which is alive, so many times, that is never freed."""
        place = self.place[tensor]
        assert place is not None
        tape, _ = place
        for number in range(len(tape.sizes), len(tape.sizes) + times):
            tape.sizes.append(self.graph.bytes[tensor])
            tape.steps.append(number)

    def _takes_over(self, node: int, sources: Iterable[int]) -> bool:
        """The place of the first source of the same shape that nothing else needs, whatever device it is on; never a view's."""
        uses, place, output, form = self.uses, self.place, self.output, self.graph.form
        for source in sources:
            if uses[source] == 1 and place[source] is not None and not output[source] and form[source] == form[node]:
                place[node], place[source] = place[source], None
                return True
        return False

    def let_go(self, sources: Iterable[int]) -> None:
        """One use less of each; what nothing needs any more is freed, of a view what it shows."""
        owners, uses, place, output = self.owner, self.uses, self.place, self.output
        for source in sources:
            owner = owners[source]
            uses[owner] = left = uses[owner] - 1
            if left or output[owner]:
                continue
            held = place[owner]
            if held is not None:
                place[owner] = None
                tape, number = held
                tape.steps.append(~number)

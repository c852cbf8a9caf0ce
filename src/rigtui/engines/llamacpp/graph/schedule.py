"""Which device computes which node of a graph, and what is copied between devices for it.

llama.cpp 0.5.0-dev (0c1e57098), ggml/src/ggml-backend.cpp: an operation goes where its weights are; those without weights follow their
neighbours in the order of computation, GPUs first; the graph is cut where the device changes, and what a part needs from another device
is copied at its beginning. With several copies of the inputs (pipeline parallelism) all such copies are held for good.
The host is the last device.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rigtui.engines.llamacpp.graph.allocator import Tape, record
from rigtui.engines.llamacpp.graph.tensors import VIEWS, Graph, Tensor

OFFLOAD_LEAST_ROWS = 32
"""Of this many rows on, a GPU computes with weights that are copied to it (GGML_OP_OFFLOAD_MIN_BATCH)."""
GPU_ALIGNMENT = 128
HOST_ALIGNMENT = 32
_NOT_BY_WEIGHT = frozenset({"rope", "flash"})
"""Their weights are too small to decide by."""


@dataclass
class _Split:
    device: int
    start: int
    end: int = 0
    inputs: list[Tensor] = field(default_factory=list)


def tapes(graph: Graph, gpus: int, copies: int) -> list[Tape]:
    """What every device, the host last, takes and frees while it computes its part; `copies` of the inputs are kept.

    The graph is used up: sources are replaced by their copies.
    """
    host = gpus
    assign(graph, host)
    splits, copied = _split(graph, copies)
    nodes: list[Tensor] = []
    for split in splits:
        for source in split.inputs:
            after = Tensor("after", source.ne, (source,), source.item, source.root or source)
            nodes += [after, copied[id(source), split.device][0]]
        nodes += graph.nodes[split.start : split.end]
    leafs: list[Tensor] = []
    if copies > 1:
        leafs = _input_copies(graph, host, copies)
        leafs += [copy for split in splits for source in split.inputs for copy in copied[id(source), split.device]]
    return record(nodes, leafs + graph.leafs, [GPU_ALIGNMENT] * gpus + [HOST_ALIGNMENT])


def assign(graph: Graph, host: int) -> None:
    """Give every node its device."""
    for leaf in graph.leafs:
        if leaf.device is None:
            leaf.device = host
    for node in graph.nodes:
        if node.device is None:
            node.device = _by_place(node, host)
    real = [node for node in graph.nodes if node.op not in VIEWS]
    for ignored in (host, -1):
        _spread(real, ignored, host)
        _spread(reversed(real), ignored, host)
    for node in real:
        if node.device is None:  # its neighbours' GPU cannot compute it
            node.device = host
    for node in graph.nodes:
        if node.device is None:
            assert node.root is not None
            node.device = node.root.device
        for source in node.sources:
            if source.device is None:
                source.device = source.root.device if source.root is not None else node.device


def _by_place(node: Tensor, host: int) -> int | None:
    """The device of the memory that a node writes to, or else of its weights."""
    if node.root is not None and node.root.external:
        return node.root.device if node.computed_on_gpu else host
    if node.op in _NOT_BY_WEIGHT:
        return None
    for source in node.sources:
        if source.weight:
            if source.device == host and host and node.rows >= OFFLOAD_LEAST_ROWS and node.computed_on_gpu:
                return 0
            return source.device if node.computed_on_gpu else host
    return None


def _spread(nodes: Iterable[Tensor], ignored: int, host: int) -> None:
    """Nodes without a device take that of the one before, unless that is `ignored`."""
    current: int | None = None
    for node in nodes:
        if node.device is not None:
            current = None if node.device == ignored else node.device
        elif current is not None and (node.computed_on_gpu or current == host):
            node.device = current


def _split(graph: Graph, copies: int) -> tuple[list[_Split], dict[tuple[int, int], list[Tensor]]]:
    """Cut the graph where the device changes, and before each weight that has to be copied; sources become their copies."""
    nodes = graph.nodes
    first = next(node for node in nodes if node.op not in VIEWS)
    assert first.device is not None
    current = _Split(first.device, 0)
    splits = [current]
    copied: dict[tuple[int, int], list[Tensor]] = {}
    for index, node in enumerate(nodes):
        if node.op in VIEWS:
            continue
        device = node.device
        assert device is not None
        foreign = [source for source in node.sources if source.device != device]
        if device != current.device or (foreign and current.inputs and any(source.weight for source in foreign)):
            current.end = index
            current = _Split(device, index)
            splits.append(current)
        if foreign:
            node.sources = tuple(_copy(source, current, copied, copies) for source in node.sources)
    current.end = len(nodes)
    return splits, copied


def _copy(source: Tensor, split: _Split, copied: dict[tuple[int, int], list[Tensor]], copies: int) -> Tensor:
    if source.device == split.device:
        return source
    key = id(source), split.device
    if key not in copied:
        copied[key] = [_duplicate(source, split.device, copies) for _ in range(copies)]
        split.inputs.append(source)
    return copied[key][0]


def _duplicate(source: Tensor, device: int, copies: int) -> Tensor:
    copy = Tensor("copy", source.ne, (), source.item)
    owner = source.root or source
    if owner.external or not source.packed:
        copy.bytes = owner.bytes  # with what lies between its rows
    copy.packed, copy.device, copy.output = source.packed, device, copies > 1
    return copy


def _input_copies(graph: Graph, host: int, copies: int) -> list[Tensor]:
    """The inputs themselves and their further copies, on the host."""
    result: list[Tensor] = []
    for leaf in graph.leafs:
        if not leaf.external:
            leaf.output = True
            result += [leaf, *(_duplicate(leaf, host, copies) for _ in range(copies - 1))]
    return result

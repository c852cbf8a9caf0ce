"""Which device computes which node of a graph, and what is copied between devices for it.

llama.cpp 0.5.0-dev (0c1e57098), ggml/src/ggml-backend.cpp: an operation goes where its weights are; those without weights follow their
neighbours in the order of computation, GPUs first; the graph is cut where the device changes, and what a part needs from another device
is copied at its beginning. With several copies of the inputs (pipeline parallelism) all such copies are held for good.
The host is the last device.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rigtui.engines.llamacpp.graph.allocator import Part, Tape, record
from rigtui.engines.llamacpp.graph.pieces import Joined
from rigtui.engines.llamacpp.graph.tensors import Bytes, size_of

GPU_ALIGNMENT = 128
HOST_ALIGNMENT = 32


@dataclass
class _Split:
    device: int
    start: int
    end: int = 0
    inputs: list[int] = field(default_factory=list)


def tapes(graph: Joined, gpus: int, copies: int) -> list[Tape]:
    """What every device, the host last, takes and frees while it computes its part; `copies` of the inputs are kept.

    The graph is used up: sources are replaced by their copies.
    """
    host = gpus
    assign(graph, host)
    splits, copied = _split(graph, kept=copies > 1)
    nodes = graph.order.nodes
    parts = [Part([(source, copied[source, split.device]) for source in split.inputs], nodes[split.start : split.end]) for split in splits]
    leafs = [*graph.inputs]
    if copies > 1:
        for leaf in graph.inputs:
            graph.output[leaf] = True
        leafs += [copy for part in parts for _, copy in part.inputs]
    return record(graph, parts, leafs, copies, [GPU_ALIGNMENT] * gpus + [HOST_ALIGNMENT])


def assign(graph: Joined, host: int) -> None:
    """Give every node its device."""
    device, nodes = graph.device, graph.order.nodes
    for ignored in (host, -1):
        _spread(graph, nodes, ignored, host)
        _spread(graph, reversed(nodes), ignored, host)
    for node in nodes:
        if device[node] is None:  # its neighbours' GPU cannot compute it
            device[node] = host
        if device[node] == host and graph.op[node] == "flash":
            ne, item, _ = graph.form[node]
            graph.bytes[node] = size_of(ne, item)  # the CPU reads K and V as they are
    for view in graph.shown:
        device[view] = device[graph.owner[view]]


def _spread(graph: Joined, nodes: Iterable[int], ignored: int, host: int) -> None:
    """Nodes without a device take that of the one before, unless that is `ignored`."""
    current: int | None = None
    device, on_gpu = graph.device, graph.on_gpu
    for node in nodes:
        where = device[node]
        if where is not None:
            current = None if where == ignored else where
        elif current is not None and (on_gpu[node] or current == host):
            device[node] = current


def _split(graph: Joined, *, kept: bool) -> tuple[list[_Split], dict[tuple[int, int], int]]:
    """Cut the graph where the device changes, and before each weight that has to be copied; sources become their copies, which are `kept`
    for good or not. These are given by source and device.
    """
    nodes, device, sources = graph.order.nodes, graph.device, graph.sources
    crossing = graph.crossing()
    current = _Split(_known(device[nodes[0]]), 0)
    splits = [current]
    copied: dict[tuple[int, int], int] = {}
    for index, node in enumerate(nodes):
        where = device[node]
        if where == current.device and node not in crossing:
            continue
        own = range(graph.first[node], graph.first[node + 1])
        foreign = [at for at in own if device[sources[at]] != where]
        if where != current.device or (foreign and current.inputs and any(graph.weight[sources[at]] for at in foreign)):
            current.end = index
            current = _Split(_known(where), index)
            splits.append(current)
        for at in foreign:
            sources[at] = _copy(graph, sources[at], current, copied, kept=kept)
    current.end = len(nodes)
    return splits, copied


def _known(device: int | None) -> int:
    assert device is not None
    return device


def _copy(graph: Joined, source: int, split: _Split, copied: dict[tuple[int, int], int], *, kept: bool) -> int:
    key = source, split.device
    if key not in copied:
        copied[key] = graph.add(source, _whole(graph, source), split.device, output=kept)
        split.inputs.append(source)
    copy = copied[key]
    graph.uses[graph.owner[source]] -= 1
    graph.uses[copy] += 1
    return copy


def _whole(graph: Joined, source: int) -> Bytes:
    """Bytes of a copy: with what lies between the rows of `source`."""
    owner = graph.owner[source]
    ne, item, packed = graph.form[source]
    return graph.bytes[owner] if graph.external[owner] or not packed else size_of(ne, item)

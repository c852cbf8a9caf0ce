"""Tensors of a compute graph and the operations between them: shapes and sizes only, nothing is computed.

Shapes are in ggml's order, contiguous dimension first. A dimension that grows with the context is a `Cells`; sizes are therefore
linear in the cells of the two kinds of cache and kept as (bytes, bytes per full cell, bytes per sliding-window cell).
Rules: llama.cpp 0.5.0-dev (0c1e57098), ggml/src/ggml.c (result shapes, views, order of nodes), ggml/src/ggml-alloc.c (in place).
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from math import prod

F16, F32, I64 = 2, 4, 8
"""Bytes of an element."""

Bytes = tuple[int, int, int]
_NOTHING: Bytes = (0, 0, 0)


class Cells(IntEnum):
    """A dimension as long as the cache of one stream: where its share stands in `Bytes`, and like no dimension that is known."""

    FULL = -2
    WINDOW = -1


Shape = tuple[int | Cells, ...]

IN_PLACE = frozenset(
    {"add", "add_id", "sub", "mul", "div", "sqr", "sqrt", "scale", "unary", "rope", "rms_norm", "clamp", "soft_max", "fill"}
)
"""The result may take the place of a source that nothing else needs."""
VIEWS = frozenset({"view", "reshape", "permute"})
BEFORE = "before"
"""Stands for the result of the piece before: whatever shape it has, it is no view."""


class NotDrawnError(Exception):
    """A block lacks a tensor that belongs to it, or has it in another shape; the message is its name."""


class Tensor:
    """One node or leaf."""

    __slots__ = (
        "bytes",
        "computed_on_gpu",
        "device",
        "external",
        "home",
        "item",
        "name",
        "ne",
        "op",
        "output",
        "packed",
        "root",
        "seen",
        "sources",
        "weight",
    )

    def __init__(self, op: str, ne: Shape, sources: tuple[Tensor, ...] = (), item: int = F32, root: Tensor | None = None) -> None:
        self.op = op
        self.ne = ne
        self.sources = sources
        self.item = item
        self.root = root
        """Whose memory a view shows."""
        self.bytes: Bytes = size_of(ne, item) if root is None else _NOTHING
        """A view takes nothing."""
        self.packed = True
        """Without gaps between rows."""
        self.device: int | None = None
        self.home: int | None = None
        """Where it is computed when norms are forced to their block."""
        self.external = self.weight = False
        """It lies in memory of its own: weights and caches."""
        self.output = False
        """Never freed."""
        self.computed_on_gpu = True
        self.seen = False
        self.name = ""
        """Of a leaf that other pieces of the graph have, too: one of that name is enough."""

    @property
    def rows(self) -> int:
        """Rows of the result as ggml-cuda counts them; from 32 on a GPU computes for weights in RAM."""
        if self.op == "get_rows":
            return 0
        if self.op == "mul_mat":
            return int(self.ne[1]) if len(self.ne) > 1 else 1
        if self.op == "mul_mat_id":
            return int(self.ne[2])
        return prod(dimension for dimension in self.ne[1:] if type(dimension) is int)


@lru_cache(maxsize=1 << 14)
def size_of(ne: Shape, item: int) -> Bytes:
    """Bytes of a packed tensor."""
    kind = 0
    for dimension in ne:
        if type(dimension) is int:
            item *= dimension
        else:
            kind = int(dimension)
    return (item, 0, 0) if not kind else (0, item, 0) if kind == Cells.FULL else (0, 0, item)


class Graph:
    """Tensors in the order in which they are computed, leafs where they are met first; each operation returns its result."""

    def __init__(self) -> None:
        self.order: list[Tensor] = []

    def expand(self, tensor: Tensor) -> None:
        """Add `tensor` after everything it needs, in the order of the sources."""
        if tensor.seen:
            return
        tensor.seen = True
        for source in tensor.sources:
            if not source.seen:
                self.expand(source)
        self.order.append(tensor)

    @staticmethod
    def input(*ne: int | Cells, item: int = F32, name: str = "") -> Tensor:
        """What the host gives with every micro-batch."""
        tensor = Tensor("leaf", ne, (), item)
        tensor.name = name
        return tensor

    @staticmethod
    def stored(device: int, ne: Shape, bytes_: Bytes, *, weight: bool) -> Tensor:
        """A weight or a cache."""
        tensor = Tensor("leaf", ne)
        tensor.bytes, tensor.device, tensor.external, tensor.weight = bytes_, device, True, weight
        return tensor

    @staticmethod
    def op(name: str, ne: Shape, *sources: Tensor, item: int = F32) -> Tensor:
        """Any operation with a result of its own."""
        return Tensor(name, ne, sources, item)

    def like(self, name: str, source: Tensor, *more: Tensor) -> Tensor:
        """An operation whose result has the shape of its first source."""
        return Tensor(name, source.ne, (source, *more))

    def mul_mat(self, weight: Tensor, x: Tensor) -> Tensor:
        """`weight` times `x`."""
        return Tensor("mul_mat", (weight.ne[1], *x.ne[1:]), (weight, x))

    def experts(self, weight: Tensor, x: Tensor, chosen: Tensor) -> Tensor:
        """`x` times the chosen experts of each token."""
        return Tensor("mul_mat_id", (weight.ne[1], chosen.ne[0], x.ne[2]), (weight, x, chosen))

    def rows(self, table: Tensor, ids: Tensor, ne: Shape) -> Tensor:
        """Rows of `table`."""
        return Tensor("get_rows", ne, (table, ids))

    @staticmethod
    def view(name: str, source: Tensor, ne: Shape, *, packed: bool = True) -> Tensor:
        """The same memory in another shape: `view`, `reshape` or `permute`."""
        tensor = Tensor(name, ne, (source,), source.item, source.root or source)
        tensor.packed = packed and source.packed
        return tensor

    def reshape(self, source: Tensor, *ne: int | Cells) -> Tensor:
        """`source` with other dimensions."""
        return self.view("reshape", source, ne)

    @staticmethod
    def into(name: str, target: Tensor, *sources: Tensor) -> Tensor:
        """Write into `target` (`cpy`, `set_rows`): the result is a view of it."""
        tensor = Tensor(name, target.ne, (*sources, target), target.item, target.root or target)
        tensor.packed = target.packed
        return tensor

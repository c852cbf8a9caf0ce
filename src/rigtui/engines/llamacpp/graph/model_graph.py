"""The whole graph of a model for one micro-batch, or of some of its blocks: llama.cpp 0.5.0-dev (0c1e57098), src/models/*.cpp."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from msgspec import Struct

from rigtui.engines.llamacpp.graph.drawing import BlockAt, Drawing, Subject
from rigtui.engines.llamacpp.graph.parts import Heads, Layout, Micro
from rigtui.engines.llamacpp.graph.pieces import Joined, Piece, by_number
from rigtui.engines.llamacpp.graph.tensors import NotDrawnError
from rigtui.engines.llamacpp.graph.traits import Traits
from rigtui.engines.llamacpp.graph.unknown import is_drawn
from rigtui.engines.llamacpp.kv import has_state
from rigtui.engines.llamacpp.placement import HOST
from rigtui.models.memo import per_model
from rigtui.models.model import Model
from rigtui.models.model import Tensor as Stored


class Drawn(Struct, frozen=True):
    """What is drawn of a model."""

    blocks: tuple[BlockAt, ...]
    head: int | None
    """Device of the output head; None: the last block is not the model's last, and no head follows."""
    host: int
    forced: bool
    """The norms of a block are computed where the block is."""
    forgotten: bool = False
    """Attention to a cache in RAM ends wherever its neighbours are, and not in RAM as it was to."""


class Contents(Struct):
    """The tensors of a model by block, and which blocks are alike."""

    stored: dict[int | None, dict[str, Stored]]
    """By their names in the block; those of no block under None."""
    shapes: tuple[int, ...]
    """Per block a number: the same for blocks of one kind whose tensors have the same shapes."""
    sizes: tuple[int, ...]
    """The same where they have the same bytes, too."""
    known: dict[object, bool]
    """Of kinds of block that were looked at: whether their graph is known, which no setting changes."""


@per_model
def contents(model: Model) -> Contents:
    """Sort the tensors into their blocks."""
    stored: dict[int | None, dict[str, Stored]] = {}
    for tensor in model.tensors:
        layer = tensor.layer
        stored.setdefault(layer, {})[tensor.name if layer is None else tensor.name.split(".", 2)[2]] = tensor
    shapes: dict[object, int] = {}
    sizes: dict[object, int] = {}
    numbers = []
    for layer in range(model.layers):
        inside = sorted(stored.get(layer, {}).items())
        kind = has_state(model, layer), *((name, t.shape) for name, t in inside)
        shape = shapes.setdefault(kind, len(shapes))
        size = shape, *(t.bytes for _, t in inside)
        numbers.append((shape, sizes.setdefault(size, len(sizes))))
    return Contents(stored, tuple(shape for shape, _ in numbers), tuple(size for _, size in numbers), {})


class ModelGraph(Subject):
    """Builds graphs of one model."""

    def __init__(self, model: Model, traits: Traits, micro: Micro, layout: Layout, heads: Sequence[Heads]) -> None:
        blocks = contents(model)
        super().__init__(model, traits, micro, layout, heads, blocks.stored)
        self.kinds = _numbered(zip(heads, blocks.shapes, strict=True))
        """Per block a number: the same for blocks of one kind."""
        self.sized = _numbered(zip(heads, blocks.sizes, strict=True))
        """The same for those whose tensors have the same sizes, too."""
        self.pieces: dict[object, Piece] = {}
        for layer, one in enumerate(heads):
            kind = (blocks.shapes[layer], one.query, one.key_value, one.key, one.value, one.cells)
            if kind not in blocks.known:
                blocks.known[kind] = is_drawn(model, layer, self.stored.get(layer, {}), one) and self._succeeds(layer)
            self.drawn[layer] = blocks.known[kind]

    def _succeeds(self, layer: int) -> bool:
        """Whether a block has all the tensors that its graph needs."""
        try:
            self.draw(Drawn((BlockAt(layer, 0, 0),), head=None, host=1, forced=True))
        except NotDrawnError:
            return False
        return True

    def key(self, block: BlockAt, host: int) -> tuple[object, ...]:
        """What tells a block from another: weights that are copied from RAM by their sizes."""
        copied = block.home == host or any(where == host for _, where in block.elsewhere)
        return (self.sized[block.layer] if copied else self.kinds[block.layer], block.home, block.cache, block.elsewhere, copied)

    def draw(self, drawn: Drawn) -> Joined:
        """The graph, nodes in the order of computation."""
        blocks, head = drawn.blocks, drawn.head
        devices = [blocks[0].home] if blocks else []
        anew = _numbered_anew(drawn.host, devices)
        first = anew[devices[0]] if devices else None
        found = [(self._piece((first,), drawn, partial(Drawing.embedded, first=first)), by_number(anew))]
        for count, block in enumerate(blocks, 1):
            picks = head is not None and count == len(blocks)
            anew = _numbered_anew(drawn.host, block.devices)
            moved = block.on(anew)
            piece = self._piece((*self.key(moved, HOST), picks), drawn, partial(Drawing.block, block=moved, last=picks))
            found.append((piece, by_number(anew)))
        if head is not None:
            anew, before = _numbered_anew(drawn.host, [head]), found[-1][0]
            given, _, _ = before.form[before.result]
            piece = self._piece((anew[head], given), drawn, partial(Drawing.head, device=anew[head], given=given))
            found.append((piece, by_number(anew)))
        return Joined(found, forced=drawn.forced)

    def _piece(self, key: tuple[object, ...], drawn: Drawn, draw: Callable[[Drawing], Piece]) -> Piece:
        """What `draw` gives, drawn once."""
        full = (*key, drawn.forgotten)
        if full not in self.pieces:
            self.pieces[full] = draw(Drawing(self, forgotten=drawn.forgotten))
        return self.pieces[full]


def _numbered_anew(host: int, devices: Iterable[int]) -> dict[int, int]:
    """Numbers for devices by the order in which they come; so the same kind of block is drawn once, wherever it is."""
    found = {host: HOST}
    for device in devices:
        found.setdefault(device, len(found) - 1)
    return found


def _numbered(kinds: Iterable[object]) -> list[int]:
    """A number for each of `kinds`, the same for equal ones."""
    known: dict[object, int] = {}
    return [known.setdefault(kind, len(known)) for kind in kinds]

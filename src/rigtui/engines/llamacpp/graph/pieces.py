"""Pieces of a graph and graphs made of them: blocks of one kind are drawn once, then stand wherever the kind does.

A piece is a graph laid out in columns, a tensor's number being its position. What it computes last is added to the whole only where the
next piece needs it, as llama.cpp does (ggml_build_forward_expand in ggml/src/ggml.c): that may be after the next piece has begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from rigtui.engines.llamacpp.graph.tensors import BEFORE, IN_PLACE, VIEWS, Bytes, Graph, Shape, Tensor
from rigtui.engines.llamacpp.placement import HOST

OFFLOAD_LEAST_ROWS = 32
"""Of this many rows on, a GPU computes with weights that are copied to it (GGML_OP_OFFLOAD_MIN_BATCH)."""
_NOT_BY_WEIGHT = frozenset({"rope", "flash"})
"""Their weights are too small to decide by."""
Form = tuple[Shape, int, bool]
"""Of a tensor: its shape, the bytes of an element, and whether there are no gaps between rows."""
NOTHING = -1
FIRST = -2
"""In the place of a device's number: the first GPU, which computes with weights that lie in RAM."""
Devices = Mapping[int | None, int | None]
"""The devices of a graph by the numbers that a piece has for them, with `HOST` and `FIRST`."""


def by_number(numbers: Mapping[int, int]) -> Devices:
    """The devices of a graph for a piece that was drawn with these numbers for them."""
    return {None: None, FIRST: 0, **{number: device for device, number in numbers.items()}}


class Columns:
    """Tensors by number."""

    def __init__(self) -> None:
        self.device: list[int | None] = []
        """None: it follows its neighbours."""
        self.op: list[str] = []
        self.on_gpu: list[bool] = []
        """A GPU can compute it."""
        self.in_place: list[bool] = []
        self.form: list[Form] = []
        self.bytes: list[Bytes] = []
        self.weight: list[bool] = []
        self.external: list[bool] = []
        self.output: list[bool] = []
        self.owner: list[int] = []
        """Whose memory it is: of a view that of what it shows, else its own."""
        self.uses: list[int] = []
        """How often something that is computed needs the memory of a tensor; once more for each view that is never used up."""
        self.sources: list[int] = []
        """Of all that are computed, one after the other."""
        self.count: list[int] = []
        """How many of `sources` are a tensor's."""
        self.shown: list[int] = []
        """Views: they lie where what they show does, and are not computed."""


class Run:
    """Numbers of tensors in the order in which they are computed, and of inputs in the order in which they are met."""

    def __init__(self) -> None:
        self.nodes: list[int] = []
        self.inputs: list[int] = []

    def add(self, other: Run, table: Sequence[int]) -> None:
        """Go on with `other`, renumbered."""
        self.nodes += map(table.__getitem__, other.nodes)
        self.inputs += map(table.__getitem__, other.inputs)


class Piece(Columns):
    """A graph, with what is known of it whatever stands beside it."""

    def __init__(self, graph: Graph, result: Tensor | None = None) -> None:
        """`result`: what the next piece goes on with, not yet in the graph."""
        super().__init__()
        count = len(graph.order)
        if result is not None:
            graph.expand(result)
        order = graph.order
        numbers = {id(tensor): number for number, tensor in enumerate(order)}
        self._describe(order)
        self.forced = [(number, tensor.home) for number, tensor in enumerate(order) if tensor.home is not None]
        """Norms, and where they are computed when they are forced to their block."""
        self.owner = [numbers[id(tensor.root or tensor)] for tensor in order]
        self.needing: list[int] = []
        """What each of `sources` is a source of."""
        for number, tensor in enumerate(order):
            sources = () if tensor.op in VIEWS else tensor.sources
            if tensor.op in VIEWS:
                self.shown.append(number)
            self.count.append(len(sources))
            self.sources += [numbers[id(source)] for source in sources]
            self.needing += [number] * len(sources)
        self.uses = self._counted(order, numbers)
        self.crossings: dict[object, tuple[int, ...]] = {}
        self.result = NOTHING if result is None else numbers[id(result)]
        self.shared = [(number, tensor.name) for number, tensor in enumerate(order) if tensor.name]
        """Leafs that other pieces have, too."""
        self.before = next((number for number, tensor in enumerate(order) if tensor.op == BEFORE), None)
        """Stands for the result of the piece before."""
        self.body = self._runs(range(count))
        """Before and after the place of what is left of the piece before, if it is in here."""
        self.rest = self._runs(range(count, len(order)))
        """What is left to the next piece."""

    def _describe(self, order: Sequence[Tensor]) -> None:
        """What each tensor is by itself."""
        self.device = [_device(tensor) for tensor in order]
        self.op = [tensor.op for tensor in order]
        self.on_gpu = [tensor.computed_on_gpu for tensor in order]
        self.in_place = [tensor.op in IN_PLACE for tensor in order]
        self.form = [(tensor.ne, tensor.item, tensor.packed) for tensor in order]
        self.bytes = [tensor.bytes for tensor in order]
        self.weight = [tensor.weight for tensor in order]
        self.external = [tensor.external for tensor in order]
        self.output = [tensor.output for tensor in order]

    def _counted(self, order: Sequence[Tensor], numbers: dict[int, int]) -> list[int]:
        """How often each tensor's memory is needed: a view that nothing needs, not even another view, holds it for good."""
        uses = [0] * len(order)
        for source in self.sources:
            uses[self.owner[source]] += 1
        seen = {*self.sources, *[numbers[id(order[view].sources[0])] for view in self.shown]}
        for number, owner in enumerate(self.owner):
            if owner != number and number not in seen:
                uses[owner] += 1
        return uses

    def crossing(self, devices: Sequence[int | None], before: int | None) -> tuple[int, ...]:
        """Which tensors have a source on another device, when all are on `devices` and what goes before is on `before`."""
        key = tuple(devices), before
        if key not in self.crossings:
            where = [*devices]
            if self.before is not None:
                where[self.before] = before
            pairs = zip(self.needing, self.sources, strict=True)
            self.crossings[key] = tuple(dict.fromkeys([needing for needing, source in pairs if where[source] != where[needing]]))
        return self.crossings[key]

    def _runs(self, numbers: Iterable[int]) -> list[Run]:
        runs = [Run()]
        for number in numbers:
            if number == self.before:
                runs.append(Run())
            elif self.op[number] == "leaf":
                if not self.external[number]:
                    runs[-1].inputs.append(number)
            elif self.op[number] not in VIEWS:
                runs[-1].nodes.append(number)
        return runs


class Joined(Columns):
    """Pieces one after another."""

    def __init__(self, pieces: Iterable[tuple[Piece, Devices]], *, forced: bool = False) -> None:
        """`forced`: norms are computed where their block is."""
        super().__init__()
        self.forced = forced
        self.order = Run()
        self.shared: dict[tuple[str, int | None], int] = {}
        """By name and device."""
        self.stands: list[tuple[Piece, int, int]] = []
        """Each piece, the number of its first tensor, and that of what goes before."""
        left, result = Run(), NOTHING
        for piece, devices in pieces:
            table = self._numbered(piece, devices, result)
            self._spliced(self.order, piece.body, table, left)
            left = self._spliced(Run(), piece.rest, table, left)
            result = table[piece.result]
        self.order.add(left, range(len(self.device)))
        self.inputs = list(dict.fromkeys(self.order.inputs))
        self.first = list(accumulate(self.count, initial=0))
        """Where the `sources` of a tensor begin; they end where those of the next begin."""

    def _numbered(self, piece: Piece, devices: Devices, before: int) -> list[int]:
        """Add the tensors of `piece`; their new numbers by the old ones, and last that of none."""
        base = len(self.device)
        self.stands.append((piece, base, before))
        table = [*range(base, base + len(piece.device)), NOTHING]
        for number, name in piece.shared:
            table[number] = self.shared.setdefault((name, devices[piece.device[number]]), base + number)
        if piece.before is not None:
            table[piece.before] = before
        self.device += map(devices.__getitem__, piece.device)
        for number, home in piece.forced if self.forced else ():
            self.device[base + number] = devices[home]
        self.op += piece.op
        self.on_gpu += piece.on_gpu
        self.in_place += piece.in_place
        self.form += piece.form
        self.bytes += piece.bytes
        self.weight += piece.weight
        self.external += piece.external
        self.output += piece.output
        self.uses += piece.uses
        self.count += piece.count
        self.owner += map(table.__getitem__, piece.owner)
        self.sources += map(table.__getitem__, piece.sources)
        self.shown += [base + number for number in piece.shown]
        moved = [number for number, _ in piece.shared]
        if piece.before is not None:
            moved.append(piece.before)
            self.output[before] |= piece.output[piece.before]
        for number in moved:
            if table[number] != base + number:
                self.uses[table[number]] += piece.uses[number]
        return table

    def crossing(self) -> set[int]:
        """The tensors that have a source on another device."""
        found: set[int] = set()
        for piece, base, before in self.stands:
            devices = self.device[base : base + len(piece.device)]
            found.update([base + number for number in piece.crossing(devices, None if before < 0 else self.device[before])])
        return found

    def add(self, like: int, bytes_: Bytes, device: int, *, output: bool) -> int:
        """A copy of `like` on `device` that nothing uses yet; its number."""
        self.device.append(device)
        self.form.append(self.form[like])
        self.bytes.append(bytes_)
        self.weight.append(False)
        self.external.append(False)
        self.output.append(output)
        self.owner.append(len(self.owner))
        self.uses.append(0)
        return len(self.device) - 1

    @staticmethod
    def _spliced(target: Run, runs: Sequence[Run], table: Sequence[int], left: Run) -> Run:
        """`target`, continued with `runs` and between them with what is `left` of the piece before."""
        target.add(runs[0], table)
        for run in runs[1:]:
            target.nodes += left.nodes
            target.inputs += left.inputs
            target.add(run, table)
        return target


def _device(tensor: Tensor) -> int | None:
    """Where it is forced to, that of the memory that it writes to, or else of its weights."""
    if tensor.device is not None or tensor.op == "leaf":
        return HOST if tensor.device is None else tensor.device
    if tensor.root is not None and tensor.root.external:
        return tensor.root.device if tensor.computed_on_gpu else HOST
    weight = None if tensor.op in _NOT_BY_WEIGHT else next((source for source in tensor.sources if source.weight), None)
    if weight is None:
        return None
    if not tensor.computed_on_gpu:
        return HOST
    return FIRST if weight.device == HOST and tensor.rows >= OFFLOAD_LEAST_ROWS else weight.device

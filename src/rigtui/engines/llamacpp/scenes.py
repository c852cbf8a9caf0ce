"""Which blocks of a model are drawn to learn what one device computes? Pure.

Only a few of each device: the first ones, the last, and those that follow other kinds of block than any before; after that the allocator
is where it was.
"""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct

from rigtui.engines.llamacpp.graph.drawing import BlockAt, Elsewhere
from rigtui.engines.llamacpp.graph.model_graph import ModelGraph
from rigtui.engines.llamacpp.placement import HOST, Placement
from rigtui.engines.llamacpp.weights import Override, Part, is_moved

_REGULAR = 2
"""Kinds of block that models with a pattern have."""
_REACH_OF_STATES = 3
"""A state is loaded before the block before is done, and what is left of that block then follows it to its device."""


class Scene(Struct, frozen=True):
    """Some blocks of a model and where they lie, to be drawn; devices are numbered anew."""

    blocks: tuple[BlockAt, ...]
    head: int | None
    """Device of the output head; None: the last block is not the model's last."""
    gpus: int
    device: int
    """The one that this is about."""


class _Away(Struct, frozen=True):
    """Tensors of a block that lie elsewhere."""

    number: int
    """The same for the same tensors in the same places; 0: none."""
    tensors: Elsewhere


_NOTHING_AWAY = _Away(0, ())


class _Stand(Struct, frozen=True):
    """A block and the devices that have a part of it."""

    block: BlockAt
    devices: tuple[int, ...]


class Scenes:
    """The scenes of one model under settings that differ in nothing but the context."""

    def __init__(self, graph: ModelGraph, overrides: tuple[Override, ...], *, cache_in_ram: bool) -> None:
        self.graph = graph
        self.cache_in_ram = cache_in_ram
        layers = range(graph.model.layers)
        self.regular = len(set(graph.kinds)) <= _REGULAR
        """Whether blocks follow each other in a pattern that soon returns; where tensors lie depends on all that went before."""
        sizes = [sum(t.bytes for t in graph.stored.get(layer, {}).values()) for layer in layers]
        self.largest = {graph.kinds[layer]: layer for layer in sorted(layers, key=sizes.__getitem__)}
        """By kind of block: the one that weighs most."""
        self.reach = 1 if graph.model.recurrent is None else _REACH_OF_STATES
        """How far a block is felt by others."""
        self.pinned = {layer: found for layer in layers if overrides and (found := self._pinned(layer, overrides))}
        self.numbers: dict[Elsewhere, int] = {(): 0}
        self.parts: dict[tuple[int, Part, int, int], _Away] = {}
        """By kind of block, the part that stays, where the rest is, and where the block is."""
        self.last: tuple[Placement, list[_Stand]] | None = None
        """The placement that was looked at last: it is asked about every device."""

    def of(self, placement: Placement, device: int) -> Scene:
        """The blocks that `device` computes for, with a neighbour on either side; devices are renamed by the order of their appearance."""
        stands, head = self._stands(placement), placement.home[-1]
        helps = device == 0  # with weights that lie in RAM
        own = [index for index, stand in enumerate(stands) if device in stand.devices or (helps and HOST in stand.devices)]
        picked = {index + step for index in own for step in range(-self.reach, self.reach + 1)}
        if head == device or (helps and head == HOST):
            picked.add(len(stands) - 1)
        chosen = [stand for index, stand in enumerate(stands) if index in picked]
        ends = len(stands) - 1 in picked
        labels: dict[int, int] = {}
        if any(HOST in stand.devices for stand in chosen) or (ends and head == HOST):
            labels[0] = 0
        for home in (*(home for stand in chosen for home in stand.devices), *((head,) if ends else ()), device):
            if home != HOST and home not in labels:
                labels[home] = len(labels)
        labels[HOST] = gpus = len(labels)
        return Scene(tuple(stand.block.on(labels) for stand in chosen), labels[head] if ends else None, gpus, labels[device])

    def on_one_gpu(self) -> Scene:
        """One block of each kind: the inputs are those of the whole model."""
        return Scene(tuple(BlockAt(layer, 0, 0) for layer in self.one_of_each()), 0, 1, 0)

    def in_ram(self) -> Scene:
        """The model without a GPU. The last block alone would say little: it is computed for the few tokens that give an output."""
        layers = _telling(tuple(self.graph.kinds)) if self.regular else range(self.graph.model.layers)
        return Scene(tuple(BlockAt(layer, 0, 0) for layer in layers), 0, 0, 0)

    def one_of_each(self) -> list[int]:
        """The first block of each kind."""
        first: dict[int, int] = {}
        for layer, kind in enumerate(self.graph.kinds):
            first.setdefault(kind, layer)
        return list(first.values())

    def _stands(self, placement: Placement) -> list[_Stand]:
        """Of every row of neighbours on one device those that are drawn."""
        last = self.last  # another thread may look at another placement
        if last is not None and last[0] is placement:
            return last[1]
        found: list[_Stand] = []
        start, count = 0, self.graph.model.layers
        while start < count:
            home = placement.home[start]
            end = start + 1
            while end < count and placement.home[end] == home:
                end += 1
            found += self._row(placement, home, range(start, end))
            start = end
        self.last = placement, found
        return found

    def _row(self, placement: Placement, home: int, layers: range) -> list[_Stand]:
        # Of whole blocks in RAM each weight is copied, and leaves a hole of its size.
        table = self.graph.sized if home == HOST else self.graph.kinds
        kinds = table[layers.start : layers.stop]
        away = [self._away(layer, home, placement) for layer in layers] if self.pinned or placement.moved else [_NOTHING_AWAY] * len(layers)
        rows = tuple([(kind, one.number) for kind, one in zip(kinds, away, strict=True)])
        cache = HOST if self.cache_in_ram else home
        found = []
        # With a state the holes wander from block to block where something is copied from RAM, and copies are as large as they are. Of
        # what `--fit` moves there they are left out: it is asked often, and they changed nothing in hundreds of its answers.
        copied = home == HOST or any(layer in self.pinned for layer in layers)
        telling = self.regular and not (copied and self.graph.model.recurrent)
        for index in _telling(rows) if telling else range(len(rows)):
            one, layer = away[index], layers[index]
            if one.number and rows.count(rows[index]) > 1:
                layer = self.largest[self.graph.kinds[layer]]  # it stands for all of its kind, and parts of it are copied
            devices = (home, *dict.fromkeys(where for _, where in one.tensors))
            found.append(_Stand(BlockAt(layer, home, cache, one.tensors), devices))
        return found

    def _away(self, layer: int, home: int, placement: Placement) -> _Away:
        """Tensors of a block that do not lie where the block does."""
        part, where = placement.moved.get(layer, (Part.NOTHING, HOST))
        pinned = self.pinned.get(layer)
        if pinned is None and (part == Part.NOTHING or home == HOST):
            return _NOTHING_AWAY
        key = self.graph.kinds[layer], part, where, home
        if pinned is None and key in self.parts:
            return self.parts[key]
        found = dict(pinned or {})
        for name in self.graph.stored.get(layer, {}):
            if is_moved(part, name):
                found.setdefault(name, where)
        tensors = tuple((name, device) for name, device in found.items() if device != home)
        made = _Away(self.numbers.setdefault(tensors, len(self.numbers)), tensors)
        if pinned is None:
            self.parts[key] = made
        return made

    def _pinned(self, layer: int, overrides: tuple[Override, ...]) -> dict[str, int]:
        """Where overrides put tensors of a block; the first that matches wins."""
        found: dict[str, int] = {}
        for name in self.graph.stored.get(layer, {}):
            full = f"blk.{layer}.{name}"
            device = next((override.device for override in overrides if re.search(override.pattern, full)), None)
            if device is not None:
                found[name] = device
        return found


@lru_cache(maxsize=4096)
def _telling(kinds: tuple[object, ...]) -> tuple[int, ...]:
    """The first block, the last one, and those that stand after two others as none did before."""
    seen: set[object] = set()
    kept = []
    before: tuple[object, object] = (None, None)
    for index, kind in enumerate(kinds):
        if (before, kind) not in seen or index == len(kinds) - 1:
            kept.append(index)
        seen.add((before, kind))
        before = before[1], kind
    return tuple(kept)

"""Every way a user who knows llama.cpp could run a model on a rig, fastest first: cards, their orders, splits to the layer, layers or
experts in RAM, and what `--fit` makes of orders and targets.

There are far too many to load. A token's time is arithmetic (speed_trials.py), so all of them are put in order first; only those at
the head, which the bytes per card do not rule out, are given to the engine.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from engine.speed_trials import Pair, Way, foreseen, reads
from rigtui.engines.llamacpp.arguments import read_command
from rigtui.engines.llamacpp.kv import kv_per_layer
from rigtui.engines.llamacpp.weights import Part, plain_table
from rigtui.text import MIB
from tools.make_gguf import model

HEADS = 400
"""Of the splits of one order of cards so many are looked at closely."""
MORE_IN_RAM = 3
"""Layers in RAM beyond the fewest with which a split is not ruled out."""
UNSURE = 256 * MIB
"""How much rigtui's figure for a card may be too large with layers in RAM; the engine has the last word there."""
RAISED = (0.25, 0.5, 0.75)
"""Targets by which cards are held back from `--fit`, as a share of what is free there."""


@dataclass(frozen=True)
class _Split:
    order: tuple[int, ...]
    layers: tuple[int, ...]
    """Per card of the order; the head counts as one."""
    in_ram: int
    """Blocks from the first one on, or their experts."""


def ways(pair: Pair, demand: Sequence[str], *, most: int) -> list[Way]:
    """The `most` fastest by arithmetic that leave the headroom, fastest first, one of each spread, and after them ever slower ones.

    `demand`: arguments that all have in common, what is wanted of the model.
    """
    found: dict[object, Way] = {}
    for arguments in _fitted(pair):
        way = foreseen(pair, (*demand, *arguments))
        if way.short <= 0:
            found.setdefault(way.spread, way)
    for _, split in _splits(pair, demand):
        way = foreseen(pair, (*demand, *_written(pair, split)))
        if way.short <= (UNSURE if split.in_ram else 0):
            found.setdefault(way.spread, way)
        if sum(1 for one in found.values() if one.seconds <= way.seconds) >= most:
            break
    return sorted(found.values(), key=lambda way: way.seconds)


def _names(order: Sequence[int]) -> str:
    return ",".join(f"CUDA{card}" for card in order)


def _fitted(pair: Pair) -> Iterator[tuple[str, ...]]:
    """Cards and targets for `--fit`: each alone, and every order of several with none, one or all but one of them held back."""
    needed = [-(-size // MIB) for size in pair.headroom]
    for card in range(len(pair.cards)):
        yield ("-dev", _names([card]), "-sm", "none", "-fitt", str(needed[card]))
    for size in range(2, len(pair.cards) + 1):
        for order in itertools.permutations(range(len(pair.cards)), size):
            held = [()] + [(card,) for card in order] + ([tuple(c for c in order if c != card) for card in order] if size > 2 else [])
            for cards, share in itertools.product(held, RAISED):
                if cards or share == RAISED[0]:
                    targets = [max(needed[c], int(pair.cards[c].free_mib * share) if c in cards else 0) for c in order]
                    yield ("-dev", _names(order), "-fitt", ",".join(map(str, targets)))


def _written(pair: Pair, split: _Split) -> tuple[str, ...]:
    """A split by hand as arguments."""
    mixture = model(pair.model).experts is not None
    blocks = model(pair.model).layers + model(pair.model).mtp_layers
    where = ("-dev", _names(split.order), "-fit", "off", "-ngl", str(blocks + 1 - (0 if mixture else split.in_ram)))
    where += ("-ts", ",".join(map(str, split.layers))) if len(split.order) > 1 else ("-sm", "none")
    return where + (("-ncmoe", str(split.in_ram)) if mixture and split.in_ram else ())


def _splits(pair: Pair, demand: Sequence[str]) -> list[tuple[float, _Split]]:
    """Splits by hand that weights and cache do not rule out, with the seconds that they take, fastest first."""
    found: list[tuple[float, _Split]] = []
    for size in range(1, len(pair.cards) + 1):
        for order in itertools.permutations(range(len(pair.cards)), size):
            fewest = None
            for in_ram in range(model(pair.model).layers + 1):
                here = _heads(pair, tuple(demand), order, in_ram)
                fewest = in_ram if here and fewest is None else fewest
                found += here
                if fewest is not None and (in_ram >= fewest + MORE_IN_RAM or not fewest):
                    break
    return sorted(found, key=lambda one: one[0])


def _heads(pair: Pair, demand: tuple[str, ...], order: tuple[int, ...], in_ram: int) -> list[tuple[float, _Split]]:
    held, read, read_in_ram = _per_slot(pair, demand, in_ram)
    room = [pair.cards[card].free_mib * MIB - pair.cards[card].context_mib * MIB - pair.headroom[card] for card in order]
    first = 0 if model(pair.model).experts else in_ram
    if held[-1] > sum(room):
        return []
    edges = _edges(first, len(held) - 1, len(order))
    fits = np.ones(len(edges), bool)
    taken = np.full(len(edges), read_in_ram / pair.ram_gb_s)
    for position, card in enumerate(order):
        fits &= held[edges[:, position + 1]] - held[edges[:, position]] <= room[position]
        taken += (read[edges[:, position + 1]] - read[edges[:, position]]) / pair.cards[card].bandwidth_gb_s
    best = heapq.nsmallest(HEADS, np.flatnonzero(fits), key=taken.__getitem__)
    return [(float(taken[i]) / 1e9, _Split(order, tuple(map(int, np.diff(edges[i]))), in_ram)) for i in best]


@cache
def _per_slot(pair: Pair, demand: tuple[str, ...], in_ram: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Up to every slot (blocks, and last the head) the bytes that lie on cards and those that a token reads there; what it reads in RAM."""
    shape = model(pair.model)
    table, (sparse, dense) = plain_table(shape), reads(shape)
    settings = read_command(["llama-server", "-m", "x.gguf", *demand]).settings
    cache_bytes = kv_per_layer(shape, settings, settings.context or shape.context_trained)
    held = [layer.whole.gpu + kv for layer, kv in zip(table.layers, cache_bytes, strict=True)] + [0] * table.unloaded + [table.output.gpu]
    read = [*map(sum, zip(sparse, dense, strict=True))]
    elsewhere = 0.0
    for block in range(in_ram):
        moved = sparse[block] if shape.experts else read[block]
        held[block] -= table.layers[block].moved[Part.EXPERTS].gpu if shape.experts else held[block]
        read[block] -= moved
        elsewhere += moved
    return np.cumsum([0, *held]), np.cumsum([0.0, *read]), elsewhere


@cache
def _edges(first: int, slots: int, cards: int) -> np.ndarray:
    """Where each card's share begins and the last one's ends, in every division that gives each card a slot at least."""
    chosen = list(itertools.combinations(range(first + 1, slots), cards - 1))
    inner = np.array(chosen, int).reshape(len(chosen), cards - 1)
    return np.hstack([np.full((len(inner), 1), first), inner, np.full((len(inner), 1), slots)])

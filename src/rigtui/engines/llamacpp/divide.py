"""Divisions that rigtui writes itself, as `-ts` and `-ncmoe`, where `--fit` cannot reach a good one. Pure.

Blocks that predict several tokens (MTP) count in the split but are not loaded, and `--fit` counts without them (common/fit.cpp of llama.cpp
0.5.0-dev, `hp_ngl`): whenever it moves anything, as many of the model's first blocks stay in RAM, whole and with their cache.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterator, Sequence
from itertools import accumulate, pairwise, permutations

from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.llamacpp.fit import met_targets
from rigtui.engines.llamacpp.footprint import needs
from rigtui.engines.llamacpp.search import Candidate, Search
from rigtui.engines.llamacpp.weights import Part
from rigtui.planning.speed import Stage, decode_tok_s
from rigtui.rig.rig import Gpu

WORTH_WRITING = 1.02
"""Expected speed-up from which a division of rigtui's own is taken: llama.cpp then moves nothing itself when memory is short."""
SPLIT, EXPERTS = "--tensor-split", "--n-cpu-moe"
TRIES = 5
MOST_PERMUTED = 4
"""Up to so many cards every order is looked at: whole layers pack into some without waste. Of more the orders by speed."""
PROMISING = 2
"""Orders that are judged beside those by speed and the given one."""


def whole(search: Search, cards: Sequence[Gpu], kv: tuple[str, str], context: int, *, free_order: bool = True) -> Candidate | None:
    """All of it on these cards with the wanted headroom, the fast ones filled first; None where that cannot be, or `--fit` can do it.

    A `-ncmoe` of blocks that have no experts moves nothing, but llama.cpp then keeps no copies for pipeline parallelism
    (llama-context.cpp of 0.5.0-dev): where these are what does not fit, a prompt is read more slowly instead.
    """
    if not search.model.mtp_layers or SPLIT not in search.offered or len(cards) < 2:
        return None
    found = _Division(search, kv, context, range(1)).best(cards, free_order)
    if found is None and EXPERTS in search.offered and not search.table.layers[0].moved[Part.EXPERTS].gpu:
        return _Division(search, kv, context, range(1, 2)).best(cards, free_order)
    return found


def spilled(search: Search, cards: Sequence[Gpu], kv: tuple[str, str], context: int, *, free_order: bool = True) -> Candidate | None:
    """The experts of as few blocks in RAM as can be, everything else on the cards; None where `--fit` can do that."""
    model = search.model
    if not model.mtp_layers or model.experts is None or not search.offered >= {SPLIT, EXPERTS}:
        return None
    return _Division(search, kv, context, range(1, model.layers + 1)).best(cards, free_order)


class _Line(Struct, frozen=True):
    """Cards in engine order: those before one are filled from the first on, those behind it from the last, and it is given the rest."""

    cards: tuple[Gpu, ...]
    rest: int


class _Filled(Struct, frozen=True):
    """What each card of a line is given, in layers (the head as one), with the experts of the first blocks in RAM."""

    in_ram: int
    shares: tuple[int, ...]


class _Division:
    """One model with one cache, divided among cards in whole layers."""

    def __init__(self, search: Search, kv: tuple[str, str], context: int, in_ram: range) -> None:
        """`in_ram`: numbers of blocks whose experts may lie in RAM, the wanted one first."""
        self.search = search
        self.kv = kv
        self.context = context
        self.in_ram = in_ram
        self.need = needs(search.model, search.table, search.settings((), kv, context), context * search.want.slots)
        self.sums: dict[tuple[int, bool], list[int]] = {}
        self.tried: set[tuple[tuple[Gpu, ...], _Filled]] = set()
        self.least = self.need.compute.least(self.need.context, pipeline=False)
        self.first, self.other = self.least, self.least
        """The largest compute buffer seen of a line's first card, which holds what is copied from RAM, and of the others."""

    def best(self, cards: Sequence[Gpu], free_order: bool) -> Candidate | None:
        """The fastest that is found: in the order of `cards`, and where that is free in others."""
        lines = [_Line(tuple(cards), rest) for rest in range(len(cards))]
        if free_order:
            lines += self._by_speed(cards)
        found = {line: self.judged(line) for line in dict.fromkeys(lines)}
        if free_order and 2 < len(cards) <= MOST_PERMUTED:
            for line in self._promising(cards, found):
                found[line] = self.judged(line)
        return max((one for one in found.values() if one is not None), key=lambda one: one.decode_tok_s or 0.0, default=None)

    @staticmethod
    def _by_speed(cards: Sequence[Gpu]) -> list[_Line]:
        """The fast card last, where the head is, or first, where blocks are whose experts lie in RAM; of both a token reads all."""
        slow_first = tuple(sorted(cards, key=lambda card: card.bandwidth_gb_s or 0.0))
        return [_Line(slow_first, 0), _Line(slow_first[::-1], len(cards) - 1)]

    def _promising(self, cards: Sequence[Gpu], known: Container[_Line]) -> list[_Line]:
        """Of the orders that are not `known` those whose division is the fastest on paper."""
        lines = [_Line(order, rest) for order in permutations(cards) for rest in range(len(cards))]
        others = [line for line in lines if line not in known]
        rated = [(self._tok_s(line, filled), index) for index, line in enumerate(others) if (filled := self._filled(line))]
        return [others[index] for _, index in sorted(rated, reverse=True)[:PROMISING]]

    def judged(self, line: _Line) -> Candidate | None:
        """This line with the fewest experts in RAM with which every card keeps its headroom; None where none does."""
        search = self.search
        settings = search.settings(line.cards, self.kv, self.context)
        self.first, self.other = self.least, self.least
        for _ in range(TRIES):
            filled = self._filled(line)
            if filled is None:
                return None
            if (line.cards, filled) in self.tried:
                return None  # another line came to the same
            self.tried.add((line.cards, filled))
            shares = filled.shares if len(line.cards) > 1 else None
            found = search.judged(line.cards, replace(settings, experts_in_ram=filled.in_ram, tensor_split=shares))
            if not any(found.short):
                return search.rated(replace(self._kept(found), written=True)) if found.status != "no_fit" else None
            # What is computed where was not known before the layers had a place.
            first, *others = (use.compute for use in found.fitted.footprint.devices)
            self.first, self.other = max(self.first, first), max(self.other, *others, 0)
        return None

    def _kept(self, found: Candidate) -> Candidate:
        """`found` with targets that `--fit` sees met: on paper it measures more than is then allocated, and would say that it gives up."""
        search = self.search
        if found.fitted.status != "failed" or search.own_targets:
            return found
        lower = met_targets(search.model, search.table, search.devices(found.gpus), found.settings)
        return search.judged(found.gpus, replace(found.settings, fit_target_mib=lower))

    def _filled(self, line: _Line) -> _Filled | None:
        """Each card in turn given as much as it holds, with as few experts in RAM as that allows."""
        taken = zip(self.search.devices(line.cards), self.search.headroom(line.cards), strict=True)
        rooms = [device.free_bytes - headroom - self.need.table.per_device - self.other for device, headroom in taken]
        rooms[0] += self.other - self.first
        for in_ram in self.in_ram:
            upto = self._upto(in_ram)
            if upto[-1] <= sum(rooms) and (shares := _fill(upto, rooms, line.rest)):
                return _Filled(in_ram, shares)
        return None

    def _upto(self, in_ram: int, *, read: bool = False) -> list[int]:
        """Bytes on cards (`read`: of weights, for one token) of all slots before the first, the second …: the blocks, those that are not
        loaded too, and last the head.
        """
        if (in_ram, read) not in self.sums:
            self.sums[in_ram, read] = list(accumulate(self._slots(in_ram, read), initial=0))
        return self.sums[in_ram, read]

    def _slots(self, in_ram: int, read: bool) -> Iterator[int]:
        table, experts = self.need.table, self.search.model.experts
        unread = 1 - experts.used / experts.count if experts and experts.count and read else 0.0
        for block, (layer, kv) in enumerate(zip(table.layers, self.need.kv, strict=True)):
            sparse = layer.moved[Part.EXPERTS].gpu
            yield layer.whole.gpu - int(sparse * (1 if block < in_ram else unread)) + (0 if read else kv)
        yield from (0,) * table.unloaded
        yield table.output.gpu

    def _tok_s(self, line: _Line, filled: _Filled) -> float:
        """Tokens per second on paper, the cache left out."""
        upto, end = self._upto(filled.in_ram, read=True), 0
        stages = []
        for card, share in zip(line.cards, filled.shares, strict=True):
            stages.append(Stage(upto[end + share] - upto[end], card.bandwidth_gb_s, share))
            end += share
        in_ram = self._upto(0, read=True)[-1] - upto[-1]
        stages.append(Stage(in_ram, self.search.rig.ram_bandwidth_gb_s, filled.in_ram, ram=True))
        return decode_tok_s(stages, sparse=True) or 0.0


def _fill(upto: Sequence[int], rooms: Sequence[int], rest: int) -> tuple[int, ...] | None:
    """How many slots go into each room, in their order, when each takes as many as it holds and the one numbered `rest` what is left;
    None where that is too much for it or a room stays empty.
    """
    if min(rooms) <= 0:
        return None
    edges = [0] * (len(rooms) + 1)
    edges[-1] = len(upto) - 1
    for index in range(rest):
        edges[index + 1] = bisect_right(upto, upto[edges[index]] + rooms[index]) - 1
    for index in range(len(rooms) - 1, rest, -1):
        edges[index] = bisect_left(upto, upto[edges[index + 1]] - rooms[index])
    taken = [upto[end] - upto[start] for start, end in pairwise(edges)]
    if min(taken) <= 0 or taken[rest] > rooms[rest]:
        return None
    return tuple(end - start for start, end in pairwise(edges))

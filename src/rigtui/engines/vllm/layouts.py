"""Which cards could serve together, in which order: every layout worth a look. Pure.

Rank r of vLLM is card r of CUDA_VISIBLE_DEVICES: stage by stage, and within a stage the tensor-parallel ranks (vLLM 0.33,
config/model.py:1715).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from rigtui.engines.vllm.rules import capability, divisors
from rigtui.models.model import Model
from rigtui.rig.rig import Gpu
from rigtui.text import GIB

ALIKE = 0.02
"""Cards whose totals differ by less are alike."""


ALIKE_BYTES = GIB // 2
"""Sizes this near count as one when the cards of a pipeline are chosen: then the faster card is taken."""


class Layout(Struct, frozen=True, kw_only=True):
    """Cards by stage; the cards of one stage share its layers by tensor parallelism."""

    stages: tuple[tuple[Gpu, ...], ...]

    @property
    def cards(self) -> tuple[Gpu, ...]:
        """All of them in rank order."""
        return tuple(card for stage in self.stages for card in stage)

    @property
    def tensor_parallel(self) -> int:
        """Ranks of a stage."""
        return len(self.stages[0])


def kind(card: Gpu) -> tuple[object, ...]:
    """What makes two cards the same to a plan."""
    return card.name, card.total_bytes, card.free_bytes, card.runtime_bytes, card.display, card.compute_capability


def alike(cards: Sequence[Gpu]) -> bool:
    """Whether tensor parallelism wastes nothing of any card: one name, one size."""
    totals = [card.total_bytes or 0 for card in cards]
    return len({card.name for card in cards}) == 1 and max(totals) - min(totals) <= ALIKE * max(totals)


def alone(cards: Sequence[Gpu]) -> list[Layout]:
    """One card each, one of every kind."""
    return [Layout(stages=((card,),)) for card in _distinct(cards)]


def groups(model: Model, cards: Sequence[Gpu]) -> list[Layout]:
    """Tensor-parallel groups of alike cards, of every size over which the model divides, each of the roomiest cards of a kind."""
    found = []
    for name in dict.fromkeys(card.name for card in cards):
        same = sorted((card for card in cards if card.name == name), key=lambda card: (-(card.free_bytes or 0), card.index))
        for size in divisors(model, len(same)):
            group = same[:size]
            if alike(group):
                found.append(Layout(stages=(tuple(sorted(group, key=lambda card: card.index)),)))
    return found


def pipelines(cards: Sequence[Gpu], stages: int) -> Iterator[Layout]:
    """Pipelines of so many single cards, with the orders that can differ.

    One utilization holds for all: a set of cards is as good as its fullest member allows. So for every card as the fullest, the largest
    of those that are not fuller are taken, the faster of two as large; no other set gives a stage half a GiB more.
    """
    seen: set[tuple[object, ...]] = set()
    for limit in sorted({_share(card) for card in cards}, reverse=True):
        eligible = sorted((card for card in cards if _share(card) >= limit), key=_largest_first)
        chosen = sorted(eligible[:stages], key=lambda card: card.index)
        key = tuple(sorted(map(repr, map(kind, chosen))))
        if len(chosen) == stages and key not in seen:
            seen.add(key)
            yield from orders(chosen)


def orders(cards: Sequence[Gpu]) -> Iterator[Layout]:
    """The orders of a pipeline that can differ: who is first (embedding) and who is last (head).

    vLLM picks its kernels by the first card, so that is one of the least compute capability.
    """
    known = [found for card in cards if (found := capability(card)) is not None]
    may_lead = [card for card in cards if not known or capability(card) in (None, min(known))]
    seen: set[tuple[object, ...]] = set()
    for first in may_lead:
        for last in reversed(cards):
            if last is first or (key := (kind(first), kind(last))) in seen:
                continue
            seen.add(key)
            middle = [card for card in cards if card is not first and card is not last]
            yield Layout(stages=tuple((card,) for card in (first, *middle, last)))


def _largest_first(card: Gpu) -> tuple[float, float, int]:
    return -round((card.total_bytes or 0) / ALIKE_BYTES), -(card.bandwidth_gb_s or 0.0), card.index


def _share(card: Gpu) -> float:
    return (card.free_bytes or 0) / (card.total_bytes or 1)


def _distinct(cards: Sequence[Gpu]) -> list[Gpu]:
    kinds = {kind(card): card for card in reversed(cards)}
    return list(reversed(kinds.values()))

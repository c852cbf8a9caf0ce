"""Has `--fit` fill the fast cards first: it divides by free memory alone, and `-ts` would switch it off. Pure.

Two levers move it: the order of the cards, and a target that a slow card cannot keep in the default split, so that `--fit` fills again,
from the last card to the first (of a mixture, whole layers from the first to the last; common/fit.cpp of llama.cpp 0.5.0-dev).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from rigtui.engines.llamacpp.fit import refill
from rigtui.engines.llamacpp.search import Candidate, Search
from rigtui.engines.llamacpp.settings import Settings
from rigtui.rig.rig import Gpu
from rigtui.text import MIB

WORTH_STEERING = 1.02
"""Expected speed-up from which the plainer division by free memory is given up. Where llama.cpp's own target refuses that division,
any: nobody shall be faster with no target at all.
"""
OWN_TARGET = 1024 * MIB
"""What `--fit` leaves free without `--fit-target`."""
TRIES = 6
STEP_MIB = 32
HELD_BACK = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Layers by which a slow card is held back less than all that is left over: whole layers never fit the others to the byte."""


def steered(search: Search, candidate: Candidate, order: Sequence[Gpu] | None = None) -> Candidate | None:
    """The same with the fast cards filled first, when that is worth it; `order` is that of the cards where it is the user's."""
    speeds = [card.bandwidth_gb_s for card in candidate.gpus]
    if len(candidate.gpus) < 2 or not candidate.in_vram or None in speeds or len(set(speeds)) == 1:
        return None
    kept = all(after >= OWN_TARGET for after in candidate.free_after)
    least = (search.rated(candidate).decode_tok_s or 0.0) * (WORTH_STEERING if kept else 1.0)
    if order is not None and tuple(order) != candidate.gpus:
        least = 0.0  # another order is none that the user asked for
    better = [found for found in _steered(search, candidate, order) if (found.decode_tok_s or 0.0) > least]
    return max(better, key=lambda found: found.decode_tok_s or 0.0, default=None)


def _steered(search: Search, candidate: Candidate, order: Sequence[Gpu] | None) -> Iterator[Candidate]:
    slow_first = sorted(order or candidate.gpus, key=_speed)
    fast_first = slow_first[::-1] if order is None else sorted(order, key=_speed, reverse=True)
    found = []
    # Dense layers are filled from the last card on, whole layers of a mixture from the first; the last has the head.
    if order is None or slow_first == list(order):
        found.append((_filled if search.model.experts is None else _held_back)(search, candidate, slow_first))
    if order is None or fast_first == list(order):
        found.append(_filled(search, candidate, fast_first))
    yield from (search.rated(replace(one, steered=True)) for one in found if one is not None)


def _speed(card: Gpu) -> float:
    return card.bandwidth_gb_s or 0.0


def _filled(search: Search, candidate: Candidate, cards: Sequence[Gpu]) -> Candidate | None:
    """Targets for this order that make `--fit` fill each card in turn to its headroom."""
    settings = replace(candidate.settings, fit_target_mib=tuple(-(-size // MIB) for size in search.headroom(cards)))
    plain = search.judged(cards, settings)
    for attempt in range(TRIES):
        found = search.judged(cards, settings) if plain.fitted.fills else _refused(search, plain, settings)
        if _as_good(found, candidate):
            return found
        # Pipeline parallelism comes on with the last layer and takes what was not counted while the fast card was filled: leave more
        # there, until it is a layer less.
        if not any(found.short):
            return None
        more = STEP_MIB << attempt
        short = zip(settings.fit_target_mib, found.short, strict=True)
        settings = replace(
            settings, fit_target_mib=tuple(target + (max(-(-size // MIB), more) if size > 0 else 0) for target, size in short)
        )
    return None


def _refused(search: Search, plain: Candidate, settings: Settings) -> Candidate:
    """These settings with one card's target so high that `plain`, the default split, is refused, and as far from changing what is then
    filled. That card is the one which the filling leaves the most of what the default split takes.
    """
    freed = [after - before for before, after in zip(plain.free_after, _left(search, plain.gpus, settings), strict=True)]
    card = max(range(len(freed)), key=freed.__getitem__)
    return _asked(search, plain.gpus, settings, card, plain.free_after[card] + max(freed[card], 0) // 2)


def _held_back(search: Search, candidate: Candidate, cards: Sequence[Gpu]) -> Candidate | None:
    """All that is left over asked for on the first card, so that the others are filled although it comes before them.

    Where filling again cannot hold it all (`--fit` forgets a block of models with MTP blocks), the default split in this order, which
    gives the last card the head at least.
    """
    headroom = search.headroom(cards)
    settings = replace(candidate.settings, fit_target_mib=tuple(-(-size // MIB) for size in headroom))
    over = sum(_left(search, cards, settings)) - sum(headroom)
    layer = sum(use.total for use in candidate.fitted.footprint.devices) // (search.model.layers + 1)
    if search.model.mtp_layers == 0:
        for layers in HELD_BACK:
            found = _asked(search, cards, settings, 0, headroom[0] + max(over - int(layers * layer), 0))
            if _as_good(found, candidate):
                return found
    plain = search.judged(cards, settings)
    return plain if _as_good(plain, candidate) else None


def _left(search: Search, cards: Sequence[Gpu], settings: Settings) -> list[int]:
    """Bytes that are left on every card when `--fit` fills them to the targets."""
    devices = search.devices(cards)
    filled = refill(search.model, search.table, devices, settings)
    return [device.free_bytes - use.total for device, use in zip(devices, filled.footprint.devices, strict=True)]


def _asked(search: Search, cards: Sequence[Gpu], settings: Settings, card: int, size: int) -> Candidate:
    """What comes of a target of `size` bytes, or just above, on one card."""
    targets = list(settings.fit_target_mib)
    targets[card] = size // MIB + 1
    return search.judged(cards, replace(settings, fit_target_mib=tuple(targets)))


def _as_good(found: Candidate, candidate: Candidate) -> bool:
    return found.in_vram and found.status == candidate.status

"""Has `--fit` fill the fast cards first: it divides by free memory alone, and `-ts` would switch it off. Pure.

Two levers move it: the order of the cards, and a target that a slow card cannot keep in the default split, so that `--fit` fills again,
from the last card to the first (of a mixture, whole layers from the first to the last; common/fit.cpp of llama.cpp 0.5.0-dev).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from rigtui.engines.llamacpp.fit import refill
from rigtui.engines.llamacpp.search import Candidate, Search
from rigtui.rig.rig import Gpu
from rigtui.text import MIB

WORTH_STEERING = 1.02
"""Expected speed-up from which the plainer division by free memory is given up."""
TRIES = 6
STEP_MIB = 32
SLACK_MIB = 16
"""Asked for less than is left, so that rounding in the engine cannot push a layer into RAM."""


def steered(search: Search, candidate: Candidate) -> Candidate | None:
    """The same with the fast cards filled first, when that is worth it."""
    speeds = [card.bandwidth_gb_s for card in candidate.gpus]
    if len(candidate.gpus) < 2 or not candidate.in_vram or None in speeds or len(set(speeds)) == 1:
        return None
    before = search.rated(candidate).decode_tok_s or 0.0
    slow_first = sorted(candidate.gpus, key=lambda card: card.bandwidth_gb_s or 0.0)
    # Dense layers are filled from the last card on, whole layers of a mixture from the first.
    orders = (slow_first, slow_first[::-1]) if search.model.experts is None else (slow_first[::-1], slow_first)
    found = [_steer(search, candidate, order) for order in orders]
    better = [c for c in found if c is not None and (c.decode_tok_s or 0.0) >= before * WORTH_STEERING]
    return max(better, key=lambda c: c.decode_tok_s or 0.0, default=None)


def _steer(search: Search, candidate: Candidate, cards: Sequence[Gpu]) -> Candidate | None:
    """Targets for this order that make `--fit` fill each card in turn, found by filling and looking what is left."""
    headroom, devices = search.headroom(cards), search.devices(cards)
    targets = [-(-size // MIB) for size in headroom]
    for attempt in range(TRIES):
        filled = refill(search.model, search.table, devices, replace(candidate.settings, fit_target_mib=tuple(targets)))
        left = [device.free_bytes - use.total for device, use in zip(devices, filled.footprint.devices, strict=True)]
        # What a card keeps anyway may as well be asked for: only then is the default split refused.
        asked = [max(target, size // MIB - SLACK_MIB) for target, size in zip(targets, left, strict=True)]
        found = search.judged(cards, replace(candidate.settings, fit_target_mib=tuple(asked)))
        if found.in_vram and found.status == candidate.status:
            return search.rated(replace(found, steered=True))
        # Pipeline parallelism comes on with the last layer and takes what was not counted while the fast card was filled: leave more
        # there, until it is a layer less.
        if not any(found.short):
            return None
        more = STEP_MIB << attempt
        targets = [target + (max(-(-size // MIB), more) if size > 0 else 0) for target, size in zip(targets, found.short, strict=True)]
    return None

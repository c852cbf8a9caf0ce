"""The user's changes to slots, cards, headroom and micro-batch: how each key changes what is chosen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rigtui.errors import UsageError
from rigtui.planning.reserve import headroom_bytes
from rigtui.rig.select import select
from rigtui.text import MIB
from rigtui.tui.state import doubled

if TYPE_CHECKING:
    from rigtui.intent.intent import EngineName
    from rigtui.rig.rig import Gpu
    from rigtui.tui.state import Cockpit

ENGINES: tuple[EngineName, ...] = ("llama.cpp", "vllm")
MOST_SLOTS = 64
LEAST_UBATCH, MOST_UBATCH = 32, 4096
HEADROOM_STEP_MIB = 128
MOST_HEADROOM_MIB = 1 << 20
OVERRIDES = {
    "context": "context",
    "kv_type": "kv_type",
    "slots": "parallel",
    "cards": "gpus",
    "headroom": "fit_target_mib",
    "ubatch": "ubatch",
}
"""A choice's row -> the override it sets."""


def slots_now(state: Cockpit) -> int:
    """Requests at the same time: the user's, or the use case's."""
    use_case = state.chosen_use_case
    return state.overrides.parallel or (use_case.parallel if use_case else 1)


def ubatch_now(state: Cockpit) -> int:
    """The micro-batch: the user's, or the use case's."""
    use_case = state.chosen_use_case
    return state.overrides.ubatch or (use_case.ubatch if use_case else 512)


def cards_now(state: Cockpit) -> tuple[Gpu, ...]:
    """The cards that may be used, in their order: the user's, or all."""
    rig = state.rig
    if rig is None:
        return ()
    try:
        return select(rig, state.overrides.gpus) if state.overrides.gpus else rig.usable_gpus
    except UsageError:
        # A profile may name cards of another rig; the plan says so.
        return rig.usable_gpus


def headroom_now(state: Cockpit, cards: Sequence[Gpu]) -> tuple[int, ...]:
    """MiB to leave free on each of `cards`: the user's, or what the card's duties ask for."""
    own = dict(zip((card.index for card in cards_now(state)), _own_targets(state), strict=False))
    return tuple(own.get(card.index, headroom_bytes(card) // MIB) for card in cards)


def _own_targets(state: Cockpit) -> tuple[int, ...]:
    own = state.overrides.fit_target_mib or ()
    return own * len(cards_now(state)) if len(own) == 1 else own


def step_slots(state: Cockpit, step: int) -> Cockpit:
    """Half or twice as many slots."""
    return replace(state, overrides=replace(state.overrides, parallel=doubled(slots_now(state), step, 1, MOST_SLOTS)))


def step_ubatch(state: Cockpit, step: int) -> Cockpit:
    """Half or twice the micro-batch."""
    return replace(state, overrides=replace(state.overrides, ubatch=doubled(ubatch_now(state), step, LEAST_UBATCH, MOST_UBATCH)))


def step_headroom(state: Cockpit, step: int) -> Cockpit:
    """Less or more headroom on every card."""
    cards = cards_now(state)
    targets = tuple(max(0, min(MOST_HEADROOM_MIB, now + step * HEADROOM_STEP_MIB)) for now in headroom_now(state, cards))
    return replace(state, overrides=replace(state.overrides, fit_target_mib=targets or None))


def cycle_cards(state: Cockpit, step: int) -> Cockpit:
    """All cards as rigtui likes, then each card alone, around the end."""
    usable = state.rig.usable_gpus if state.rig else ()
    options: list[tuple[Gpu, ...] | None] = [None, *((card,) for card in usable)]
    now = cards_now(state) if state.overrides.gpus else None
    at = options.index(now) if now in options else 0
    return with_cards(state, options[(at + step) % len(options)])


def with_cards(state: Cockpit, cards: tuple[Gpu, ...] | None) -> Cockpit:
    """Only these cards in this order; None: rigtui decides. The user's headroom stays with its card."""
    usable = state.rig.usable_gpus if state.rig else ()
    targets = headroom_now(state, cards or usable) if state.overrides.fit_target_mib else None
    names = tuple(card.uuid or str(card.index) for card in cards) if cards else None
    return replace(state, overrides=replace(state.overrides, gpus=names, fit_target_mib=targets or None))


def with_cards_and_headroom(state: Cockpit, cards: tuple[Gpu, ...], targets: tuple[int, ...]) -> Cockpit:
    """What the user set card by card; what is as rigtui would have it stays rigtui's decision."""
    usable = state.rig.usable_gpus if state.rig else ()
    state = with_cards(state, None if cards == usable else cards)
    own = tuple(headroom_bytes(card) // MIB for card in cards)
    return replace(state, overrides=replace(state.overrides, fit_target_mib=None if targets == own else targets))


def cycle_engine(state: Cockpit, step: int) -> Cockpit:
    """Each engine that rigtui launches, and rigtui's own choice, around the end."""
    options = ("auto", *ENGINES)
    at = options.index(state.engine) if state.engine in options else 0
    return replace(state, engine=options[(at + step) % len(options)])


def give_back(state: Cockpit, choice: str) -> Cockpit:
    """Rigtui decides this one again."""
    if choice == "engine":
        return replace(state, engine="auto")
    override = OVERRIDES.get(choice)
    if override == "gpus":
        return with_cards(state, None)
    return replace(state, overrides=replace(state.overrides, **{override: None})) if override else state

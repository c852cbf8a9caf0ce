"""From a rig, a model and an intent to candidates: every sensible way to run the model with llama.cpp. Pure.

llama.cpp's own `--fit` places the layers; what is chosen here is which cards it sees and in which order, the context, the KV type and the
free memory it must leave. `-ts` and `-ncmoe` switch `--fit` off: they are written only where it cannot reach what they do (`divide`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.llamacpp import divide
from rigtui.engines.llamacpp.coarser import may_pay, paying
from rigtui.engines.llamacpp.kv import refusal
from rigtui.engines.llamacpp.search import Candidate, Search, serves
from rigtui.engines.llamacpp.shown import Shown
from rigtui.engines.llamacpp.steer import steered
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.constraints import Constraint, about, largest, unused_gpus
from rigtui.planning.known import NOTHING, Known
from rigtui.planning.reserve import headroom_bytes
from rigtui.planning.wants import Wants, bounded, refuse_targets, wants
from rigtui.rig.rig import Gpu, Rig
from rigtui.rig.select import select
from rigtui.text import MIB

MORE_CONTEXT = 1.03
"""Another order of the cards is looked into only where it holds this much more."""
WORTH_AN_ORDER = 1.01
"""With layers in RAM another order is taken only where it is expected to be this much faster."""


class Derivation(Struct, frozen=True, kw_only=True):
    """All candidates, and what they were derived from."""

    wants: Wants
    cards: tuple[Gpu, ...]
    """The cards that could be used."""
    candidates: tuple[Candidate, ...]
    own_cpu: str | None = None
    """The user's own argument that leaves the GPUs out."""


class Evidence(Struct, frozen=True, kw_only=True):
    """What is known beside the model's header: bounds that were learned, what engines have shown, and of which build."""

    constraints: tuple[Constraint, ...] = ()
    known: Known = NOTHING
    build: str = ""
    offered: frozenset[str] = frozenset()
    """Options by which a division can be written that the build has (`command.WRITTEN`)."""


def derive(
    rig: Rig, model: Model, intent: Intent, *, sees_gpus: bool, own_cpu: str | None = None, evidence: Evidence | None = None
) -> Derivation:
    """Every candidate for this rig, the unfit ones too.

    `sees_gpus`: whether the build can use GPUs; without, the CPU is the only device, and `own_cpu` is the user's argument that makes
    it so. Constraints bound what the user did not set. Raises UsageError for settings that cannot be.
    """
    evidence = evidence or Evidence()
    constraints = evidence.constraints
    want = _makeable(bounded(wants(model, intent), intent, constraints), model)
    own, unused = intent.overrides, unused_gpus(constraints)
    cards = select(rig, own.gpus) if own.gpus else tuple(card for card in rig.usable_gpus if about(card) not in unused)
    if not sees_gpus:
        cards = ()
    refuse_targets(intent, len(cards))
    shown = Shown(model=model, known=evidence.known, build=evidence.build, own=own.engine_args)
    headrooms = _headrooms(cards, own.fit_target_mib, constraints)
    search = Search(rig, model, want, headrooms, shown, own_targets=own.fit_target_mib is not None, offered=evidence.offered)
    if not cards:
        found = _until_it_fits(want, lambda kv: _on_cpu(search, kv))
    else:
        found = _on_cards(search, want, cards, free_order=not own.gpus, free_targets=own.fit_target_mib is None)
    return Derivation(
        wants=want, cards=cards, candidates=tuple(paying([search.rated(one) for one in found])), own_cpu=own_cpu if not cards else None
    )


def _on_cards(search: Search, want: Wants, cards: tuple[Gpu, ...], *, free_order: bool, free_targets: bool) -> list[Candidate]:
    """With everything on cards where that can be, with a part in RAM where nothing serves fully; an order of the user's is kept."""
    alone = [(card,) for card in _distinct(cards)] if free_order else [cards]
    found: list[Candidate] = []
    for group in alone:
        serving: Candidate | None = None
        for kv in _worth_a_look(search, group):
            if serving is None or may_pay(search, serving, kv):
                found.append(_in_vram(search, group, kv))
                serving = serving or (found[-1] if found[-1].status == "fits" else None)
    if free_order and len(cards) > 1:
        found += _together(search, want, cards, free_targets)
    elif free_targets and len(cards) > 1:
        found += [better for candidate in tuple(found) if (better := _steered_as_asked(search, candidate, cards)) is not None]
    found += _written(search, found, free_order)
    if not any(candidate.status == "fits" for candidate in found):
        # With layers in RAM every card helps: all of them together are the only sensible choice.
        found += _offloaded(search, want, cards, free_order, free_targets)
    return found + _divided(search, found, cards, free_order)


def _together(search: Search, want: Wants, cards: tuple[Gpu, ...], free_targets: bool) -> list[Candidate]:
    """Several cards: as few as hold all that is wanted, the fast ones first; if even all do not, all with as much as they hold."""
    found = []
    for group in _growing(cards):
        here = _holding_all(search, want, group)
        found += here
        if here and here[0].settings.kv_type == want.kv_types[0]:
            break  # a further, slower card cannot make it better
    if not found:
        found = [_in_vram_any_order(search, cards, kv) for kv in _worth_a_look(search, cards)]
    return found + (_steered(search, found) if free_targets else [])


def _steered(search: Search, found: Sequence[Candidate]) -> list[Candidate]:
    """Those of `found` with the fast cards filled first that are better for it."""
    return [better for candidate in found if not candidate.written and (better := steered(search, candidate)) is not None]


def _steered_as_asked(search: Search, candidate: Candidate, cards: tuple[Gpu, ...]) -> Candidate | None:
    """The fast cards filled first in the user's order of `cards`, beginning with what is begun with where the order is free."""
    kv, context = candidate.settings.kv_type, search.per_slot(candidate) if serves(candidate) else search.want.context
    usual = tuple(sorted(cards, key=lambda card: card.index))
    orders = (order for order in (usual, *_orders(usual)) if search.can_hold(order, kv, context))
    return steered(search, next(filter(None, (search.serving(order, kv, context) for order in orders)), candidate), cards)


def _worth_a_look(search: Search, cards: tuple[Gpu, ...]) -> tuple[tuple[str, str], ...]:
    """The KV types with which at least the least context may lie on `cards`; the first alone, to say what is missing, where none does."""
    want = search.want
    return tuple(kv for kv in want.kv_types if search.can_hold(cards, kv, want.context_least, buffers=False)) or want.kv_types[:1]


def _holding_all(search: Search, want: Wants, cards: tuple[Gpu, ...]) -> list[Candidate]:
    """The wanted context on these cards, with the finest KV type that allows it and coarser ones that may pay; nothing where none does."""
    found: list[Candidate] = []
    for kv in want.kv_types:
        if (not found or may_pay(search, found[0], kv)) and (holding := _holding(search, cards, kv)):
            found.append(holding)
    return found


def _holding(search: Search, cards: tuple[Gpu, ...], kv: tuple[str, str]) -> Candidate | None:
    """The wanted context on these cards with this KV type, by `--fit`, or where that cannot be by rigtui's own division."""
    context = search.want.context
    for order in (cards, *_orders(cards)):
        candidate = search.serving(order, kv, context) if search.can_hold(order, kv, context) else None
        if candidate is not None and candidate.status == "fits":
            return candidate
    return divide.whole(search, cards, kv, context)


def _written(search: Search, found: Sequence[Candidate], free_order: bool) -> list[Candidate]:
    """Divisions of rigtui's own with which cards hold clearly more, or are clearly faster, than with what `--fit` makes of them."""
    by_fit: dict[tuple[frozenset[int], tuple[str, str]], list[Candidate]] = {}
    for one in found:
        if len(one.gpus) > 1 and not one.written:
            by_fit.setdefault((frozenset(card.index for card in one.gpus), one.settings.kv_type), []).append(one)
    return [better for alike in by_fit.values() for better in _better(search, alike, free_order)]


def _better(search: Search, by_fit: Sequence[Candidate], free_order: bool) -> Iterator[Candidate]:
    """Those that are better than all of `by_fit`, which have cards and KV type in common."""
    serving = [search.rated(one) for one in by_fit if serves(one)]
    reached = max(map(search.per_slot, serving), default=0)
    best = max((one for one in serving if search.per_slot(one) == reached), key=_speed, default=by_fit[0])
    cards, kv, want = best.gpus, best.settings.kv_type, search.want

    def probe(context: int) -> Candidate | None:
        return divide.whole(search, cards, kv, context, free_order=free_order)

    if reached < want.context:
        more = probe(min(max(int(reached * MORE_CONTEXT), want.context_least), want.context))
        if more is not None:
            yield search.largest(probe, most=search.most_context(cards, kv), known=more) or more
    faster = probe(reached) if reached else None
    if faster is not None and _speed(faster) >= _speed(best) * divide.WORTH_WRITING:
        yield faster


def _growing(cards: tuple[Gpu, ...]) -> list[tuple[Gpu, ...]]:
    """The fastest two cards, the fastest three, … all, in the rig's order; where a speed is unknown only all."""
    if not all(card.bandwidth_gb_s for card in cards):
        return [cards]
    by_speed = sorted(cards, key=lambda card: (-(card.bandwidth_gb_s or 0.0), headroom_bytes(card) - (card.free_bytes or 0)))
    return [tuple(card for card in cards if card in by_speed[:count]) for count in range(2, len(cards) + 1)]


def _distinct(cards: Sequence[Gpu]) -> list[Gpu]:
    """One of each kind of card: two alike with the same free memory give the same plan."""
    kinds = {_kind(card): card for card in reversed(cards)}
    return list(reversed(kinds.values()))


def _until_it_fits(want: Wants, judge: Callable[[tuple[str, str]], Candidate]) -> list[Candidate]:
    """One candidate per KV type, the coarser ones only as long as the finer ones do not serve."""
    found: list[Candidate] = []
    for kv in want.kv_types:
        found.append(judge(kv))
        if found[-1].status == "fits" or (found[-1].status == "offload" and not found[-1].gpus):
            break
    return found


def _makeable(want: Wants, model: Model) -> Wants:
    """Without the cache types that llama.cpp does not make for this model, as long as another is left."""
    kinds = tuple(kinds for kinds in want.kv_types if refusal(model, kinds, flash=True) is None)
    return replace(want, kv_types=kinds) if kinds else want


def _headrooms(cards: Sequence[Gpu], targets: tuple[int, ...] | None, constraints: Sequence[Constraint]) -> dict[int, int]:
    """Headroom wanted per card (by its index), bytes: the user's own, or what the card's duties and the constraints ask for."""
    if not targets:
        return {card.index: max(headroom_bytes(card), int(largest(constraints, "headroom", card) or 0)) for card in cards}
    own = targets * len(cards) if len(targets) == 1 else targets
    return {card.index: target * MIB for card, target in zip(cards, own, strict=True)}


def _in_vram(search: Search, cards: tuple[Gpu, ...], kv: tuple[str, str]) -> Candidate:
    """All of it on `cards`, with as much context as fits up to what is wanted; what there is with the least when not even that does."""
    most = search.most_context(cards, kv)
    found = search.largest(lambda context: search.serving(cards, kv, context), most=most) if most >= search.want.context_least else None
    return found or search.candidate(cards, kv, search.want.context if search.want.context_fixed else search.want.context_least)


def _in_vram_any_order(search: Search, cards: tuple[Gpu, ...], kv: tuple[str, str]) -> Candidate:
    """The same in the order that holds the most: whole layers do not pack alike in every order."""
    best = _in_vram(search, cards, kv)
    if best.status == "fits" or search.want.context_fixed:
        return best
    for order in _orders(cards):
        most, reached = search.most_context(order, kv), search.per_slot(best) if serves(best) else 0
        next_best = min(max(int(reached * MORE_CONTEXT), search.want.context_least), search.want.context)
        if not reached < next_best <= most:
            continue
        if better := search.serving(order, kv, next_best):

            def probe(context: int, order: tuple[Gpu, ...] = order) -> Candidate | None:
                return search.serving(order, kv, context)

            best = search.largest(probe, most=most, known=better) or better
    return best


def _orders(cards: tuple[Gpu, ...]) -> list[tuple[Gpu, ...]]:
    """Orders worth a look besides the rig's own: by speed and by room, both ways."""
    slow_first = tuple(sorted(cards, key=lambda card: card.bandwidth_gb_s or 0.0))
    small_first = tuple(sorted(cards, key=lambda card: card.free_bytes or 0))
    kinds = {tuple(_kind(card) for card in cards)}
    found = []
    for order in (slow_first, slow_first[::-1], small_first, small_first[::-1]):
        kind = tuple(_kind(card) for card in order)
        if kind not in kinds:
            kinds.add(kind)
            found.append(order)
    return found


def _kind(card: Gpu) -> tuple[object, ...]:
    """Cards of one kind can change places."""
    return card.name, card.free_bytes, headroom_bytes(card)


def _divided(search: Search, found: Sequence[Candidate], cards: tuple[Gpu, ...], free_order: bool) -> list[Candidate]:
    """Of each way that gives something up what rigtui's own division makes of it, where that is clearly faster."""
    if not search.model.mtp_layers:
        return []  # `--fit` itself can do it
    best: dict[tuple[frozenset[int], tuple[str, str], int], Candidate] = {}
    for one in found:
        if one.gpus and one.status != "fits" and (one.status != "no_fit" or len(one.gpus) == len(cards)):
            key = (frozenset(card.index for card in one.gpus), one.settings.kv_type, search.per_slot(one))
            best[key] = max(best.get(key, one), one, key=lambda one: _serving_speed(search, one))
    better = []
    for (_, kv, context), one in best.items():
        whole = divide.whole(search, one.gpus, kv, context, free_order=free_order)
        written = whole or divide.spilled(search, one.gpus, kv, context, free_order=free_order)
        if written is not None and _speed(written) >= _serving_speed(search, one) * divide.WORTH_WRITING:
            better.append(written)
    return better


def _serving_speed(search: Search, candidate: Candidate) -> float:
    return _speed(search.rated(candidate)) if candidate.status != "no_fit" else 0.0


def _offloaded(search: Search, want: Wants, cards: tuple[Gpu, ...], free_order: bool, free_targets: bool) -> list[Candidate]:
    """A part in RAM, where less context means more layers on the cards, up to all of them: the wanted context and a quarter of it, each
    KV type, and the orders of the cards, of which the first also holds what is copied from RAM.
    """
    found = [_halved(search, cards, kv, want.context) for kv in want.kv_types]
    quarter = max(want.context // 4, want.context_least)
    if not want.context_fixed and quarter < want.context:
        found += [_halved(search, cards, kv, quarter) for kv in (want.kv_types[0], want.kv_types[-1])[: len(want.kv_types)]]
    if not free_order or len(cards) == 1:
        return found
    if free_targets:
        found += _steered(search, found)
    best = max((search.rated(candidate) for candidate in found if candidate.status != "no_fit"), key=_speed, default=None)
    if best is None:
        return found
    context = search.per_slot(best)
    others = (search.rated(search.candidate(order, best.settings.kv_type, context)) for order in _orders(cards)[:2])
    return [*found, *(other for other in others if _speed(other) >= _speed(best) * WORTH_AN_ORDER)]


def _speed(candidate: Candidate) -> float:
    return candidate.decode_tok_s or 0.0


def _halved(search: Search, cards: Sequence[Gpu], kv: tuple[str, str], context: int) -> Candidate:
    """`context` tokens, halved until it fits."""
    while True:
        candidate = search.candidate(cards, kv, context)
        if candidate.status != "no_fit" or context <= search.want.context_least:
            return candidate
        context = max(context // 2, search.want.context_least)


def _on_cpu(search: Search, kv: tuple[str, str]) -> Candidate:
    """All of it in RAM."""

    def probe(context: int) -> Candidate | None:
        candidate = search.candidate((), kv, context)
        return candidate if candidate.status != "no_fit" else None

    want = search.want
    return search.largest(probe) or search.candidate((), kv, want.context if want.context_fixed else want.context_least)

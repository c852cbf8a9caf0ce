"""Which settings to try next, and which served best: a search over what the user left open. Pure.

What was tried is all the state there is, so a search that was broken off goes on where it was. One axis after the other is walked from the
best settings so far; a value is not tried when its plan is one that was measured already, when it would serve the use case worse, or
when it is expected to be far slower than the best expected one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations, product
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from rigtui.intent.intent import Intent, Overrides
from rigtui.planning.choose import STATUS_RANK, WEIGHTS
from rigtui.planning.outcomes import AttemptResult
from rigtui.planning.plan import Plan
from rigtui.planning.reserve import headroom_bytes
from rigtui.planning.wants import KV_QUALITY, Wants
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import MIB

PROMPT_TOKENS, ANSWER_TOKENS = 1024, 256
"""The request whose time is made short: both prefill and decode count in it."""
WORTH_CHANGING = 1.01
"""Better by less than this is noise, and the earlier settings stay."""
WORTH_TRYING = 0.75
"""Share of the best expected value below which a value is not tried."""
WORTH_TRYING_AGAIN = 1.03
"""By so much what settings lead to must have changed since they were tried."""
UBATCHES = (128, 256, 512, 1024, 2048)
HEADROOM_FACTORS = (2, 4)
EVERY_ORDER = 3
"""Cards of which every order is an own value: of more there are too many."""
LEAST_TRIALS = 4
Signature = tuple[object, ...]


class Axis(Struct, frozen=True):
    """One setting and the values it can take; the first is None: rigtui's own."""

    name: str
    values: tuple[Any, ...]
    ordered: bool = False
    """Values that grow: where one is worse than its neighbour, those beyond it are worse still."""


class Prospect(Struct, frozen=True):
    """What settings come to on this rig before they are tried."""

    plan: Plan
    signature: Signature


class Tried(Struct, frozen=True, kw_only=True):
    """Settings that were tried."""

    settings: Overrides
    value: float
    """0: did not work."""


class Search(Struct, frozen=True, kw_only=True):
    """Where the search is."""

    next: Overrides | None
    """What to try now; None: done."""
    best: Overrides | None
    """The best so far; None: nothing worked yet."""
    trials: int
    """Different plans that were tried."""


class _UntriedError(Exception):
    def __init__(self, settings: Overrides) -> None:
        super().__init__()
        self.settings = settings


def axes(rig: Rig, plan: Plan, intent: Intent, want: Wants) -> tuple[Axis, ...]:
    """What can be tried beside rigtui's own `plan`; what the user set has no axis."""
    own = intent.overrides
    found = []
    cards = _cards(rig, plan)
    could = rig.usable_gpus if cards else ()
    if not own.gpus and not own.fit_target_mib and len(could) > 1 and None not in [card.bandwidth_gb_s for card in could]:
        found.append(Axis("gpus", (None, *_orders(could))))
    if len(want.kv_types) > 1:
        found.append(Axis("kv_type", (None, *want.kv_types)))
    if own.ubatch is None and not want.embedding:
        found.append(Axis("ubatch", tuple(sorted({want.ubatch, *(size for size in UBATCHES if size <= want.batch)})), ordered=True))
    if len(cards) > 1 and not own.fit_target_mib:
        # One value for every card: it holds in any order, and for one card alone.
        usual = max(headroom_bytes(card) for card in cards) // MIB
        found.append(Axis("fit_target_mib", (None, *((factor * usual,) for factor in HEADROOM_FACTORS)), ordered=True))
    return tuple(found)


def _cards(rig: Rig, plan: Plan) -> list[Gpu]:
    names = [device.uuid or device.name for device in plan.devices]
    return [card for name in names for card in rig.usable_gpus if name == (card.uuid or card.name)]


def _orders(cards: Sequence[Gpu]) -> list[tuple[str, ...]]:
    """Of several cards, as a user would name them: all of them fastest first and slowest first, the fastest alone; up to
    `EVERY_ORDER` of them also each one alone and every other order."""
    by_speed = sorted(cards, key=lambda card: -(card.bandwidth_gb_s or 0.0))
    names = [card.uuid or str(card.index) for card in by_speed]
    found = [tuple(names[:1]), tuple(names), tuple(reversed(names))]
    if len(names) <= EVERY_ORDER:
        found += [*permutations(names), *((name,) for name in names)]
    return list(dict.fromkeys(found))


def signature(plan: Plan, batches: tuple[int, int]) -> Signature:
    """What makes two plans the same to a measurement."""
    placed = tuple((device.uuid or device.name, device.layers, device.first_layer, device.output) for device in plan.devices)
    return placed, plan.kv_type, plan.context_per_slot, plan.parallel, batches, plan.split_mode, plan.host.offloaded_layers


def value_of(attempt: AttemptResult, want: Wants, intent: Intent) -> float:
    """How well an attempt served, larger is better; 0: it did not work or could not be measured.

    The speed is that of a whole request, in tokens per second; context and the fineness of the cache count as when plans are chosen.
    """
    if attempt.outcome != "ready" or not attempt.prefill_tok_s or (attempt.decode_tok_s is None and not want.embedding):
        return 0.0
    seconds = PROMPT_TOKENS / attempt.prefill_tok_s + (ANSWER_TOKENS / attempt.decode_tok_s if attempt.decode_tok_s else 0.0)
    return _worth((PROMPT_TOKENS + ANSWER_TOKENS) / seconds, attempt.kv_type, attempt.context_per_slot, want, intent)


def outdated(attempt: AttemptResult, plan: Plan, want: Wants, intent: Intent) -> bool:
    """Whether the settings of an attempt lead to a `plan` by now whose context and cache are worth more or less, by `WORTH_TRYING_AGAIN`.

    What trials show of the memory that an engine takes changes plans, and the attempt says little of the new one.
    """
    then = _worth(1.0, attempt.kv_type, attempt.context_per_slot, want, intent)
    now = _worth(1.0, plan.kv_type, plan.context_per_slot, want, intent)
    return max(then, now) > min(then, now) * WORTH_TRYING_AGAIN


def _worth(speed: float, kv_type: Sequence[str], context: int, want: Wants, intent: Intent) -> float:
    weight_speed, weight_context = WEIGHTS[intent.use_case.prefer]
    quality: float = min(KV_QUALITY[kind] for kind in kv_type)
    return float(quality * min(context / want.context, 1.0) ** weight_context * speed**weight_speed)


def combined(settings: Overrides, name: str, value: object) -> Overrides:
    """`settings` with another value on one axis."""
    return replace(settings, **{name: value})


def limit_of(over: Sequence[Axis], prospect: Callable[[Overrides], Prospect]) -> int:
    """How many trials a tuning may take: a quarter of the different plans that the axes span and that fit, but a few at least."""
    names = [axis.name for axis in over]
    every = (Overrides(**dict(zip(names, values, strict=True))) for values in product(*(axis.values for axis in over)))
    spanned = {found.signature for settings in every if (found := prospect(settings)).plan.status != "no_fit"}
    return max(LEAST_TRIALS, len(spanned) // 4)


def search(
    over: Sequence[Axis], tried: Sequence[Tried], prospect: Callable[[Overrides], Prospect], want: Wants, intent: Intent, *, limit: int
) -> Search:
    """What to try next, from what was tried, in `limit` trials at most.

    `prospect` derives the plan for settings; it is asked for the same ones again and again.
    """
    known = {prospect(one.settings).signature: one.value for one in tried}
    walk = _Walk(known, prospect, want, intent)
    try:
        best, following = walk.best(over), None
    except _UntriedError as untried:
        best, following = walk.leader, untried.settings if len(known) < limit else None
    return Search(next=following, best=best if known.get(prospect(best).signature) else None, trials=len(known))


class _Walk:
    """One deterministic walk over the axes, which stops at the first settings that were not tried."""

    def __init__(self, known: Mapping[Signature, float], prospect: Callable[[Overrides], Prospect], want: Wants, intent: Intent) -> None:
        self.known = known
        self.leader = Overrides()
        self._prospect = prospect
        self._want = want
        self._intent = intent
        self._own = prospect(Overrides()).plan

    def best(self, over: Sequence[Axis]) -> Overrides:
        self._value(self.leader)
        before = None
        # Again only where a later axis moved: a value that lost on its own may win with what was found since.
        while before != self.leader:
            before = self.leader
            for axis in over:
                self._along(axis)
        return self.leader

    def _along(self, axis: Axis) -> None:
        if not axis.ordered:
            for value in self._by_expectation(axis):
                self._try(combined(self.leader, axis.name, value))
            return
        here = asdict(self.leader)[axis.name]
        at = axis.values.index(here) if here in axis.values else self._usual(axis)
        for values in (axis.values[at + 1 :], axis.values[:at][::-1]):
            for value in values:
                if not self._try(combined(self.leader, axis.name, value)):
                    break

    def _usual(self, axis: Axis) -> int:
        """Where on the axis rigtui's own value is."""
        return axis.values.index(self._want.ubatch) if axis.name == "ubatch" else 0

    def _by_expectation(self, axis: Axis) -> list[object]:
        """The values of an axis, those with the most to expect first, hopeless ones left out."""
        expected = [(self._expected(combined(self.leader, axis.name, value)), value) for value in axis.values]
        most = max(expectation for expectation, _ in expected)
        likely = [pair for pair in expected if pair[0] >= most * WORTH_TRYING]
        return [value for _, value in sorted(likely, key=lambda pair: -pair[0])]

    def _expected(self, settings: Overrides) -> float:
        plan = self._prospect(settings).plan
        if self._serves_worse(plan):
            return 0.0
        return _worth(plan.expected.decode_tok_s or 1.0, plan.kv_type, plan.context_per_slot, self._want, self._intent)

    def _serves_worse(self, plan: Plan) -> bool:
        return STATUS_RANK[plan.status] < STATUS_RANK[self._own.status]

    def _try(self, settings: Overrides) -> bool:
        """Make these the leader if they are better; False when they are worse than the leader."""
        if self._serves_worse(self._prospect(settings).plan):
            return False
        value, leading = self._value(settings), self._value(self.leader)
        if value > leading * WORTH_CHANGING:
            self.leader = settings
        return value >= leading / WORTH_CHANGING

    def _value(self, settings: Overrides) -> float:
        found = self.known.get(self._prospect(settings).signature)
        if found is None:
            raise _UntriedError(settings)
        return found

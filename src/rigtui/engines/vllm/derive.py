"""Which ways are there to run this model on this rig with vLLM? All candidates, judged; the choice is `planning.choose`'s. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.engine import Build
from rigtui.engines.vllm import layouts, rules
from rigtui.engines.vllm.arguments import Own, partition_of
from rigtui.engines.vllm.cache_types import kv_types
from rigtui.engines.vllm.footprint import NOTHING_LEARNED, Demand, Learned, budget, demand, graphs_beside_share, most_utilization, room
from rigtui.engines.vllm.layouts import Layout
from rigtui.engines.vllm.partition import best, even, least_blocks
from rigtui.engines.vllm.refusals import refusal
from rigtui.engines.vllm.releases import NEWEST, Release, release
from rigtui.engines.vllm.reserve import headroom_bytes
from rigtui.engines.vllm.settings import BLOCK_TOKENS, Settings, batch_defaults
from rigtui.engines.vllm.speed import decode_tok_s
from rigtui.engines.vllm.weights import Weights, weights
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.constraints import Constraint, about, largest, smallest, unused_gpus
from rigtui.planning.plan import Reason, Status
from rigtui.planning.wants import Wants, bounded, refuse_targets, wants
from rigtui.rig.rig import Gpu, Rig
from rigtui.rig.select import select
from rigtui.text import MIB

FEW_SEQUENCES = 4
"""`--max-num-seqs` for one user: an agent asks two or three things at once, and every sequence costs logits and graphs."""
CONTEXT_STEP = 256


class Candidate(Struct, frozen=True, kw_only=True):
    """One way to run it, judged."""

    status: Status
    layout: Layout
    partition: tuple[int, ...]
    utilization: float
    headroom: tuple[int, ...]
    """Wanted per card, bytes."""
    demand: Demand
    blocks: int
    """KV blocks every worker keeps; negative: bytes the poorest stage misses for weights and activations."""
    requests: int
    """Requests of the whole context that fit at once."""
    refusal: Reason | None = None
    """Why vLLM would not start, whatever else fits."""
    decode_tok_s: float | None = None
    given_up: tuple[Candidate, ...] = ()
    """Ways this one was preferred to for its speed or its context: with graphs instead of without, on more cards."""

    @property
    def settings(self) -> Settings:
        """What the instance is started with."""
        return self.demand.settings

    @property
    def kv_tokens(self) -> int:
        """What vLLM will log as the size of its cache; 0 where not one request fits, which it refuses before it logs that."""
        return self.demand.cache.tokens(self.blocks, self.settings.context) if self.blocks > 0 and self.requests else 0


class Derivation(Struct, frozen=True, kw_only=True):
    """All candidates, and what they were derived from."""

    wants: Wants
    own: Own
    cards: tuple[Gpu, ...]
    """The cards that could be used."""
    left_out: tuple[Reason, ...] = ()
    """Why other cards could not."""
    candidates: tuple[Candidate, ...] = ()


def derive(
    rig: Rig,
    model: Model,
    intent: Intent,
    build: Build | None,
    own: Own,
    *,
    constraints: Sequence[Constraint] = (),
    learned: Learned = NOTHING_LEARNED,
) -> Derivation:
    """Every candidate for the cards of this rig, the unfit ones too. Raises UsageError for settings that cannot be."""
    want = bounded(wants(model, intent), intent, constraints)
    if own.context is not None:
        want = replace(want, context=own.context, context_least=own.context, context_fixed=True)
    named = select(rig, intent.overrides.gpus) if intent.overrides.gpus else None
    cards, left_out = _usable(named or rig.usable_gpus, model, constraints, kept=named is not None)
    too_old = rules.driver_too_old(rig.driver, build)
    if too_old is not None and cards:
        cards, left_out = (), (*left_out, Reason("driver_too_old", too_old))
    if not cards:
        return Derivation(wants=want, own=own, cards=(), left_out=left_out)
    refuse_targets(intent, len(named or rig.usable_gpus))
    wanted_free = _headrooms(named or rig.usable_gpus, intent.overrides.fit_target_mib, constraints)
    spoken = (release(build.version) if build else None) or NEWEST
    start = Derivation(wants=want, own=own, cards=cards, left_out=left_out)
    search = _Search(rig, model, intent, start, constraints, wanted_free, learned, spoken)
    return replace(start, candidates=tuple(search.all(cards, ordered=named is not None)))


def _usable(
    cards: Sequence[Gpu], model: Model, constraints: Sequence[Constraint], *, kept: bool
) -> tuple[tuple[Gpu, ...], tuple[Reason, ...]]:
    """The cards vLLM can use, and why not the others; cards the user named are not given up for a constraint."""
    unused = frozenset() if kept else unused_gpus(constraints)
    left_out = []
    usable = []
    for card in cards:
        if about(card) in unused:
            continue
        why = rules.card_too_old(card, model)
        if why is None:
            usable.append(card)
        else:
            left_out.append(Reason("cc_too_low", why))
    return tuple(usable), tuple(left_out)


def _headrooms(cards: Sequence[Gpu], targets: tuple[int, ...] | None, constraints: Sequence[Constraint]) -> dict[int, int]:
    """Bytes wanted free per card (by its index): the user's, or the card's duty, or more where that was not enough."""
    if not targets:
        return {card.index: max(headroom_bytes(card), int(largest(constraints, "headroom", card) or 0)) for card in cards}
    own = targets * len(cards) if len(targets) == 1 else targets
    return {card.index: target * MIB for card, target in zip(cards, own, strict=True)}


class _Search:
    """The candidates of one model on one rig."""

    def __init__(
        self,
        rig: Rig,
        model: Model,
        intent: Intent,
        start: Derivation,
        constraints: Sequence[Constraint],
        headrooms: dict[int, int],
        learned: Learned,
        release: Release,
    ) -> None:
        self.rig = rig
        self.model = model
        self.intent = intent
        self.want = start.wants
        self.own = start.own
        self.constraints = constraints
        self.headrooms = headrooms
        self.learned = learned
        self.release = release
        self.loaded: Weights = weights(model)
        self._demands: dict[Settings, Demand] = {}
        self.least_stages = int(largest(constraints, "stages") or 1)

    def all(self, cards: tuple[Gpu, ...], *, ordered: bool) -> list[Candidate]:
        """Everything worth a look, and where nothing fits the nearest miss."""
        if self.own.tensor_parallel or self.own.stages:
            return self._as_asked(cards, ordered=ordered)
        if ordered:
            chosen = [Layout(stages=tuple((card,) for card in cards))]
            if len(cards) > 1 and layouts.alike(cards) and rules.tensor_parallel_problem(self.model, len(cards)) is None:
                chosen.append(Layout(stages=(cards,)))
            return [self.settled(layout) for layout in chosen]
        together = layouts.groups(self.model, cards)
        pairs = [layout for layout in together if layout.tensor_parallel == 2]
        single = layouts.alone(cards) + pairs
        found = [self.settled(layout) for layout in single if len(layout.stages) >= self.least_stages]
        for stages in range(max(2, self.least_stages), len(cards) + 1):
            best_found = self._pipeline(cards, stages)
            if best_found is not None:
                found.append(best_found)
                if best_found.status == "fits":
                    # More stages would only add hand-overs.
                    break
        if self.least_stages == 1:
            found = self._with_larger(found, [layout for layout in together if layout not in pairs])
        # For several requests at once the speed of one says little.
        one_user = self.want.slots == 1 and self.intent.use_case.prefer == "speed"
        return _quickest_first(found) if one_user else found

    def _with_larger(self, found: list[Candidate], groups: list[Layout]) -> list[Candidate]:
        """Tensor parallelism over more than two cards: where nothing else holds all that is wanted, else only beside what does.

        Without NVLink, which no reading shows, vLLM's documentation advises a pipeline (parallelism_scaling.md).
        """
        larger = [candidate for layout in groups if (candidate := self.settled(layout)).status != "no_fit"]
        if not larger or all(candidate.status != "fits" for candidate in found):
            return found + larger
        return [replace(c, given_up=(*c.given_up, *larger)) if len(c.partition) > 1 and c.status == "fits" else c for c in found]

    def _pipeline(self, cards: tuple[Gpu, ...], stages: int) -> Candidate | None:
        """The order and partition of `stages` cards that keep the most KV."""
        chosen: Layout | None = None
        most = -1
        for layout in layouts.pipelines(cards, stages):
            needs, budgets, _ = self._sized(layout, self._eager(True), self._kv_types(layout)[0])
            better = best(needs, budgets, above=most)
            if better is not None:
                chosen, most = layout, least_blocks(needs, budgets, better)
            chosen = chosen or layout
        return None if chosen is None else self.judged(chosen, eager=self._eager(True))

    def _as_asked(self, cards: tuple[Gpu, ...], *, ordered: bool) -> list[Candidate]:
        """The user's own division, over the cards in their order or the roomiest ones."""
        size, stages = self.own.tensor_parallel or 1, self.own.stages or 1
        refusal = self._division_refusal(cards, size, stages)
        count = min(size * stages, len(cards))
        chosen = cards if ordered else tuple(sorted(cards, key=lambda card: (-(card.free_bytes or 0), card.index)))
        used = chosen[:count] if ordered else tuple(sorted(chosen[:count], key=lambda card: card.index))
        if refusal is not None:
            return [self._refused(Layout(stages=tuple((card,) for card in used)), refusal)]
        groups = tuple(used[at : at + size] for at in range(0, count, size))
        if size == 1 and stages > 1 and not ordered and self._own_partition(stages) is None:
            found = self._pipeline(cards, stages)
            return [found] if found is not None else []
        return [self.settled(Layout(stages=groups))]

    def _division_refusal(self, cards: Sequence[Gpu], size: int, stages: int) -> Reason | None:
        problem = rules.tensor_parallel_problem(self.model, size)
        if problem is not None:
            return Reason("tp_heads", problem)
        if size * stages > len(cards):
            return Reason("too_few_cards", f"TP {size} × PP {stages} needs {size * stages} cards; vLLM can use {len(cards)} here")
        if stages > self.model.layers:
            return Reason("too_many_stages", f"{stages} stages are more than the model's {self.model.layers} layers")
        return None

    def _refused(self, layout: Layout, refusal: Reason) -> Candidate:
        found = self.judged(layout, eager=self._eager(True))
        return replace(found, status="no_fit", refusal=refusal)

    def settled(self, layout: Layout) -> Candidate:
        """With CUDA graphs or without, and the other way beside it where that is a choice.

        A pipeline over PCIe gains too little from graphs. Otherwise they are worth having where what is wanted fits beside them; who
        prefers speed also gives up context for them.
        """
        if len(layout.stages) > 1 or self.own.eager is not None or any(c.kind == "eager" for c in self.constraints):
            return self.judged(layout, eager=self._eager(True))
        graphs, eager = self.judged(layout, eager=False), self.judged(layout, eager=True)
        quick = self.intent.use_case.prefer == "speed" and graphs.status != "no_fit"
        if graphs.status == "fits" or (quick and _worth(graphs) >= _worth(eager)):
            return replace(graphs, given_up=(eager,))
        return replace(eager, given_up=(graphs,))

    def _eager(self, otherwise: bool) -> bool:
        return otherwise if self.own.eager is None else self.own.eager

    def judged(self, layout: Layout, *, eager: bool) -> Candidate:
        """One layout, with the finest cache that serves."""
        found: Candidate | None = None
        for kv in self._kv_types(layout):
            candidate = self._with_cache(layout, eager, kv)
            if found is None or _better(candidate, found):
                found = candidate
            if found.status == "fits":
                break
        if found is None:
            raise AssertionError("a cache type is always allowed")
        return found

    def _kv_types(self, layout: Layout) -> tuple[str, ...]:
        return kv_types(self.want, self.own, self.model, layout.cards)

    def _sized(self, layout: Layout, eager: bool, kv: str) -> tuple[Demand, list[int], float]:
        """What the model needs there, what every stage may take, and the share of the cards that this is."""
        settings = self._settings(layout, eager, kv)
        if settings not in self._demands:
            self._demands[settings] = demand(self.model, settings, self.loaded, self.learned)
        beside = graphs_beside_share(settings, -(-self.model.layers // settings.stages))
        utilization = self._utilization(layout.cards, [keep + beside for keep in self._headroom(layout)])
        return self._demands[settings], [min(budget(card, utilization) for card in stage) for stage in layout.stages], utilization

    def _headroom(self, layout: Layout) -> tuple[int, ...]:
        return tuple(self.headrooms[card.index] for card in layout.cards)

    def _with_cache(self, layout: Layout, eager: bool, kv: str) -> Candidate:
        cards, stages = layout.cards, len(layout.stages)
        needs, budgets, utilization = self._sized(layout, eager, kv)
        own_partition = self._own_partition(stages)
        partition = own_partition or best(needs, budgets) or even(self.model.layers, stages)
        blocks = least_blocks(needs, budgets, partition)
        candidate = Candidate(
            status="no_fit",
            layout=layout,
            partition=partition,
            utilization=utilization,
            headroom=self._headroom(layout),
            demand=needs,
            blocks=blocks,
            requests=0,
            refusal=refusal(self.rig, cards, needs, utilization, blocks),
        )
        return self._rated(self._with_context(candidate))

    def _settings(self, layout: Layout, eager: bool, kv: str) -> Settings:
        own, want = self.own, self.want
        fixed = own.sequences or self.intent.overrides.parallel
        sequences = fixed or max(want.slots, FEW_SEQUENCES)
        most = smallest(self.constraints, "sequences")
        if most is not None and not fixed:
            sequences = max(min(sequences, int(most)), 1)
        batched = own.batched_tokens or self.intent.overrides.batch or self.intent.overrides.ubatch
        batched = batched or batch_defaults(layout.cards[0].name, layout.cards[0].total_bytes)[0]
        dtype, _ = rules.dtype_for(self.model, layout.cards)
        return Settings(
            tensor_parallel=layout.tensor_parallel,
            stages=len(layout.stages),
            context=want.context,
            sequences=sequences,
            batched_tokens=max(batched, sequences),
            eager=eager,
            dtype=own.dtype or dtype,
            kv_type=kv,
            block_tokens=own.block_tokens or BLOCK_TOKENS,
            prefix_caching=self.release.keeps_prefixes(own.prefix_caching, hybrid=self.model.recurrent is not None),
            release=self.release,
        )

    def _utilization(self, cards: Sequence[Gpu], headroom: Sequence[int]) -> float:
        if self.own.utilization is not None:
            return self.own.utilization
        most = smallest(self.constraints, "utilization")
        found = most_utilization(cards, self.rig, headroom)
        return found if most is None else min(found, float(most))

    def _own_partition(self, stages: int) -> tuple[int, ...] | None:
        return partition_of(self.intent.overrides.env.get("VLLM_PP_LAYER_PARTITION"), stages, self.model.layers)

    def _with_context(self, candidate: Candidate) -> Candidate:
        """The longest context that serves: for all requests at once, else for as many as fit."""
        want, held = self.want, candidate.demand.cache
        if candidate.blocks <= 0:
            return candidate
        slots = want.slots
        context = _whole_steps(held.longest(candidate.blocks, slots, want.context), want)
        if context < want.context_least:
            # Not all at once: the others wait. One request must fit all the same.
            context = want.context_least if held.longest(candidate.blocks, 1, want.context_least) >= want.context_least else context
        requests = held.requests(candidate.blocks, context) if context else 0
        status: Status = "no_fit"
        if candidate.refusal is None and context >= want.context_least and requests:
            status = "fits" if context >= want.context and requests >= slots and self._keeps_headroom(candidate) else "tight"
        settings = replace(candidate.settings, context=max(context, 1))
        return replace(candidate, status=status, requests=requests, demand=replace(candidate.demand, settings=settings))

    def _keeps_headroom(self, candidate: Candidate) -> bool:
        """Always, unless the user's own share says otherwise."""
        cards = candidate.layout.cards
        left = [room(card, self.rig, len(cards)) - budget(card, candidate.utilization) for card in cards]
        return all(size >= wanted for size, wanted in zip(left, candidate.headroom, strict=True))

    def _rated(self, candidate: Candidate) -> Candidate:
        return replace(candidate, decode_tok_s=decode_tok_s(candidate.demand, candidate.layout.stages, candidate.partition))


def _whole_steps(context: int, want: Wants) -> int:
    """Rounded down to steps people can read, unless it is what is wanted."""
    return context if context >= want.context or context < CONTEXT_STEP else context // CONTEXT_STEP * CONTEXT_STEP


def _quickest_first(found: list[Candidate]) -> list[Candidate]:
    """Without those that hold all that is wanted, but so much slower that who prefers speed rather gives up context."""
    quickest = max(found, key=_worth, default=None)
    if quickest is None or quickest.status != "tight":
        return found
    slower = [c for c in found if c.status == "fits"]
    kept = [c for c in found if c is not quickest and c not in slower]
    return [replace(quickest, given_up=(*slower, *quickest.given_up)), *kept]


def _worth(candidate: Candidate) -> float:
    """To who prefers speed: three quarters of the context for half as much speed again, as in `planning.choose`."""
    return (candidate.decode_tok_s or 1.0) * candidate.settings.context**0.25 if candidate.status != "no_fit" else 0.0


def _better(one: Candidate, other: Candidate) -> bool:
    rank = {"fits": 2, "tight": 1}
    merits = [(rank.get(c.status, 0), c.settings.context, c.requests) for c in (one, other)]
    return merits[0] > merits[1]

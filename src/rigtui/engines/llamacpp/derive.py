"""From a rig, a model and an intent to candidates: every sensible way to run the model with llama.cpp. Pure.

llama.cpp's own `--fit` places the layers; what is chosen here is which cards it sees, the context, the KV type and the free memory it
must leave. Never `-ngl`, `-ts` or `-ot`: each of them switches `--fit` off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.llamacpp.activity import bytes_per_token
from rigtui.engines.llamacpp.fit import Fitted, fit, refill
from rigtui.engines.llamacpp.footprint import HOST, Placement, footprint, needs
from rigtui.engines.llamacpp.settings import PAD_CONTEXT, Device, Settings
from rigtui.engines.llamacpp.weights import WeightTable, weight_table
from rigtui.errors import UsageError
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.constraints import Constraint, about, largest, unused_gpus
from rigtui.planning.plan import Status
from rigtui.planning.reserve import SYSTEM_RAM, headroom_bytes, runtime_bytes
from rigtui.planning.speed import Stage, decode_tok_s
from rigtui.planning.wants import Wants, bounded, wants
from rigtui.rig.rig import Gpu, Rig
from rigtui.rig.select import select
from rigtui.text import MIB

WORTH_STEERING = 1.05
"""Expected speed-up from which the plainer division by free memory is given up."""
STEERING_TRIES = 6
STEERING_STEP_MIB = 32
STEERING_SLACK_MIB = 16
"""Asked for less than is left, so that rounding in the engine cannot push a layer into RAM."""


class Candidate(Struct, frozen=True, kw_only=True):
    """One way to run it, judged."""

    status: Status
    gpus: tuple[Gpu, ...]
    """In engine order; empty: the CPU."""
    headroom: tuple[int, ...]
    """Wanted per GPU, bytes."""
    floor: tuple[int, ...]
    """Runtime per GPU, bytes."""
    settings: Settings
    fitted: Fitted
    decode_tok_s: float | None = None
    steered: bool = False
    """Targets are raised and cards ordered so that `--fit` fills the fast cards first."""

    @property
    def free_after(self) -> tuple[int, ...]:
        """Bytes left on every GPU."""
        return tuple(
            (gpu.free_bytes or 0) - floor - use.total
            for gpu, floor, use in zip(self.gpus, self.floor, self.fitted.footprint.devices, strict=True)
        )

    @property
    def in_vram(self) -> bool:
        """Everything but the token embedding lies on GPUs."""
        return bool(self.gpus) and self.fitted.footprint.offloaded_layers == 0 and self.fitted.placement.home[-1] != HOST

    @property
    def host_bytes(self) -> int:
        """RAM for weights, KV and compute."""
        return self.fitted.footprint.host.total


class Derivation(Struct, frozen=True, kw_only=True):
    """All candidates, and what they were derived from."""

    wants: Wants
    cards: tuple[Gpu, ...]
    """The cards that could be used."""
    candidates: tuple[Candidate, ...]
    own_cpu: str | None = None
    """The user's own argument that leaves the GPUs out."""


def derive(
    rig: Rig, model: Model, intent: Intent, *, sees_gpus: bool, own_cpu: str | None = None, constraints: Sequence[Constraint] = ()
) -> Derivation:
    """Every candidate for this rig, the unfit ones too.

    `sees_gpus`: whether the build can use GPUs; without, the CPU is the only device, and `own_cpu` is the user's argument that makes
    it so. `constraints` bound what the user did not set. Raises UsageError for settings that cannot be.
    """
    want = bounded(wants(model, intent), intent, constraints)
    own, unused = intent.overrides, unused_gpus(constraints)
    cards = select(rig, own.gpus) if own.gpus else tuple(card for card in rig.usable_gpus if about(card) not in unused)
    if not sees_gpus:
        cards = ()
    elif own.fit_target_mib and cards and len(own.fit_target_mib) not in (1, len(cards)):
        raise UsageError(f"--fit-target has {len(own.fit_target_mib)} values for {len(cards)} GPUs; give one, or one for each")
    search = _Search(rig, model, want, _headrooms(cards, own.fit_target_mib, constraints))
    if not cards:
        return Derivation(wants=want, cards=(), candidates=tuple(map(search.rated, _until_it_fits(want, search.on_cpu))), own_cpu=own_cpu)
    groups: list[tuple[Gpu, ...]] = [(card,) for card in _distinct(cards)] if not own.gpus else []
    if len(cards) > 1 or not groups:
        groups.append(cards)
    found = [candidate for group in groups for candidate in _until_it_fits(want, partial(search.in_vram, group))]
    if not own.gpus and not own.fit_target_mib:
        # An order or targets of the user's are kept.
        found += [steered for candidate in found if (steered := search.steered(candidate)) is not None]
    if not any(candidate.status == "fits" for candidate in found):
        # With layers in RAM every card helps: all of them together are the only sensible choice.
        found += [search.offloaded(groups[-1], kv, context) for kv in want.kv_types for context in _contexts(want)]
    return Derivation(wants=want, cards=cards, candidates=tuple(map(search.rated, found)))


def _until_it_fits(want: Wants, judge: Callable[[tuple[str, str]], Candidate]) -> tuple[Candidate, ...]:
    """One candidate per KV type, the coarser ones only as long as the finer ones do not serve."""
    found: list[Candidate] = []
    for kv in want.kv_types:
        found.append(judge(kv))
        if found[-1].status == "fits" or (found[-1].status == "offload" and not found[-1].gpus):
            break
    return tuple(found)


def _contexts(want: Wants) -> tuple[int, ...]:
    """Contexts worth a look when layers lie in RAM, where less context means more layers on the cards."""
    if want.context_fixed:
        return (want.context,)
    quarter = max(want.context // 4, want.context_least)
    return (want.context, quarter) if quarter < want.context else (want.context,)


def _headrooms(cards: Sequence[Gpu], targets: tuple[int, ...] | None, constraints: Sequence[Constraint]) -> dict[int, int]:
    """Headroom wanted per card (by its index), bytes: the user's own, or what the card's duties and the constraints ask for."""
    if not targets:
        return {card.index: max(headroom_bytes(card), int(largest(constraints, "headroom", card) or 0)) for card in cards}
    own = targets * len(cards) if len(targets) == 1 else targets
    return {card.index: target * MIB for card, target in zip(cards, own, strict=True)}


def _distinct(cards: Sequence[Gpu]) -> list[Gpu]:
    """One of each kind of card: two alike with the same free memory give the same plan."""
    kinds = {(c.name, c.free_bytes, headroom_bytes(c)): c for c in reversed(cards)}
    return list(reversed(kinds.values()))


class _Search:
    """The candidates of one model on one rig."""

    def __init__(self, rig: Rig, model: Model, want: Wants, headrooms: dict[int, int]) -> None:
        self.rig = rig
        self.model = model
        self.want = want
        self.headrooms = headrooms
        self.table: WeightTable = weight_table(model)

    def settings(self, cards: Sequence[Gpu], kv: tuple[str, str], context: int) -> Settings:
        return Settings(
            context=context * self.want.slots,
            slots=self.want.slots,
            kv_type=kv,
            batch=self.want.batch,
            ubatch=self.want.ubatch,
            split_mode="none" if len(cards) == 1 else "layer",
            fit_target_mib=tuple(headroom // MIB for headroom in self.headroom(cards)),
            embedding=self.want.embedding,
        )

    def headroom(self, cards: Sequence[Gpu]) -> tuple[int, ...]:
        return tuple(self.headrooms[card.index] for card in cards)

    def floor(self, cards: Sequence[Gpu]) -> tuple[int, ...]:
        return tuple(runtime_bytes(card, self.rig) for card in cards)

    def devices(self, cards: Sequence[Gpu]) -> list[Device]:
        taken = zip(cards, self.floor(cards), strict=True)
        return [Device(name=card.name, free_bytes=max((card.free_bytes or 0) - floor, 0)) for card, floor in taken]

    def candidate(self, cards: Sequence[Gpu], kv: tuple[str, str], context: int) -> Candidate:
        """Judge one set of cards, KV type and context per request."""
        return self.judged(cards, self.settings(cards, kv, context))

    def judged(self, cards: Sequence[Gpu], settings: Settings) -> Candidate:
        """Judge one set of cards under these settings."""
        fitted = fit(self.model, self.table, self.devices(cards), settings) if cards else self._fit_in_ram(settings)
        judged = Candidate(
            status="no_fit",
            gpus=tuple(cards),
            headroom=self.headroom(cards),
            floor=self.floor(cards),
            settings=settings,
            fitted=fitted,
        )
        return replace(judged, status=self._status(judged))

    def _fit_in_ram(self, settings: Settings) -> Fitted:
        context = settings.context or self.model.context_trained
        placement = Placement((HOST,) * (self.table.blocks + 1))
        taken = footprint(needs(self.model, self.table, settings, context), placement, 0)
        return Fitted(context=context, ngl=0, tensor_split=None, fills=None, placement=placement, footprint=taken, status="ok")

    def rated(self, candidate: Candidate) -> Candidate:
        """The candidate with its expected speed."""
        fitted, settings, cards = candidate.fitted, candidate.settings, candidate.gpus
        need = needs(self.model, self.table, settings, fitted.context)
        per_slot = settings.context_per_slot(fitted.context)
        read, read_in_ram = bytes_per_token(need, fitted.placement, fitted.footprint, self.model.experts, per_slot)
        homes = fitted.placement.home
        stages = [
            Stage(size, card.bandwidth_gb_s, sum(1 for home in homes if home == index))
            for index, (card, size) in enumerate(zip(cards, read, strict=True))
        ]
        shared = fitted.footprint.offloaded_layers if cards else 0
        stages.append(Stage(read_in_ram, self.rig.ram_bandwidth_gb_s, shared, ram=True))
        return replace(candidate, decode_tok_s=decode_tok_s(stages, sparse=self.model.experts is not None))

    def _status(self, judged: Candidate) -> Status:
        ram = self.rig.ram_free_bytes
        if ram is not None and judged.host_bytes + SYSTEM_RAM > ram:
            return "no_fit"
        wanted = judged.fitted.context >= self.want.context * self.want.slots
        if not judged.gpus:
            if self.rig.usable_gpus:
                return "offload"
            return "fits" if wanted else "tight"
        if any(after < headroom for after, headroom in zip(judged.free_after, judged.headroom, strict=True)):
            return "no_fit"
        if not judged.in_vram:
            return "offload"
        return "fits" if wanted else "tight"

    def in_vram(self, cards: Sequence[Gpu], kv: tuple[str, str]) -> Candidate:
        """All of it on `cards`, with as much context as fits up to what is wanted; `no_fit` when not even the least does."""
        return self._largest(lambda context: self.candidate(cards, kv, context), lambda c: c.in_vram and c.status in ("fits", "tight"))

    def steered(self, candidate: Candidate) -> Candidate | None:
        """The same with the fast cards filled first, when that is worth it: `--fit` itself divides by free memory alone.

        Two levers move it without `-ts`: the order of the cards, and a target that a slow card cannot keep in the default split, so that
        `--fit` fills again, from the last card to the first (of a mixture, whole layers from the first to the last).
        """
        speeds = [card.bandwidth_gb_s for card in candidate.gpus]
        if len(candidate.gpus) < 2 or not candidate.in_vram or None in speeds or len(set(speeds)) == 1:
            return None
        before = self.rated(candidate).decode_tok_s or 0.0
        slow_first = sorted(candidate.gpus, key=lambda card: card.bandwidth_gb_s or 0.0)
        found = [self._steer(candidate, order) for order in (slow_first, slow_first[::-1])]
        better = [c for c in found if c is not None and (c.decode_tok_s or 0.0) >= before * WORTH_STEERING]
        return max(better, key=lambda c: c.decode_tok_s or 0.0, default=None)

    def _steer(self, candidate: Candidate, cards: Sequence[Gpu]) -> Candidate | None:
        """Targets for this order that make `--fit` fill each card in turn, found by filling and looking what is left."""
        headroom = self.headroom(cards)
        targets = [-(-size // MIB) for size in headroom]
        for attempt in range(STEERING_TRIES):
            filled = refill(self.model, self.table, self.devices(cards), replace(candidate.settings, fit_target_mib=tuple(targets)))
            left = [device.free_bytes - use.total for device, use in zip(self.devices(cards), filled.footprint.devices, strict=True)]
            # What a card keeps anyway may as well be asked for: only then is the default split refused.
            asked = [max(target, size // MIB - STEERING_SLACK_MIB) for target, size in zip(targets, left, strict=True)]
            found = self.judged(cards, replace(candidate.settings, fit_target_mib=tuple(asked)))
            if found.in_vram and found.status == candidate.status:
                return self.rated(replace(found, steered=True))
            # Pipeline parallelism comes on with the last layer and takes what was not counted while the fast card was filled: leave more
            # there, until it is a layer less.
            short = [wanted - after for wanted, after in zip(headroom, found.free_after, strict=True)]
            if all(size <= 0 for size in short):
                return None
            more = STEERING_STEP_MIB << attempt
            targets = [target + (max(-(-size // MIB), more) if size > 0 else 0) for target, size in zip(targets, short, strict=True)]
        return None

    def offloaded(self, cards: Sequence[Gpu], kv: tuple[str, str], context: int) -> Candidate:
        """Experts, then layers in RAM: `context` tokens, halved until it fits."""
        while True:
            candidate = self.candidate(cards, kv, context)
            if candidate.status != "no_fit" or context <= self.want.context_least:
                return candidate
            context = max(context // 2, self.want.context_least)

    def on_cpu(self, kv: tuple[str, str]) -> Candidate:
        """All of it in RAM."""
        return self._largest(lambda context: self.candidate((), kv, context), lambda c: c.status != "no_fit")

    def _largest(self, judge: Callable[[int], Candidate], good: Callable[[Candidate], bool]) -> Candidate:
        """The candidate with the most context that is good, or the one with the least context when none is."""
        best = judge(self.want.context)
        if good(best) or self.want.context_fixed:
            return best
        least = judge(self.want.context_least)
        if not good(least):
            return least
        best = least
        low, high = self.want.context_least, self.want.context
        while high - low > PAD_CONTEXT:
            middle = (low + high) // 2 // PAD_CONTEXT * PAD_CONTEXT
            if middle <= low:
                break
            candidate = judge(middle)
            if good(candidate):
                low, best = middle, candidate
            else:
                high = middle
        return best

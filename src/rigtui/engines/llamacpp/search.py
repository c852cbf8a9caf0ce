"""One way to run a model on one set of cards, judged: what `--fit` makes of it, what is left, how fast it will be. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.llamacpp.activity import bytes_per_token
from rigtui.engines.llamacpp.bounds import can_hold
from rigtui.engines.llamacpp.fit import Fitted, fit, fit_whole
from rigtui.engines.llamacpp.footprint import footprint, needs
from rigtui.engines.llamacpp.placement import HOST, Placement
from rigtui.engines.llamacpp.settings import PAD_CONTEXT, Device, Settings
from rigtui.engines.llamacpp.shown import Shown
from rigtui.engines.llamacpp.weights import WeightTable, plain_table
from rigtui.models.model import Model
from rigtui.planning.plan import Basis, Status
from rigtui.planning.reserve import SYSTEM_RAM, runtime_bytes
from rigtui.planning.speed import Stage, decode_tok_s
from rigtui.planning.wants import Wants
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import MIB

SETTLING_TRIES = 4
NEAR_THE_MOST = 0.9
SETTLING_STEP_MIB = 16
"""The least by which a target that was missed is raised; doubled each time."""


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
    written: bool = False
    """rigtui writes the division itself, as `-ts` and `-ncmoe`: `--fit` cannot reach it."""
    pinned: bool = False
    """Arguments of the user's decide where things lie or how they are computed."""
    basis: Basis = "estimated"
    expected: Fitted | None = None
    """What rigtui had expected where the engine itself showed another placement."""

    @property
    def free_after(self) -> tuple[int, ...]:
        """Bytes left on every GPU."""
        return tuple(
            (gpu.free_bytes or 0) - floor - use.total
            for gpu, floor, use in zip(self.gpus, self.floor, self.fitted.footprint.devices, strict=True)
        )

    @property
    def short(self) -> tuple[int, ...]:
        """Bytes of the wanted headroom that would be missing on every GPU."""
        return tuple(max(wanted - after, 0) for wanted, after in zip(self.headroom, self.free_after, strict=True))

    @property
    def in_vram(self) -> bool:
        """Everything but the token embedding lies on GPUs."""
        return bool(self.gpus) and self.fitted.footprint.offloaded_layers == 0 and self.fitted.placement.home[-1] != HOST

    @property
    def host_bytes(self) -> int:
        """RAM for weights, KV and compute."""
        return self.fitted.footprint.host.total


class Search:
    """Judges the ways to run one model on one rig."""

    def __init__(
        self,
        rig: Rig,
        model: Model,
        want: Wants,
        headrooms: dict[int, int],
        shown: Shown,
        *,
        own_targets: bool = False,
        table: WeightTable | None = None,
        offered: frozenset[str] = frozenset(),
    ) -> None:
        """`headrooms`: wanted per card index, bytes; `own_targets`: they are the user's, and passed as they are.

        `table`: the model's weights with overrides; left out, without. `offered`: options by which a division can be written that the
        build has.
        """
        self.rig = rig
        self.model = model
        self.want = want
        self.headrooms = headrooms
        self.shown = shown
        self.own_targets = own_targets
        self.table = table or plain_table(model)
        self.offered = offered

    def settings(self, cards: Sequence[Gpu], kv: tuple[str, str], context: int) -> Settings:
        """For `context` tokens per request, with the wanted headroom as target."""
        return Settings(
            context=context * self.want.slots,
            slots=self.want.slots,
            kv_type=kv,
            batch=self.want.batch,
            ubatch=self.want.ubatch,
            split_mode="none" if len(cards) == 1 else "layer",
            fit_target_mib=tuple(-(-headroom // MIB) for headroom in self.headroom(cards)),
            embedding=self.want.embedding,
        )

    def headroom(self, cards: Sequence[Gpu]) -> tuple[int, ...]:
        """Wanted on each card, bytes."""
        return tuple(self.headrooms[card.index] for card in cards)

    def floor(self, cards: Sequence[Gpu]) -> tuple[int, ...]:
        """Runtime on each card, bytes."""
        return tuple(runtime_bytes(card, self.rig) for card in cards)

    def devices(self, cards: Sequence[Gpu]) -> list[Device]:
        """The cards as the engine finds them."""
        taken = zip(cards, self.floor(cards), strict=True)
        return [Device(name=card.name, free_bytes=max((card.free_bytes or 0) - floor, 0)) for card, floor in taken]

    def most_context(self, cards: Sequence[Gpu], kv: tuple[str, str]) -> int:
        """No context above this can lie on `cards` in this order: weights, cache and the least of buffers are more than there is.

        0 where not even the least can.
        """
        if self.can_hold(cards, kv, self.want.context):
            return self.want.context
        low, high = 0, -(-self.want.context // PAD_CONTEXT)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.can_hold(cards, kv, middle * PAD_CONTEXT) else (low, middle)
        return low * PAD_CONTEXT

    def can_hold(self, cards: Sequence[Gpu], kv: tuple[str, str], context: int, *, buffers: bool = True) -> bool:
        """Whether `context` tokens per request are not out of the question: a bound that costs next to nothing, no judgement.

        Without `buffers` only weights and cache count.
        """
        settings = self.settings(cards, kv, context)
        rooms = [max(d.free_bytes - h, 0) for d, h in zip(self.devices(cards), self.headroom(cards), strict=True)]
        need = needs(self.model, self.table, settings, context * self.want.slots)
        dense, buffer = self.model.experts is None, 0
        if buffers and not self.shown.knows(cards, settings):  # else they are corrected
            # A target of the user's is kept without the copies of pipeline parallelism, which then take what they need.
            buffer = need.compute.least(need.context, pipeline=dense and len(cards) > 1 and not self.own_targets)
        return can_hold(need, rooms, buffer, divided=not dense)

    @staticmethod
    def per_slot(candidate: Candidate) -> int:
        """Its context per request."""
        return candidate.settings.context_per_slot(candidate.fitted.context)

    def candidate(self, cards: Sequence[Gpu], kv: tuple[str, str], context: int) -> Candidate:
        """One set of cards in this order, KV type and context per request."""
        return self.settled(self.judged(cards, self.settings(cards, kv, context)))

    def serving(self, cards: Sequence[Gpu], kv: tuple[str, str], context: int) -> Candidate | None:
        """The same where all of it lies on the cards with the wanted headroom, else None, which is far cheaper to tell."""
        settings = self.settings(cards, kv, context)
        if self.shown.knows(cards, settings):
            found = self.judged(cards, settings)
        else:
            fitted = fit_whole(self.model, self.table, self.devices(cards), settings)
            if fitted is None:
                return None
            found = self._candidate(cards, settings, fitted)
        found = self.settled(found)
        return found if serves(found) else None

    def settled(self, found: Candidate) -> Candidate:
        """`found` with targets raised until the wanted headroom is really left: `--fit` itself misses its target at times.

        It fills the cards without pipeline parallelism, which the last step may switch on (common/fit.cpp of llama.cpp 0.5.0-dev).
        """
        for attempt in range(SETTLING_TRIES):
            if self.own_targets or not any(found.short) or found.basis != "estimated" or found.fitted.status != "ok":
                break
            more = [-(-size // MIB) for size in found.short]
            raised = tuple(
                target + (max(size, SETTLING_STEP_MIB << attempt) if size else 0)
                for target, size in zip(found.settings.fit_target_mib, more, strict=True)
            )
            found = self.judged(found.gpus, replace(found.settings, fit_target_mib=raised))
        return found

    def judged(self, cards: Sequence[Gpu], settings: Settings) -> Candidate:
        """One set of cards under just these settings."""
        if not cards:
            return self._candidate(cards, settings, self._fit_in_ram(settings))
        devices = self.devices(cards)
        fitted = fit(self.model, self.table, devices, settings)
        return self._candidate(cards, settings, *self.shown.instead(self.table, cards, devices, settings, fitted))

    def _candidate(
        self, cards: Sequence[Gpu], settings: Settings, fitted: Fitted, basis: Basis = "estimated", expected: Fitted | None = None
    ) -> Candidate:
        judged = Candidate(
            status="no_fit",
            gpus=tuple(cards),
            headroom=self.headroom(cards),
            floor=self.floor(cards),
            settings=settings,
            fitted=fitted,
            basis=basis,
            expected=expected,
        )
        return replace(judged, status=self._status(judged))

    def _fit_in_ram(self, settings: Settings) -> Fitted:
        context = settings.context or self.model.context_trained
        placement = Placement((HOST,) * (self.table.blocks + 1))
        taken = footprint(needs(self.model, self.table, settings, context), placement, 0)
        return Fitted(context=context, ngl=0, tensor_split=None, fills=None, placement=placement, footprint=taken, status="ok")

    def _status(self, judged: Candidate) -> Status:
        ram = self.rig.ram_free_bytes
        if judged.fitted.status == "endless" or (ram is not None and judged.host_bytes + SYSTEM_RAM > ram):
            return "no_fit"
        wanted = self.per_slot(judged) >= self.want.context
        if not judged.gpus:
            if self.rig.usable_gpus:
                return "offload"
            return "fits" if wanted else "tight"
        short = any(judged.short)
        if short and not (self.own_targets and all(after >= 0 for after in judged.free_after)):
            return "no_fit"
        if not judged.in_vram or judged.fitted.footprint.host.kv:
            return "offload"
        return "fits" if wanted and not short else "tight"

    def rated(self, candidate: Candidate) -> Candidate:
        """The candidate with its expected speed."""
        if candidate.decode_tok_s is not None:
            return candidate
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

    def largest(
        self, probe: Callable[[int], Candidate | None], *, most: int | None = None, known: Candidate | None = None
    ) -> Candidate | None:
        """The candidate with the most context for which `probe` gives one; None when it does not even for the least.

        `most`: it gives none above this. `known`: one that it gave already.
        """
        least, high = self.want.context_least, self.want.context
        if most is None or most >= high:
            if found := probe(high):
                return found
        else:
            high = most // PAD_CONTEXT * PAD_CONTEXT + PAD_CONTEXT
        best = known or probe(least)
        if best is None or self.want.context_fixed:
            return None
        low = least if known is None else self.per_slot(known)
        share = NEAR_THE_MOST  # what can be known without a look is mostly not far off
        while high - low > PAD_CONTEXT:
            middle = int(low + (high - low) * share) // PAD_CONTEXT * PAD_CONTEXT
            share = 0.5
            if middle <= low:
                break
            if candidate := probe(middle):
                low, best = middle, candidate
            else:
                high = middle
        return best


def serves(candidate: Candidate) -> bool:
    """Whether all of it lies on the cards with the wanted headroom."""
    return candidate.in_vram and candidate.status in ("fits", "tight")

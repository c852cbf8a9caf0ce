"""Puts what the engine itself has shown in the place of rigtui's own estimate. Pure.

A placement that was shown is taken as it is. For other contexts of the same way to run a model the compute buffers are corrected by what
was seen: the estimate's error hardly depends on context and split.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.llamacpp.fit import Fitted, fit
from rigtui.engines.llamacpp.footprint import DeviceUse, Footprint, footprint, needs
from rigtui.engines.llamacpp.placement import HOST, Placement
from rigtui.engines.llamacpp.settings import Device, Settings
from rigtui.engines.llamacpp.weights import Part, WeightTable
from rigtui.models.model import Model
from rigtui.planning.known import Known, Seen, Way, nearest, same_question
from rigtui.planning.plan import Basis
from rigtui.rig.rig import Gpu


class Shown(Struct, frozen=True, kw_only=True):
    """What is known of one model under one build and the user's own arguments."""

    model: Model
    known: Known
    build: str
    own: tuple[str, ...] = ()

    def way(self, cards: Sequence[Gpu], settings: Settings) -> Way:
        """The name under which things are known."""
        return Way(
            fingerprint=self.model.fingerprint,
            build=self.build,
            cards=tuple(card.name for card in cards),
            slots=settings.slots,
            kv_type=settings.kv_type,
            batch=settings.batch,
            ubatch=settings.ubatch,
            own=self.own,
        )

    def knows(self, cards: Sequence[Gpu], settings: Settings) -> bool:
        """Whether anything is known of this way to run the model."""
        return bool(self.known.seen) and bool(self.known.of(self.way(cards, settings)))

    def instead(
        self, table: WeightTable, cards: Sequence[Gpu], devices: Sequence[Device], settings: Settings, fitted: Fitted
    ) -> tuple[Fitted, Basis, Fitted | None]:
        """What is to be shown instead of `fitted`, on what basis, and `fitted` where the engine placed the layers otherwise."""
        if not self.known.seen:
            return fitted, "estimated", None
        found = self.known.of(self.way(cards, settings))
        if not found:
            return fitted, "estimated", None
        free = [device.free_bytes for device in devices]
        for seen in found:
            if same_question(seen, fitted.context, settings.fit_target_mib, free):
                taken = as_fitted(seen, table, fitted)
                return taken, seen.basis, None if taken.placement is fitted.placement else fitted
        corrected = self._corrected(table, devices, settings, fitted, found)
        for seen in found:
            if seen.context == corrected.context and alike(seen, corrected, table):
                return as_fitted(seen, table, corrected), seen.basis, None
        return corrected, "estimated", None

    def _corrected(
        self, table: WeightTable, devices: Sequence[Device], settings: Settings, fitted: Fitted, found: Sequence[Seen]
    ) -> Fitted:
        """`fitted` with compute buffers corrected, and decided again with them."""
        errors = self._errors(table, settings, fitted, found)
        if not any(errors):
            return fitted
        decided = fit(self.model, table, [replace(d, beside_bytes=error) for d, error in zip(devices, errors, strict=True)], settings)
        errors = self._errors(table, settings, decided, found)
        uses = decided.footprint.devices
        rows = tuple(
            replace(use, compute=max(use.compute + error, 0)) if use.total else use for use, error in zip(uses, errors, strict=True)
        )
        return replace(decided, footprint=replace(decided.footprint, devices=rows))

    def _errors(self, table: WeightTable, settings: Settings, fitted: Fitted, found: Sequence[Seen]) -> list[int]:
        """By how much the estimate of each device's compute buffer is too low, seen at the nearest context; 0 where nothing is known."""
        taken = fitted.footprint
        seen = nearest(found, fitted.context, pipeline=taken.pipeline, spilled=taken.offloaded_layers > 0)
        if seen is None or len(seen.devices) != len(taken.devices):
            return [0] * len(taken.devices)
        then = footprint(needs(self.model, table, settings, seen.context), fitted.placement, len(taken.devices))
        return [
            real.compute_bytes - estimate.compute if real.layers and estimate.weights else 0
            for real, estimate in zip(seen.devices, then.devices, strict=True)
        ]


def alike(seen: Seen, fitted: Fitted, table: WeightTable) -> bool:
    """Whether both place every layer that is loaded, and the head, on the same device."""
    there, here = placement_of(seen, table), fitted.placement
    loaded = len(table.layers)
    return (there.home[:loaded], there.home[-1], there.moved) == (here.home[:loaded], here.home[-1], here.moved)


def placement_of(seen: Seen, table: WeightTable) -> Placement:
    """Where every block and the head lay."""
    home = [HOST] * (table.blocks + 1)
    for index, device in enumerate(seen.devices):
        home[device.first_layer : device.first_layer + device.layers] = [index] * device.layers
        if device.output:
            # Blocks that only count in the split go with the head.
            home[len(table.layers) :] = [index] * (len(home) - len(table.layers))
    return Placement(tuple(home), {moved.block: (Part(moved.part), moved.to) for moved in seen.moved})


def as_fitted(seen: Seen, table: WeightTable, fitted: Fitted) -> Fitted:
    """What was seen, in the place of `fitted`, whose own placement stays where it is the same."""
    uses = tuple(DeviceUse(d.weights_bytes, d.kv_bytes, d.compute_bytes) for d in seen.devices)
    host = DeviceUse(seen.host.weights_bytes, seen.host.kv_bytes, seen.host.compute_bytes)
    taken = replace(fitted, footprint=Footprint(uses, host, seen.pipeline, seen.host.offloaded_layers, fitted.footprint.flash))
    if alike(seen, fitted, table):
        return taken
    placement = placement_of(seen, table)
    shares = tuple(sum(1 for home in placement.home if home == index) for index in range(len(uses)))
    return replace(
        taken,
        ngl=sum(shares),
        tensor_split=shares,
        fills=None,
        placement=placement,
        status=seen.fit.status or fitted.status,
        message=seen.fit.message,
    )

"""What engines have shown of a model's memory: it takes the place of the estimate. Pure values.

A dry run of the engine gives them before a launch (basis `verified`), the results of earlier runs give them afterwards (`remembered`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from rigtui.planning.plan import FitView, PlanHost
from rigtui.rig.rig import Rig
from rigtui.text import MIB

SAME_FREE_BYTES = 16 * MIB
"""Up to this difference in free memory an engine is taken to decide the same."""


class Way(Struct, frozen=True, kw_only=True):
    """Everything but context and placement that decides what a run takes."""

    fingerprint: str
    """Of the model."""
    build: str
    """Of the engine, with its backend."""
    cards: tuple[str, ...]
    """Names, in engine order."""
    slots: int
    kv_type: tuple[str, str]
    batch: int
    ubatch: int
    own: tuple[str, ...] = ()
    """The user's own arguments: they may do anything."""


class SeenDevice(Struct, frozen=True, kw_only=True):
    """What one device of a run held, bytes."""

    layers: int
    first_layer: int
    output: bool
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    free_bytes: int | None = None
    """What the engine found free before it allocated anything; None: not known."""


class Moved(Struct, frozen=True):
    """A block of which a part lies elsewhere: the part that stays, in the engine's own numbering, and the device of the rest."""

    block: int
    part: int
    to: int
    """Device index, -1 for RAM."""


class Seen(Struct, frozen=True, kw_only=True):
    """One placement of a model, as an engine showed it."""

    basis: Literal["verified", "remembered"]
    way: Way
    context: int
    """Total over all slots."""
    fit_target_mib: tuple[int, ...] = ()
    """What it was asked to leave; empty where that is not known."""
    pipeline: bool
    devices: tuple[SeenDevice, ...]
    """In engine order."""
    host: PlanHost = PlanHost()
    moved: tuple[Moved, ...] = ()
    fit: FitView = FitView()

    @property
    def spilled(self) -> bool:
        """Layers lie in RAM, in whole or in part."""
        return self.host.offloaded_layers > 0

    @property
    def layers(self) -> tuple[tuple[int, int, bool], ...]:
        """Per device: first layer, layers, and whether it has the output head."""
        return tuple((device.first_layer if device.layers else 0, device.layers, device.output) for device in self.devices)


class SeenWorker(Struct, frozen=True, kw_only=True):
    """One card of a run by its engine's own account, for an engine that keeps one per card (vLLM); bytes, None: it did not say."""

    fingerprint: str
    """Of the model."""
    card: str
    """Name: what holds for one card of a type holds for the others."""
    workers: int
    """Cards of the run."""
    layers: int
    first: bool
    """It has the embedding."""
    last: bool
    """It has the output head."""
    command: tuple[str, ...]
    started: str
    gone_bytes: int | None
    """Taken by the engine's runtime before it looked how much is free."""
    compute_bytes: int | None
    """Activations at their peak."""
    graphs_bytes: int | None


class Known(Struct, frozen=True, kw_only=True):
    """All that engines have shown on this rig; of equals, the later one counts."""

    seen: tuple[Seen, ...] = ()
    runtime: dict[str, int] = {}
    """What a bare engine process takes, bytes by the card's UUID."""
    workers: tuple[SeenWorker, ...] = ()
    """Oldest first."""

    def and_also(self, other: Known) -> Known:
        """Both; what `other` says comes later."""
        workers = (*self.workers, *other.workers)
        return Known(seen=(*self.seen, *other.seen), runtime=self.runtime | other.runtime, workers=workers)

    def of(self, way: Way) -> tuple[Seen, ...]:
        """What was seen of this way to run a model, latest first."""
        return tuple(seen for seen in reversed(self.seen) if seen.way == way)

    def on(self, rig: Rig) -> Rig:
        """The rig with what is known of each card's runtime; what the rig says itself stands."""
        if not self.runtime or rig.simulated:
            return rig
        gpus = (
            replace(gpu, runtime_bytes=self.runtime[gpu.uuid]) if gpu.runtime_bytes is None and gpu.uuid in self.runtime else gpu
            for gpu in rig.gpus
        )
        return replace(rig, gpus=tuple(gpus))


NOTHING = Known()


def same_question(seen: Seen, context: int, fit_target_mib: tuple[int, ...], free: Sequence[int]) -> bool:
    """Whether the engine was asked just this, with as much free on every card: then it decides the same again."""
    if seen.context != context or seen.fit_target_mib != fit_target_mib or len(seen.devices) != len(free):
        return False
    return all(
        device.free_bytes is not None and abs(device.free_bytes - now) <= SAME_FREE_BYTES
        for device, now in zip(seen.devices, free, strict=True)
    )


def nearest(found: Sequence[Seen], context: int, *, pipeline: bool, spilled: bool) -> Seen | None:
    """Of one way's sightings the one with the nearest context whose compute buffers are of the same kind."""
    alike = [seen for seen in found if seen.pipeline == pipeline and seen.spilled == spilled]
    return min(alike, key=lambda seen: abs(seen.context - context), default=None)

"""What a placement takes on every device: weights, KV and compute, bytes. Pure.

Sources in llama.cpp 0.5.0-dev: common/fit.cpp (partial layers), llama-context.cpp:426-460 (pipeline parallelism).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from rigtui.engines.llamacpp.compute import Computation, computation
from rigtui.engines.llamacpp.kv import kv_per_layer
from rigtui.engines.llamacpp.placement import HOST, Placement
from rigtui.engines.llamacpp.settings import Settings
from rigtui.engines.llamacpp.weights import LayerWeights, Part, Pinned, Sizes, WeightTable
from rigtui.models.model import Model


class DeviceUse(Struct, frozen=True):
    """Bytes on one device, or in RAM."""

    weights: int = 0
    kv: int = 0
    compute: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv + self.compute


class Footprint(Struct, frozen=True):
    """What a placement takes."""

    devices: tuple[DeviceUse, ...]
    host: DeviceUse
    pipeline: bool
    offloaded_layers: int
    """Blocks that are in RAM in whole or in part."""
    flash: bool
    """Attention is computed in one piece."""


class Needs(Struct, frozen=True):
    """A model under settings at one context: everything a footprint adds up."""

    table: WeightTable
    kv: tuple[int, ...]
    compute: Computation
    context: int
    split_mode: str
    kv_offload: bool
    patterns: bool
    """Tensors are placed by pattern (`-ot`, `-ncmoe`), even where none matches."""


def needs(model: Model, table: WeightTable, settings: Settings, context: int) -> Needs:
    """Collect what the footprint of `model` is made of at `context` cells in total."""
    return Needs(
        table=table,
        kv=kv_per_layer(model, settings, context),
        compute=computation(model, settings, table.overrides, context),
        context=context,
        split_mode=settings.split_mode,
        kv_offload=settings.kv_offload,
        patterns=bool(table.overrides or settings.experts_in_ram),
    )


class _Ledger:
    """Adds up what lies where, one layer at a time."""

    def __init__(self, need: Needs, placement: Placement, devices: int) -> None:
        self.need = need
        self.placement = placement
        self.weights = [0] * devices
        self.kv = [0] * devices
        self.holds: set[int] = set()
        """Devices with blocks."""
        self.host_weights = need.table.input.host
        self.host_kv = 0
        self.in_ram: set[int] = set()
        """Blocks that are in RAM in whole or in part."""
        for index, layer in enumerate(need.table.layers):
            self._layer(index, layer)
        for pin in need.table.pinned:
            self._pinned(pin)
        self._head()

    def _layer(self, index: int, layer: LayerWeights) -> None:
        home = self.placement.home[index]
        kv = self.need.kv[index]
        if home == HOST:
            self._to_ram(index, layer.whole)
            self.host_kv += kv
            return
        self.holds.add(home)
        if self.need.kv_offload:
            self.kv[home] += kv
        else:
            self.host_kv += kv
        self.weights[home] += layer.whole.gpu
        part, elsewhere = self.placement.moved.get(index, (Part.NOTHING, HOST))
        if not part:
            return
        away = layer.moved[part]
        self.weights[home] -= away.gpu
        if elsewhere != HOST:
            self.weights[elsewhere] += away.gpu
        elif away.host:
            self._to_ram(index, away)

    def _pinned(self, pin: Pinned) -> None:
        if pin.device == HOST or self.placement.home[pin.layer] == HOST:
            self._to_ram(pin.layer, pin.sizes)
        else:
            self.weights[pin.device] += pin.sizes.gpu

    def _head(self) -> None:
        head, output = self.placement.home[-1], self.need.table.output
        if head == HOST:
            self.host_weights += output.host
        else:
            self.weights[head] += output.gpu

    def device_weights(self) -> list[int]:
        """Bytes of weights per device; each that holds blocks has a copy of what all need."""
        copies = self.need.table.per_device
        return [size + (copies if device in self.holds else 0) for device, size in enumerate(self.weights)]

    def _to_ram(self, index: int, sizes: Sizes) -> None:
        self.host_weights += sizes.host
        self.in_ram.add(index)


def footprint(need: Needs, placement: Placement, devices: int) -> Footprint:
    """What `placement` takes on `devices` GPUs and in RAM."""
    ledger = _Ledger(need, placement, devices)
    pipeline = _pipeline(need, placement, devices)
    weights = ledger.device_weights()
    compute = [need.compute.buffer(placement, device, need.context, pipeline=pipeline) for device in range(devices)]
    host = need.compute.host_buffer(placement, devices, need.context, pipeline=pipeline)
    return Footprint(
        devices=tuple(DeviceUse(w, k, c) for w, k, c in zip(weights, ledger.kv, compute, strict=True)),
        host=DeviceUse(ledger.host_weights + (need.table.per_device if ledger.in_ram else 0), ledger.host_kv, host),
        pipeline=pipeline,
        offloaded_layers=len(ledger.in_ram),
        flash=need.compute.has_flash(placement),
    )


def projected(need: Needs, placement: Placement, devices: int, asked: Iterable[int]) -> dict[int, int]:
    """Bytes in total on the devices `asked` for, as `--fit` measures them before loading (see `Computation.buffer`)."""
    pipeline = _pipeline(need, placement, devices)
    ledger = _Ledger(need, placement, devices) if need.table.pinned else None
    weights = ledger.device_weights() if ledger else []
    return {
        device: (weights[device] + ledger.kv[device] if ledger else held(need, placement, device))
        + need.compute.buffer(placement, device, need.context, pipeline=pipeline, projected=True)
        for device in asked
    }


def overstated_host(need: Needs, placement: Placement, devices: int) -> int:
    """Bytes of the compute buffer in RAM by which the measuring exceeds what is then allocated; negative where it falls short."""
    pipeline = _pipeline(need, placement, devices)
    measured, real = (
        need.compute.host_buffer(placement, devices, need.context, pipeline=pipeline, projected=projected) for projected in (True, False)
    )
    return measured - real


def held(need: Needs, placement: Placement, device: int) -> int:
    """Bytes of weights and cache alone on one device, without tensors that overrides put there: at least so much is `projected` there,
    and it needs no graph.
    """
    total = need.table.output.gpu if placement.home[-1] == device else 0
    home, layers = placement.home, len(need.kv)
    count = home[:layers].count(device)
    if count:
        first = home.index(device)  # what a device has are neighbours
        total += need.table.per_device + need.table.upto[first + count] - need.table.upto[first]
        if need.kv_offload:
            total += sum(need.kv[first : first + count])
    for index, (part, elsewhere) in placement.moved.items():
        where = home[index] if index < layers else HOST
        if where not in (HOST, elsewhere) and device in (where, elsewhere):
            away = need.table.layers[index].moved[part].gpu
            total += -away if where == device else away
    return total


def buffer_bounds(need: Needs, placement: Placement, devices: int, device: int) -> tuple[int, int | None]:
    """Between what the compute buffer of one device is sure to lie, told without a graph; None: no upper bound is known."""
    return need.compute.bounds(placement, device, need.context, pipeline=_pipeline(need, placement, devices))


def _pipeline(need: Needs, placement: Placement, devices: int) -> bool:
    """Whether llama.cpp keeps several copies of the inputs: several GPUs hold everything, and no pattern says where tensors lie."""
    if devices < 2 or need.split_mode != "layer" or not need.kv_offload:
        return False
    return not placement.moved and not need.patterns and HOST not in placement.home

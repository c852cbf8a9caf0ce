"""What a placement takes on every device: weights, KV and compute, bytes. Pure.

A placement says for every block, and for the output head after the last one, which device holds it. Sources in llama.cpp
0.5.0-dev: llama-model.cpp:1556-1614 (split), common/fit.cpp (partial layers), llama-context.cpp:426-460 (pipeline parallelism).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence

from msgspec import Struct

from rigtui.engines.llamacpp.activations import ENCODERS
from rigtui.engines.llamacpp.compute import ComputeNeeds, Use, compute_needs
from rigtui.engines.llamacpp.kv import is_sliding, kv_per_layer
from rigtui.engines.llamacpp.settings import Settings
from rigtui.engines.llamacpp.weights import LayerWeights, Part, Pinned, Sizes, WeightTable
from rigtui.models.model import Model

HOST = -1


class Placement(Struct, frozen=True):
    """Where every block lives."""

    home: tuple[int, ...]
    """Per block (MTP blocks too), and last for the output head: device index or HOST."""
    moved: dict[int, tuple[Part, int]] = {}
    """Blocks of which a part lies elsewhere: the part that stays, and where the rest is."""


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


class Needs(Struct, frozen=True):
    """A model under settings at one context: everything a footprint adds up."""

    table: WeightTable
    kv: tuple[int, ...]
    compute: ComputeNeeds
    sliding: tuple[bool, ...]
    attends: tuple[bool, ...]
    """Per layer: it has a KV cache, or needs none to attend."""
    split_mode: str
    kv_offload: bool
    sparse: bool
    """Mixture of experts."""


def needs(model: Model, table: WeightTable, settings: Settings, context: int) -> Needs:
    """Collect what the footprint of `model` is made of at `context` cells in total."""
    return Needs(
        table=table,
        kv=kv_per_layer(model, settings, context),
        compute=compute_needs(model, settings, context),
        sliding=tuple(is_sliding(model, layer) for layer in range(model.layers)),
        attends=tuple(heads > 0 or model.architecture in ENCODERS for heads in model.kv_heads),
        split_mode=settings.split_mode,
        kv_offload=settings.kv_offload,
        sparse=model.experts is not None,
    )


def _float32(value: float) -> float:
    result: float = struct.unpack("f", struct.pack("f", value))[0]
    return result


def split_home(blocks: int, ngl: int, weights: Sequence[float]) -> tuple[int, ...]:
    """Device of every block and of the head: the last `ngl` of them, divided in proportion to `weights`, in llama.cpp's 32-bit arithmetic.

    `ngl` counts the head as one. The first blocks stay in RAM when it is less than all.
    """
    slots = blocks + 1
    ngl = min(ngl, slots)
    if ngl == 0 or not weights:
        return (HOST,) * slots
    total = 0.0
    edges = []
    for weight in weights:
        total = _float32(total + _float32(weight))
        edges.append(total)
    edges = [_float32(edge / total) if total else 1.0 for edge in edges]
    first = slots - ngl
    last = len(weights) - 1
    return (HOST,) * first + tuple(min(bisect_right(edges, _float32(i / ngl)), last) for i in range(ngl))


class _Ledger:
    """Adds up what lies where, one layer at a time."""

    def __init__(self, need: Needs, placement: Placement, devices: int) -> None:
        self.need = need
        self.placement = placement
        self.weights = [0] * devices
        self.kv = [0] * devices
        self.held: list[list[int]] = [[] for _ in range(devices)]
        """Per device: the blocks on it."""
        self.feeds: set[int] = set()
        """Devices that compute the feed-forward part of a block for all tokens."""
        self.receives: set[int] = set()
        """Devices with a part of another's block."""
        self.pinned = {pin.layer for pin in need.table.pinned}
        self.host_weights = need.table.input.host
        self.host_kv = 0
        self.in_ram: set[int] = set()
        """Blocks that are in RAM in whole or in part."""
        self.spilled: list[tuple[int, ...]] = []
        """The largest tensors of what lies in RAM, per layer."""
        self.spilled_kv = 0
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
            self.spilled_kv = max(self.spilled_kv, kv)
            return
        self.held[home].append(index)
        if self.need.kv_offload:
            self.kv[home] += kv
        else:
            self.host_kv += kv
        self.weights[home] += layer.whole.gpu
        part, elsewhere = self.placement.moved.get(index, (Part.NOTHING, HOST))
        if self._feeds(index, part):
            self.feeds.add(home)
        if not part:
            return
        away = layer.moved[part]
        self.weights[home] -= away.gpu
        if elsewhere != HOST:
            self.weights[elsewhere] += away.gpu
            self.feeds.add(elsewhere)
            self.receives.add(elsewhere)
        elif away.host:
            self._to_ram(index, away)

    def _feeds(self, index: int, part: Part) -> bool:
        """Whether the block's home computes its feed-forward part; the last block's only for tokens that give an output."""
        if index == len(self.need.table.layers) - 1 and not self.need.compute.every_output:
            return False
        return not (self.need.sparse and (part in (Part.ATTENTION, Part.EXPERTS) or index in self.pinned))

    def use(self, device: int, last: int) -> Use:
        """What `device` computes."""
        held = self.held[device]
        attending = [index for index in held if self.need.attends[index]]
        return Use(
            full=any(not self.need.sliding[index] for index in attending),
            sliding=any(self.need.sliding[index] for index in attending),
            blocks=len(held),
            first=device == self.placement.home[0],
            last=device == last,
            feed_forward=device in self.feeds,
            receives=device in self.receives,
        )

    def _pinned(self, pin: Pinned) -> None:
        if pin.device == HOST or self.placement.home[pin.layer] == HOST:
            self._to_ram(pin.layer, pin.sizes)
        else:
            self.weights[pin.device] += pin.sizes.gpu

    def _head(self) -> None:
        head, output = self.placement.home[-1], self.need.table.output
        if head == HOST:
            self.host_weights += output.host
            self.spilled.append(output.largest[:1])
        else:
            self.weights[head] += output.gpu

    def _to_ram(self, index: int, sizes: Sizes) -> None:
        self.host_weights += sizes.host
        self.spilled.append(sizes.largest)
        self.in_ram.add(index)


def footprint(need: Needs, placement: Placement, devices: int, *, projected: bool = False) -> Footprint:
    """What `placement` takes on `devices` GPUs and in RAM.

    `projected`: as `--fit` measures it before loading, which with pipeline parallelism is `4 x embedding x ubatch x 4 B` more than is
    then allocated on every GPU but the first.
    """
    ledger = _Ledger(need, placement, devices)
    pipeline = _pipeline(need, placement, devices)
    head = placement.home[-1]
    compute = [
        _compute(need.compute, ledger.use(d, devices - 1), head=d == head, pipeline=pipeline, extra=projected and d > 0)
        for d in range(devices)
    ]
    if devices and ledger.spilled:
        compute[0] = max(compute[0], _spilled_compute(need, ledger.spilled, ledger.spilled_kv, devices))
    copies = need.table.per_device
    weights = [size + (copies if held else 0) for size, held in zip(ledger.weights, ledger.held, strict=True)]
    return Footprint(
        devices=tuple(DeviceUse(w, k, c) for w, k, c in zip(weights, ledger.kv, compute, strict=True)),
        host=DeviceUse(ledger.host_weights + (copies if ledger.in_ram else 0), ledger.host_kv, _host_compute(need, pipeline, devices)),
        pipeline=pipeline,
        offloaded_layers=len(ledger.in_ram),
    )


def _pipeline(need: Needs, placement: Placement, devices: int) -> bool:
    """Whether llama.cpp keeps several copies of the inputs: several GPUs hold everything, and nothing was moved by a pattern."""
    if devices < 2 or need.split_mode != "layer" or not need.kv_offload:
        return False
    return not placement.moved and not need.table.overridden and HOST not in placement.home


def _compute(compute: ComputeNeeds, use: Use, *, head: bool, pipeline: bool, extra: bool) -> int:
    if not use.blocks:
        return compute.head(pipeline=pipeline) if head else 0
    return compute.gpu(use, pipeline=pipeline) + (4 * compute.embedding_row if pipeline and extra else 0)


def _spilled_compute(need: Needs, spilled: list[tuple[int, ...]], kv: int, devices: int) -> int:
    """The first GPU when weights lie in RAM: batches of 32 tokens and more are computed there, and the weights are copied to it.

    The copy of a layer's largest expert tensor stands beside all activations, and with several GPUs the allocator keeps room for two:
    bounds found on real loads. KV in RAM is copied as well, one layer at a time.
    """
    compute = need.compute
    layers = [(*sizes, 0, 0)[:2] for sizes in spilled]
    if not need.sparse:
        return compute.spilled((max(sizes[0] for sizes in layers), max(sizes[1] for sizes in layers)), kv)
    largest = max(sizes[0] for sizes in layers)
    two = max(sum(sizes) for sizes in layers) if devices > 1 else 0
    masks = compute.mask_full + compute.mask_sliding + compute.inputs
    return masks + max(compute.feed_forward + largest, two, compute.attention + kv * (3 if compute.mla else 2))


def _host_compute(need: Needs, pipeline: bool, devices: int) -> int:
    if devices:
        return need.compute.host(pipeline=pipeline)
    # Without a GPU the host computes everything itself.
    use = Use(full=True, sliding=any(need.sliding), blocks=len(need.sliding), first=True, last=True)
    return need.compute.gpu(use, pipeline=False) + need.compute.logits

"""What a placement takes on every device: weights, KV and compute, bytes. Pure.

A placement says for every block, and for the output head after the last one, which device holds it. Sources in llama.cpp
0.5.0-dev: llama-model.cpp:1556-1614 (split), common/fit.cpp (partial layers), llama-context.cpp:426-460 (pipeline parallelism).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence

from msgspec import Struct

from rigtui.engines.llamacpp.compute import ComputeNeeds, compute_needs
from rigtui.engines.llamacpp.kv import is_sliding, kv_per_layer
from rigtui.engines.llamacpp.settings import Settings
from rigtui.engines.llamacpp.weights import Part, WeightTable
from rigtui.models.model import Model

HOST = -1
HEAD_ONLY_ROWS = 5
"""A GPU with nothing but the output head computes a few activation rows (measured: 2 to 3 MiB with the logits of 4 slots)."""


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


def footprint(need: Needs, placement: Placement, devices: int, *, projected: bool = False) -> Footprint:
    """What `placement` takes on `devices` GPUs and in RAM.

    `projected`: as `--fit` measures it before loading, which with pipeline parallelism is `4 x embedding x ubatch x 4 B` more than is
    then allocated on every GPU but the first.
    """
    table = need.table
    weights = [0] * devices
    kv = [0] * devices
    held: list[list[bool]] = [[] for _ in range(devices)]
    host_weights, host_kv, offloaded = table.input.host, 0, 0
    spilled: list[tuple[int, ...]] = []
    spilled_kv = 0
    for index, layer in enumerate(table.layers):
        home = placement.home[index]
        part, elsewhere = placement.moved.get(index, (Part.NOTHING, HOST))
        away = layer.moved[part] if part else None
        if home == HOST:
            host_weights += layer.whole.host
            host_kv += need.kv[index]
            spilled.append(layer.whole.largest)
            spilled_kv = max(spilled_kv, need.kv[index])
            offloaded += 1
            continue
        held[home].append(need.sliding[index])
        if need.kv_offload:
            kv[home] += need.kv[index]
        else:
            host_kv += need.kv[index]
        weights[home] += layer.whole.gpu - (away.gpu if away else 0)
        if away and elsewhere != HOST:
            weights[elsewhere] += away.gpu
        elif away and away.host:
            host_weights += away.host
            spilled.append(away.largest)
            offloaded += 1
    head = placement.home[-1]
    if head == HOST:
        host_weights += table.output.host
        spilled.append(table.output.largest[:1])
    else:
        weights[head] += table.output.gpu
    pipeline = (
        devices > 1
        and need.split_mode == "layer"
        and need.kv_offload
        and not placement.moved
        and all(home != HOST for home in placement.home)
    )
    compute = [
        _compute(need.compute, held[d], head=d == head, pipeline=pipeline, extra=projected and d > 0, last=d == devices - 1)
        for d in range(devices)
    ]
    if devices and spilled:
        compute[0] = max(compute[0], _spilled_compute(need, spilled, spilled_kv, devices))
    for d in range(devices):
        if held[d]:
            weights[d] += table.per_device
    if offloaded:
        host_weights += table.per_device
    return Footprint(
        devices=tuple(DeviceUse(w, k, c) for w, k, c in zip(weights, kv, compute, strict=True)),
        host=DeviceUse(host_weights, host_kv, _host_compute(need, pipeline, devices)),
        pipeline=pipeline,
        offloaded_layers=offloaded,
    )


def _compute(compute: ComputeNeeds, sliding: list[bool], *, head: bool, pipeline: bool, extra: bool, last: bool) -> int:
    if not sliding:
        return compute.logits + HEAD_ONLY_ROWS * compute.embedding_row // 100 if head else 0
    few = pipeline and last and len(sliding) <= 2
    size = compute.gpu(full=not all(sliding), sliding=any(sliding), pipeline=pipeline, last_few=few)
    return size + (4 * compute.embedding_row if pipeline and extra else 0)


def _spilled_compute(need: Needs, spilled: list[tuple[int, ...]], kv: int, devices: int) -> int:
    """The first GPU when weights lie in RAM: batches of 32 tokens and more are computed there, and the weights are copied to it.

    Bounds found on real loads: of a dense layer the copy outlives about half of the activations; of a sparse layer it stands beside all
    of them, and with several GPUs the allocator keeps room for two expert tensors. KV in RAM is copied as well, one layer at a time.
    """
    compute = need.compute
    largest = max(sizes[0] for sizes in spilled if sizes) if any(spilled) else 0
    two = max(sum(sizes) for sizes in spilled) if devices > 1 and need.sparse else 0
    copied = largest if need.sparse else largest * 3 // 5
    masks = compute.mask_full + compute.mask_sliding + compute.inputs
    return masks + max(compute.feed_forward + copied, two, compute.attention + kv)


def _host_compute(need: Needs, pipeline: bool, devices: int) -> int:
    if devices:
        return need.compute.host(pipeline=pipeline)
    # Without a GPU the host computes everything itself.
    return need.compute.gpu(full=True, sliding=any(need.sliding), pipeline=False) + need.compute.logits

"""What one token reads on every device: all dense weights, the share of experts that are used, the KV that is filled. Pure."""

from __future__ import annotations

from rigtui.engines.llamacpp.footprint import Footprint, Needs
from rigtui.engines.llamacpp.placement import HOST, Placement
from rigtui.engines.llamacpp.weights import Part
from rigtui.models.model import Experts

TYPICAL_CONTEXT = 4096
"""Tokens in the cache for which a speed is given."""


class _Reads:
    def __init__(self, devices: int, experts: Experts | None) -> None:
        self.dense = [0.0] * (devices + 1)
        self.share = experts.used / experts.count if experts and experts.count else 1.0

    def add(self, where: int, dense: int, sparse: int) -> None:
        self.dense[where] += dense + sparse * self.share


def bytes_per_token(
    need: Needs, placement: Placement, taken: Footprint, experts: Experts | None, context_per_slot: int
) -> tuple[tuple[int, ...], int]:
    """Bytes read for one token on each GPU, and in RAM."""
    devices = len(taken.devices)
    reads = _Reads(devices, experts)
    for index, layer in enumerate(need.table.layers):
        home = placement.home[index]
        sparse = layer.moved[Part.EXPERTS]
        part, elsewhere = placement.moved.get(index, (Part.NOTHING, HOST))
        if home == HOST or part == Part.NOTHING:
            on_gpu = home != HOST
            reads.add(home, (layer.whole.gpu - sparse.gpu) if on_gpu else (layer.whole.host - sparse.host), sparse.gpu)
            continue
        away = layer.moved[part]
        # Of a partly moved layer the experts' share that stays is what the moved part leaves of them.
        away_sparse = min(away.gpu, sparse.gpu)
        reads.add(elsewhere, away.gpu - away_sparse, away_sparse)
        reads.add(home, layer.whole.gpu - away.gpu - (sparse.gpu - away_sparse), sparse.gpu - away_sparse)
    for pin in need.table.pinned:
        size, sparse_size = (pin.sizes.host, pin.experts.host) if pin.device == HOST else (pin.sizes.gpu, pin.experts.gpu)
        reads.add(pin.device, size - sparse_size, sparse_size)
    reads.add(placement.home[-1], need.table.output.gpu, 0)
    filled = min(1.0, TYPICAL_CONTEXT / max(context_per_slot, 1))
    per_device = tuple(int(reads.dense[i] + use.kv * filled) for i, use in enumerate(taken.devices))
    return per_device, int(reads.dense[HOST] + taken.host.kv * filled)

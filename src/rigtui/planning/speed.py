"""How fast a plan will generate: bytes read per token over bandwidth, one device after the other. Pure.

An estimate from first principles with a handful of constants, checked against published figures (a 4.9 GB dense model on a 1,008 GB/s card:
about 140 tokens per second; a 120 B mixture with half its experts in RAM: about 22). Measured speeds replace it once there are any.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

GPU_EFFICIENCY = 0.75
"""Share of the data-sheet bandwidth that matrix-vector products reach."""
RAM_EFFICIENCY = 0.7
RAM_BANDWIDTH_GB_S = 45.0
"""Dual-channel DDR4-3200, when the rig does not say."""
LAYER_SECONDS = 25e-6
"""Fixed cost of a layer on a GPU: kernel launches and synchronisation."""
SPARSE_LAYER_SECONDS = 60e-6
"""The same for a layer of a mixture: routing and many small products (published: 147 tokens per second for 3 of 30 B active on a 4090)."""
RAM_LAYER_SECONDS = 300e-6
"""A layer that a GPU shares with the CPU: two hand-overs and the wait for each."""
HOP_SECONDS = 60e-6
"""Handing the activations from one device to the next over PCIe."""


class Stage(Struct, frozen=True):
    """One device's share of a token."""

    bytes_read: int
    """Weights and KV read for one token."""
    bandwidth_gb_s: float | None
    """None for RAM of unknown speed is replaced by a typical one; for a GPU it makes the speed unknown."""
    layers: int
    ram: bool = False


def decode_tok_s(stages: Sequence[Stage], *, sparse: bool = False) -> float | None:
    """Tokens per second for one request (`sparse`: of a mixture of experts), or None when a card's bandwidth is unknown.

    To four digits: of plans that differ by one layer the faster one must be told apart, also at two tokens per second.
    """
    seconds = 0.0
    on_gpu = SPARSE_LAYER_SECONDS if sparse else LAYER_SECONDS
    used = [stage for stage in stages if stage.bytes_read]
    for stage in used:
        bandwidth = stage.bandwidth_gb_s or (RAM_BANDWIDTH_GB_S if stage.ram else None)
        if bandwidth is None:
            return None
        seconds += stage.bytes_read / (bandwidth * 1e9 * (RAM_EFFICIENCY if stage.ram else GPU_EFFICIENCY))
        seconds += stage.layers * (RAM_LAYER_SECONDS if stage.ram else on_gpu)
    seconds += max(len(used) - 1, 0) * HOP_SECONDS
    return float(f"{1 / seconds:.4g}") if seconds else None

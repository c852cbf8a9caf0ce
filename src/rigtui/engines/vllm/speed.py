"""How fast vLLM will generate for one request: bytes read per token over bandwidth, launches, and what cards tell each other. Pure.

The constants are set by what was published (`published.MEASURED`, `published.TENSOR_PARALLEL_2`) and hold for both engines where they can.
"""

from __future__ import annotations

from collections.abc import Sequence

from rigtui.engines.vllm.footprint import Demand
from rigtui.engines.vllm.partition import firsts
from rigtui.engines.vllm.weights import Share
from rigtui.planning.speed import GPU_EFFICIENCY, HOP_SECONDS, LAYER_SECONDS, SPARSE_LAYER_SECONDS
from rigtui.rig.rig import Gpu

TYPICAL_CONTEXT = 4096
"""Tokens in the cache for which a speed is given."""
EAGER_LAUNCH_SECONDS = 600e-6
"""Per layer: how long the CPU takes to launch its kernels one by one; the card waits for that when it is faster."""
EAGER_LAYER_SECONDS = 180e-6
"""Per layer: what eager mode costs on top, however slow the card."""
ALL_REDUCE_SECONDS = 50e-6
"""Per layer of a tensor-parallel pair: two sums over PCIe. A sum over more cards goes round in a ring, with a hand-over more for each
(NCCL's ring: 2 (n - 1) steps); vLLM's own all-reduce serves no more than two cards without NVLink, which no reading shows."""


def decode_tok_s(demand: Demand, ranks: Sequence[Sequence[Gpu]], partition: Sequence[int]) -> float | None:
    """Tokens per second of one request, or None when a card's bandwidth is unknown. `ranks`: the cards of every stage."""
    settings, sparse = demand.settings, demand.model.experts is not None
    seconds = (len(ranks) - 1) * HOP_SECONDS
    for cards, first, count in zip(ranks, firsts(partition), partition, strict=True):
        bandwidths = [card.bandwidth_gb_s for card in cards if card.bandwidth_gb_s is not None]
        if len(bandwidths) < len(cards):
            return None
        # The slowest card of a group decides.
        stage = bytes_per_token(demand, first, count) / (min(bandwidths) * 1e9 * GPU_EFFICIENCY)
        stage += count * (SPARSE_LAYER_SECONDS if sparse else LAYER_SECONDS)
        if settings.eager:
            stage = max(stage, count * EAGER_LAUNCH_SECONDS) + count * EAGER_LAYER_SECONDS
        if settings.tensor_parallel > 1:
            stage += count * ALL_REDUCE_SECONDS * (settings.tensor_parallel - 1)
        seconds += stage
    return round(1 / seconds, 1) if seconds else None


def bytes_per_token(demand: Demand, first: int, count: int) -> int:
    """Weights and KV that each rank of a stage reads for one token; of experts only those that are used."""
    held, size = demand.weights, demand.settings.tensor_parallel
    layers = held.layers(first, count)
    experts = demand.model.experts
    if experts is not None and experts.count:
        idle = layers.experts - layers.experts * experts.used // experts.count
        layers = layers - Share(divided=idle)
    if first + count == demand.model.layers:
        layers += held.embedding if held.tied else held.head
    filled = min(TYPICAL_CONTEXT, demand.settings.context)
    return layers.on_a_rank(size, held.kv_heads) + filled * demand.cache.per_token(first, count)

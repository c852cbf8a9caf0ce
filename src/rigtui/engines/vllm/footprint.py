"""What every vLLM worker takes on its card, and what is left there for the KV cache. Pure.

A worker may take `utilization` of its card's total; weights, activations and (since 0.20) CUDA graphs come out of that, the rest becomes
KV blocks, and all workers keep as many as the poorest of them (vLLM 0.33, v1/worker/gpu_worker.py:639, v1/core/kv_cache_planning.py:1576).
The CUDA context and NCCL are taken before, and come on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.vllm.cache import Cache, cache
from rigtui.engines.vllm.settings import DTYPE_BYTES, Settings
from rigtui.engines.vllm.weights import Weights, weights
from rigtui.models.model import Model
from rigtui.planning.reserve import runtime_bytes
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import MIB

TORCH = 100 * MIB
"""cuBLAS handles and kernels that PyTorch loads, besides the bare context."""
NCCL = 150 * MIB
"""Communicators of a worker that has peers: in all 0.63 GiB were gone on a 3090 in a group of eight (vllm-backport#34)."""
WORKSPACE = 400 * MIB
"""cuBLAS and Marlin workspaces, buffers of the runner, what the allocator cannot reuse; together with the activations 0.6 GiB were seen on
a 3090 with few sequences and 1.0-1.8 GiB with 256 of them."""
IMAGE_PROFILE = 500 * MIB
"""An image of the largest size through the tower, once, while memory is measured."""
LOGIT_BYTES = 16
"""Per sequence and entry of the vocabulary on the last stage: logits in f32 about three times over and the counts for penalties."""
GRAPH_BASE = 250 * MIB
GRAPH_LAYER = 300 * 1024
"""Per captured batch size and layer: 256 sequences on 64 layers cost 1.2-1.5 GiB (`published.MEASURED`: 8,624 and 3,136)."""
STATE_CHUNK = 64
STATE_ROWS = 8
"""A layer with a state works through a prompt in chunks of so many tokens, keeps each chunk's state in f32 and about so many rows of its
inner width beside it (flash-linear-attention, chunk_gated_delta_rule)."""
UNBOUNDED = 1 << 40
"""Blocks of a worker whose layers keep nothing."""
RESERVED_BASE = 200 * MIB
RESERVED_SHARE = 100
"""What the driver keeps of a card where it does not say: 8 GiB cards show 215 MiB less to CUDA than to NVML, 24 GiB ones 404-451 MiB."""


class Use(Struct, frozen=True, kw_only=True):
    """Bytes of one worker."""

    weights: int
    compute: int
    """Activation peak, workspaces, logits."""
    graphs: int
    kv: int = 0
    """What its blocks take."""


class Learned(Struct, frozen=True, kw_only=True):
    """What earlier runs on these cards showed against the estimates."""

    gone: dict[str, int] = {}
    """By the name of a card: bytes that are taken there before vLLM looks, without `TORCH` and `NCCL`."""
    compute: dict[tuple[bool, bool], int] = {}
    """By whether a stage is the first and whether it is the last: bytes of activations beyond (or below) the estimate."""
    graphs: float = 1.0
    """CUDA graphs over their estimate."""

    def on(self, rig: Rig) -> Rig:
        """The rig with what is known of each card's runtime; what the rig says itself stands."""
        if not self.gone:
            return rig
        gpus = (
            replace(gpu, runtime_bytes=self.gone[gpu.name]) if gpu.runtime_bytes is None and gpu.name in self.gone else gpu
            for gpu in rig.gpus
        )
        return replace(rig, gpus=tuple(gpus))

    def more(self, is_first: bool, is_last: bool) -> int:
        """Bytes to add to the estimate of a stage's activations. Of a stage whose like was never seen: what the others lacked at most."""
        seen = self.compute.get((is_first, is_last))
        return max((*self.compute.values(), 0)) if seen is None else seen


NOTHING_LEARNED = Learned()


class Demand(Struct, frozen=True, kw_only=True, dict=True):
    """A model under some settings: what any run of its layers needs on one card."""

    model: Model
    settings: Settings
    weights: Weights
    cache: Cache
    learned: Learned = NOTHING_LEARNED

    def use(self, first: int, count: int) -> Use:
        """Bytes, but for KV, of each worker of the stage with layers `first` … `first + count - 1`."""
        return Use(
            weights=self.weights.stage(first, count, self.settings.tensor_parallel),
            compute=self._computes[first == 0][first + count == self.model.layers],
            graphs=int(graph_bytes(self.settings, count) * self.learned.graphs),
        )

    def blocks(self, budget: int, first: int, count: int) -> int:
        """KV blocks that fit beside everything else in `budget` bytes; negative where not even that fits."""
        use = self.use(first, count)
        left = budget - use.weights - use.compute - use.graphs + graphs_beside_share(self.settings, count)
        size = self.cache.block_bytes(first, count)
        if left < 0 or not size:
            return left if left < 0 else UNBOUNDED
        return left // size

    @cached_property
    def _computes(self) -> list[list[int]]:
        """Bytes by whether a stage is the first, and by whether it is the last."""
        return [[max(self._compute(is_first, is_last), 0) for is_last in (False, True)] for is_first in (False, True)]

    def _compute(self, is_first: bool, is_last: bool) -> int:
        model, settings = self.model, self.settings
        wide = max(model.feed_forward, default=0)
        if model.experts is not None:
            wide = max(wide, model.experts.feed_forward * (model.experts.used + model.experts.shared))
        # Per token: the residual stream, Q, K, V and the attention's output, then gate, up and their product.
        row = 6 * model.embedding_length + 3 * wide // settings.tensor_parallel
        size = WORKSPACE + settings.batched_tokens * row * DTYPE_BYTES[settings.dtype]
        state = model.recurrent
        if state is not None:
            chunks = settings.batched_tokens // STATE_CHUNK * state.inner_size * state.state_size * DTYPE_BYTES["f32"]
            rows = settings.batched_tokens * STATE_ROWS * state.inner_size * DTYPE_BYTES[settings.dtype]
            size += (chunks + rows) // settings.tensor_parallel
        if self.weights.images.divided and (is_first or settings.release.images_on_every_stage):
            size += IMAGE_PROFILE
        if is_last:
            size += settings.sequences * model.vocabulary * LOGIT_BYTES
        return size + self.learned.more(is_first, is_last)


def demand(model: Model, settings: Settings, loaded: Weights | None = None, learned: Learned = NOTHING_LEARNED) -> Demand:
    """What `model` needs under `settings`; `loaded` are its weights where they are known already, `learned` is what runs showed."""
    return Demand(model=model, settings=settings, weights=loaded or weights(model), cache=cache(model, settings), learned=learned)


def graph_bytes(settings: Settings, layers: int) -> int:
    """CUDA graphs of a worker with so many layers."""
    return 0 if settings.eager else GRAPH_BASE + settings.graph_sizes * layers * GRAPH_LAYER


def graphs_beside_share(settings: Settings, layers: int) -> int:
    """CUDA graphs of a worker with so many layers, where its release takes them beside its share of the card instead of out of it."""
    return 0 if settings.release.graphs_in_share else graph_bytes(settings, layers)


def cuda_total(gpu: Gpu) -> int:
    """A card's memory as CUDA shows it, which is what a share of it is taken of: NVML's total without the driver's own part."""
    total = gpu.total_bytes or 0
    if gpu.reserved_bytes is not None:
        return total - gpu.reserved_bytes
    return total - min(RESERVED_BASE + total // RESERVED_SHARE, max(total - (gpu.free_bytes or 0), 0))


def floor_bytes(gpu: Gpu, rig: Rig, workers: int) -> int:
    """What is gone on a card before vLLM looks how much is free."""
    return runtime_bytes(gpu, rig) + TORCH + (NCCL if workers > 1 else 0)


def room(gpu: Gpu, rig: Rig, workers: int) -> int:
    """Bytes vLLM finds free when it starts on the card."""
    return max((gpu.free_bytes or 0) - floor_bytes(gpu, rig, workers), 0)


def most_utilization(cards: Sequence[Gpu], rig: Rig, headroom: Sequence[int]) -> float:
    """The largest `--gpu-memory-utilization`, in thousandths, with which every card keeps its headroom; 0 where one has nothing to give.

    One value holds for all cards, so the fullest decides. NVML's total is the divisor: it is never less than what CUDA shows, so the
    engine's own check passes.
    """
    shares = [(room(card, rig, len(cards)) - keep) / (card.total_bytes or 1) for card, keep in zip(cards, headroom, strict=True)]
    return max(int(min(shares, default=0.0) * 1000), 0) / 1000


def budget(gpu: Gpu, utilization: float) -> int:
    """Bytes a worker may take on the card."""
    return int(cuda_total(gpu) * utilization)

"""Compute buffers: what a graph of one micro-batch needs on each GPU and on the host.

The formulas describe real loads of llama.cpp 0.5.0-dev (commit 0c1e57098) and the graphs it builds; they are not llama.cpp's own code.
What one layer keeps alive is in activations.py. For an architecture they were not measured on they are an estimate, named as such by
`is_measured`.
"""

from __future__ import annotations

from msgspec import Struct

from rigtui.engines.llamacpp import activations
from rigtui.engines.llamacpp.activations import ENCODERS, F32, PARALLEL, Widths, widths_of
from rigtui.engines.llamacpp.kv import cells, is_sliding, kv_per_layer, widths
from rigtui.engines.llamacpp.memo import per_model
from rigtui.engines.llamacpp.settings import Settings
from rigtui.models.model import Model

PIPELINE_COPIES = 4
"""GGML_SCHED_MAX_COPIES: copies of the inputs that pipeline parallelism keeps."""

_DENSE = frozenset(
    {
        "llama",
        "mistral",
        "mistral3",
        "qwen2",
        "qwen3",
        "gemma2",
        "gemma3",
        "phi3",
        "qwen35",
        "granite",
        "glm4",
        "starcoder2",
        "command-r",
        "cohere2",
        "olmo2",
        "lfm2",
        "mamba2",
        "bert",
        "nomic-bert",
    }
)
_MOE = frozenset({"qwen3moe", "mixtral", "gpt-oss", "llama", "deepseek2", "glm4moe", "granitehybrid", "qwen3next", "qwen35moe"})


_LATE_OUTPUTS = frozenset(
    {
        "bailingmoe3",
        "cohere2moe",
        "gemma4",
        "gpt-oss",
        "hy-v3",
        "nemotron_h",
        "nemotron_h_moe",
        "qwen35",
        "qwen35moe",
        "qwen3next",
        "step35",
    }
)
"""The tokens that give an output are picked after the last norm, not in the last block (their files in src/models)."""
HEAD_ROWS = 5
"""A GPU with nothing but the output head computes a few activation rows (measured: 2 to 3 MiB with the logits of 4 slots)."""


class Use(Struct, frozen=True, kw_only=True):
    """What a device computes."""

    full: bool
    """It holds layers that attend to the full context."""
    sliding: bool
    blocks: int
    first: bool
    """It holds the first block."""
    last: bool
    """It is the last device."""
    feed_forward: bool = True
    """It computes the feed-forward part of a block, for all tokens."""
    receives: bool = False
    """Weights of another device's block lie here."""


class ComputeNeeds(Struct, frozen=True):
    """The terms of a compute buffer, bytes."""

    mask_full: int
    """Attention mask of the full-context layers, and without flash attention the places of new values in the cache."""
    mask_sliding: int
    inputs: int
    feed_forward: int
    attention: int
    embedding_row: int
    """One activation row per token of the micro-batch."""
    logits: int
    state: int = 0
    """Of a layer that keeps a state, without a feed-forward part; counted in `feed_forward` as well."""
    leading: int = 0
    """Of dense blocks before those with experts: the device with the first block."""
    crossing_first: int = 0
    """Further inputs of the first device and of the later ones, once per copy: what llama.cpp's scheduler moves across."""
    crossing_later: int = 0
    pipelined: int = 0
    """What a layer needs more with several copies of the inputs, which stay alive; less where its peak is in the first block, whose
    residual is the input itself."""
    width: int = 0
    """One dense feed-forward activation."""
    gated: bool = True
    fused: bool = False
    """Gate and up are one tensor."""
    parallel: bool = False
    mla: bool = False
    """K is copied as V once more."""
    head_norms: bool = False
    """Query and key are normed per head, which leaves smaller holes."""
    query_weights: int = 0
    """The largest matrix of attention, as it is copied."""
    every_output: bool = False
    """The last block's feed-forward part sees all tokens, not only those that give an output."""

    def gpu(self, use: Use, *, pipeline: bool) -> int:
        """A GPU that holds at least one block."""
        copies = PIPELINE_COPIES if pipeline else 1
        masks = (self.mask_full if use.full else 0) + (self.mask_sliding if use.sliding else 0)
        attention = self.attention if use.full or use.sliding else 0
        row = self.embedding_row if pipeline else 0
        layers = max(self.feed_forward, attention) if use.feed_forward else max(attention, self.state) + self.embedding_row - row
        layers += self.pipelined if pipeline and use.feed_forward else 0
        layers += 5 * self.embedding_row if use.receives else 0
        if use.first:
            layers = max(layers, self.leading - row)
        size = copies * (masks + self.inputs) + layers
        if pipeline:
            size += (PIPELINE_COPIES - (1 if use.last and use.blocks <= 2 else 0)) * row
            size += copies * ((self.crossing_first if use.first or not use.last else 0) + (0 if use.first else self.crossing_later))
        return size

    def head(self, *, pipeline: bool) -> int:
        """A GPU with the output head alone: all tokens cross to it where they are picked late."""
        copies = PIPELINE_COPIES if pipeline else 1
        return self.logits + ((copies + 1) * self.embedding_row if self.every_output else HEAD_ROWS * self.embedding_row // 100)

    def spilled(self, largest: tuple[int, int], kv: int) -> int:
        """The first GPU when dense weights lie in RAM: batches of 32 tokens and more are computed there, each weight copied before.

        At the worst moment gate and up stand beside the copy of `up`, or the product beside that of `down` (and, of a kind without gate,
        beside the hole of `up`'s copy), with five rows or the hole of the query's matrix before them. A cache in RAM is copied as well: K
        and V apart, and V does not fit the hole beside K; an upper bound. `largest` are the two largest matrices of a layer.
        """
        masks = self.mask_full + self.mask_sliding + self.inputs
        row, (down, up) = self.embedding_row, largest
        before = max(5 * row, 2 * row + self.query_weights)
        if self.gated:
            # The mask does not always fit the hole that the copy before left.
            feed_forward = max(5 * row + min(masks, up) + up + 2 * self.width, before + self.width + down)
            if self.fused:
                feed_forward = max(feed_forward, self.feed_forward + down)
        else:
            feed_forward = 3 * row + up + self.width + down
        waiting = 2 * row if self.parallel else 0  # what attention gave, and the norm that both start from
        beside = 2 * kv if self.mla else kv // 4 if self.head_norms else kv // 2
        plain = self.feed_forward + 2 * self.query_weights + min(masks, up)  # in the holes of attention's matrices nothing fits
        return masks + max(feed_forward + waiting, self.attention + kv + beside, plain)

    def host(self, *, pipeline: bool) -> int:
        """The host's share: masks and activations that cross devices."""
        copies = PIPELINE_COPIES if pipeline else 1
        return copies * (self.mask_full + self.mask_sliding) + (copies + 1) * self.embedding_row


def is_measured(model: Model) -> bool:
    """Whether the formulas were measured on this architecture."""
    return model.architecture in (_MOE if model.experts else _DENSE)


def compute_needs(model: Model, settings: Settings, context: int) -> ComputeNeeds:
    """The terms for `context` cells in total over all slots."""
    full, window, streams = cells(model, settings, context)
    tokens = min(settings.ubatch, context)
    if model.architecture in ENCODERS:
        full, window, streams = tokens, tokens, 1
    unit = F32 * tokens
    wide = widths_of(model)
    has_sliding = any(model.swa_layers)
    has_full = not has_sliding or not all(model.swa_layers)
    attended = any(model.kv_heads) or model.architecture in ENCODERS
    mask = (2 if settings.flash_attention else F32) * tokens
    places = 0 if settings.flash_attention or model.architecture in ENCODERS else 8 * tokens * _widest_value(model)
    attention = activations.attention(model, wide, unit, flash=settings.flash_attention)
    copies = _attention_copies(model, settings, full, window, streams, tokens, wide)
    feed_forward = activations.sparse(model, wide, unit) if model.experts else activations.dense(model, wide, unit)
    if model.architecture in PARALLEL and settings.flash_attention:
        feed_forward += copies + (wide.embedding * unit if copies else 0)  # they are part of attention's result, which is still alive
    in_ram = 0 if settings.kv_offload else max(kv_per_layer(model, settings, context), default=0)
    if in_ram:
        # The cache of one layer is copied to the GPU and leaves a hole where H was, which gate and up may fill.
        width = max(model.feed_forward, default=0) * unit if wide.gated and not model.experts else 0
        filled = min(in_ram // width, 2) * width if width else 0
        waiting = 3 * wide.embedding * unit if model.architecture in PARALLEL else 0
        feed_forward += max(in_ram - wide.heads * unit, 0) - filled + waiting
    state = activations.recurrent(model, settings, tokens)
    crossing_first, crossing_later = _crossing(model, unit)
    early = bool(crossing_later) or (not model.experts and wide.heads >= 2 * wide.embedding)
    return ComputeNeeds(
        mask_full=mask * full + places if has_full and attended else 0,
        mask_sliding=mask * window + places if has_sliding else 0,
        inputs=(9 if has_sliding else 5) * unit,
        feed_forward=max(feed_forward, state + (in_ram if state else 0)),
        attention=attention + copies + in_ram if attended else 0,
        embedding_row=wide.embedding * unit,
        logits=model.vocabulary * F32 * (tokens if settings.embedding else min(tokens, settings.slots)),
        state=state,
        leading=activations.dense(model, wide, unit) if model.experts and _leading_dense(model) else 0,
        crossing_first=crossing_first,
        crossing_later=crossing_later,
        pipelined=-wide.embedding * unit if early else activations.sparse_pipelined(model, wide, unit),
        width=max(model.feed_forward, default=0) * unit,
        gated=wide.gated,
        fused=wide.fused,
        parallel=model.architecture in PARALLEL,
        mla=model.mla,
        head_norms=wide.head_norms,
        query_weights=wide.query_weights,
        every_output=settings.embedding or model.architecture in ENCODERS or model.architecture in _LATE_OUTPUTS,
    )


@per_model
def _widest_value(model: Model) -> int:
    """The cache of V is transposed without flash attention, and each new value has its own place (8 bytes); MLA keeps none."""
    return max((widths(model, layer)[1] for layer in range(model.layers)), default=0)


@per_model
def _leading_dense(model: Model) -> bool:
    return any(tensor.layer == 0 and tensor.name.endswith("ffn_up.weight") for tensor in model.tensors)


def _crossing(model: Model, unit: int) -> tuple[int, int]:
    """Operations without weights of their own are computed on the device before or after, and their results cross."""
    state = model.recurrent
    if model.architecture == "mamba2" and state is not None:
        return state.inner_size * unit, activations.projected(state) * unit
    if model.architecture == "bert":
        return model.embedding_length * unit, 0  # token and position embeddings come one by one
    return 0, 0


def _attention_copies(model: Model, settings: Settings, full: int, window: int, streams: int, tokens: int, wide: Widths) -> int:
    """f16 copies of one layer's K and V, of all streams, when the cache is of another type (ggml-cuda/fattn.cu:722).

    Without flash attention the scores: a token attends to its own stream only.
    """
    size = 0
    if settings.kv_type != ("f16", "f16") and settings.flash_attention:
        for layer in range(model.layers):
            if model.kv_heads[layer]:
                key, value = widths(model, layer)
                rows = (window if is_sliding(model, layer) else full) * streams
                size = max(size, 2 * rows * (_copied(settings.kv_type[0], key) + _copied(settings.kv_type[1], value)))
        if size and wide.mla:
            size += F32 * tokens * wide.mla.absorbed  # the result no longer fits the hole that the absorbed query left
    if not settings.flash_attention:
        size += F32 * full * tokens * max(model.heads, default=0)
        if wide.mla:
            # The transposed copy of the compressed rows takes that hole.
            size += max(2 * full * streams * model.value_length - F32 * tokens * wide.mla.absorbed, 0)
    return size


def _copied(kind: str, width: int) -> int:
    return 0 if kind == "f16" else width

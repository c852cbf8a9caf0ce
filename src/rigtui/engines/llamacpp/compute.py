"""Compute buffers: what a graph of one micro-batch needs on each GPU and on the host.

The formulas describe real loads of llama.cpp 0.5.0-dev (commit 0c1e57098) and the graphs it builds; they are not llama.cpp's own code.
What one layer keeps alive is in activations.py. For an architecture they were not measured on they are an estimate, named as such by
`is_measured`.
"""

from __future__ import annotations

from msgspec import Struct

from rigtui.engines.llamacpp import activations
from rigtui.engines.llamacpp.activations import ENCODERS, F32, GATED, PARALLEL, Widths, widths_of
from rigtui.engines.llamacpp.kv import cells, is_sliding, kv_per_layer, widths
from rigtui.engines.llamacpp.settings import Settings
from rigtui.models.model import Model

PIPELINE_COPIES = 4
"""GGML_SCHED_MAX_COPIES: copies of the inputs that pipeline parallelism keeps."""

_DENSE = frozenset(
    "llama mistral mistral3 qwen2 qwen3 gemma2 gemma3 phi3 qwen35 granite glm4 starcoder2 command-r cohere2 olmo2 lfm2 mamba2 bert nomic-bert".split()
)
_MOE = frozenset("qwen3moe mixtral gpt-oss llama deepseek2 glm4moe granitehybrid qwen3next qwen35moe".split())


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
    leading: int = 0
    """Of dense blocks before those with experts: the device with the first block."""
    crossing_first: int = 0
    """Further inputs of the first device and of the later ones, once per copy: what llama.cpp's scheduler moves across."""
    crossing_later: int = 0
    early: bool = False
    """With several copies of the inputs the peak is in the first block, whose residual is the input itself: one row less."""

    def gpu(self, *, full: bool, sliding: bool, pipeline: bool, last_few: bool = False, first: bool = True, last: bool = True) -> int:
        """A GPU that holds at least one whole layer; `full` and `sliding` say which kinds it holds, `first` and `last` which blocks."""
        copies = PIPELINE_COPIES if pipeline else 1
        masks = (self.mask_full if full else 0) + (self.mask_sliding if sliding else 0)
        layers = max(self.feed_forward, self.attention)
        row = self.embedding_row if pipeline else 0
        if pipeline and self.early:
            layers -= row
        if first:
            layers = max(layers, self.leading - row)
        size = copies * (masks + self.inputs) + layers
        if pipeline:
            size += (PIPELINE_COPIES - (1 if last_few else 0)) * row
            size += copies * ((self.crossing_first if first or not last else 0) + (0 if first else self.crossing_later))
        return size

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
    attended = any(model.kv_heads)
    mask = _mask_row(model, settings) * tokens
    places = 0 if settings.flash_attention or model.architecture in ENCODERS else 8 * tokens * _widest_value(model)
    attention = activations.attention(model, wide, unit, flash=settings.flash_attention)
    copies = _attention_copies(model, settings, full * streams, window * streams, tokens, wide)
    feed_forward = activations.sparse(model, wide, unit) if model.experts else activations.dense(model, wide, unit)
    if model.architecture in PARALLEL and settings.flash_attention:
        feed_forward += copies  # they are part of attention's result, which is still alive
    in_ram = 0 if settings.kv_offload else max(kv_per_layer(model, settings, context), default=0)
    if in_ram:
        # The cache of one layer is copied to the GPU and leaves a hole where H was.
        feed_forward += max(in_ram - wide.heads * unit, 0) + (3 * wide.embedding * unit if model.architecture in PARALLEL else 0)
    state = activations.recurrent(model, settings, tokens)
    crossing_first, crossing_later = _crossing(model, unit)
    return ComputeNeeds(
        mask_full=mask * full + places if has_full and attended else 0,
        mask_sliding=mask * window + places if has_sliding else 0,
        inputs=(9 if has_sliding else 5) * unit,
        feed_forward=max(feed_forward, state + (in_ram if state else 0)),
        attention=attention + copies + in_ram if attended else 0,
        embedding_row=wide.embedding * unit,
        logits=model.vocabulary * F32 * (tokens if settings.embedding else min(tokens, settings.slots)),
        leading=activations.dense(model, wide, unit) if model.experts and _leading_dense(model) else 0,
        crossing_first=crossing_first,
        crossing_later=crossing_later,
        early=bool(crossing_later) or (not model.experts and wide.heads >= 2 * wide.embedding),
    )


def _mask_row(model: Model, settings: Settings) -> int:
    return 2 if settings.flash_attention else F32


def _widest_value(model: Model) -> int:
    """The cache of V is transposed without flash attention, and each new value has its own place (8 bytes); MLA keeps none."""
    return max((widths(model, layer)[1] for layer in range(model.layers)), default=0)


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


def _attention_copies(model: Model, settings: Settings, full: int, window: int, tokens: int, wide: Widths) -> int:
    """f16 copies of one layer's K and V when the cache is quantised (ggml-cuda/fattn.cu:722); scores without flash attention."""
    size = 0
    if settings.kv_type != ("f16", "f16") and settings.flash_attention:
        for layer in range(model.layers):
            if model.kv_heads[layer]:
                key, value = widths(model, layer)
                rows = window if is_sliding(model, layer) else full
                size = max(size, 2 * rows * (_copied(settings.kv_type[0], key) + _copied(settings.kv_type[1], value)))
        if size and wide.mla:
            size += F32 * tokens * wide.mla.absorbed  # the result no longer fits the hole that the absorbed query left
    if not settings.flash_attention:
        size += F32 * full * tokens * max(model.heads, default=0)
        if wide.mla:
            # The transposed copy of the compressed rows takes that hole.
            size += max(2 * full * model.value_length - F32 * tokens * wide.mla.absorbed, 0)
    return size


def _copied(kind: str, width: int) -> int:
    return 0 if kind in ("f16", "bf16") else width

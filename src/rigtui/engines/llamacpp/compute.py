"""Compute buffers: what a graph of one micro-batch needs on each GPU and on the host.

The formulas describe 661 real loads of llama.cpp 0.5.0-dev (commit 0c1e57098); they are not llama.cpp's own code. For an
architecture they were not measured on, every known term is added up: an upper estimate, named as such by `is_measured`.
"""

from __future__ import annotations

from msgspec import Struct

from rigtui.engines.llamacpp.kv import cells, is_sliding, widths
from rigtui.engines.llamacpp.settings import Settings
from rigtui.models.model import Model

PIPELINE_COPIES = 4
"""GGML_SCHED_MAX_COPIES: copies of the inputs that pipeline parallelism keeps."""

F32 = 4
_DENSE = frozenset({"llama", "mistral", "mistral3", "qwen2", "qwen3", "gemma3"})
_DENSE_LEAN = frozenset({"phi3", "qwen35"})
_MOE = frozenset({"qwen3moe", "mixtral", "gpt-oss", "llama"})
_GATED = frozenset({"qwen3next", "qwen35", "qwen35moe"})


class ComputeNeeds(Struct, frozen=True):
    """The terms of a compute buffer, bytes."""

    mask_full: int
    """Attention mask of the full-context layers."""
    mask_sliding: int
    inputs: int
    feed_forward: int
    attention: int
    embedding_row: int
    """One activation row per token of the micro-batch."""
    logits: int

    def gpu(self, *, full: bool, sliding: bool, pipeline: bool, last_few: bool = False) -> int:
        """A GPU that holds at least one whole layer; `full` and `sliding` say which kinds it holds."""
        copies = PIPELINE_COPIES if pipeline else 1
        masks = (self.mask_full if full else 0) + (self.mask_sliding if sliding else 0)
        size = copies * (masks + self.inputs) + max(self.feed_forward, self.attention)
        if pipeline:
            size += (PIPELINE_COPIES - (1 if last_few else 0)) * self.embedding_row
        return size

    def host(self, *, pipeline: bool) -> int:
        """The host's share: masks and activations that cross devices."""
        copies = PIPELINE_COPIES if pipeline else 1
        return copies * (self.mask_full + self.mask_sliding) + (copies + 1) * self.embedding_row


def is_measured(model: Model) -> bool:
    """Whether the formulas were measured on this architecture."""
    known = _MOE | _GATED | {"deepseek2"} if model.experts else _DENSE | _DENSE_LEAN
    return model.architecture in known


def compute_needs(model: Model, settings: Settings, context: int) -> ComputeNeeds:
    """The terms for `context` cells in total over all slots."""
    full, window, streams = cells(model, settings, context)
    tokens = min(settings.ubatch, context)
    unit = F32 * tokens
    mask_type = 2 if settings.flash_attention else F32
    has_sliding = any(model.swa_layers)
    has_full = not has_sliding or not all(model.swa_layers)
    embedding = model.embedding_length
    attended = [i for i in range(model.layers) if model.kv_heads[i]]
    heads_width = max((model.heads[i] for i in attended), default=0) * _head_length(model)
    return ComputeNeeds(
        mask_full=mask_type * full * tokens if has_full and attended else 0,
        mask_sliding=mask_type * window * tokens if has_sliding else 0,
        inputs=(9 if has_sliding else 5) * unit,
        feed_forward=_feed_forward(model, embedding, heads_width) * unit,
        attention=_attention(model, embedding, heads_width) * unit
        + _attention_copies(model, settings, full * streams, window * streams, tokens),
        embedding_row=embedding * unit,
        logits=model.vocabulary * F32 * (tokens if settings.embedding else min(tokens, settings.slots)),
    )


def _head_length(model: Model) -> int:
    # MLA multiplies by per-head keys that are not in the cache; the compressed row stands in only for the cache.
    return 0 if model.mla else model.key_length


def _feed_forward(model: Model, embedding: int, heads_width: int) -> int:
    """Activations of the feed-forward part, floats per token."""
    dense_width = max(model.feed_forward, default=0)
    dense = 3 * dense_width + 2 * embedding + (0 if model.architecture in _DENSE_LEAN else heads_width)
    if model.experts is None:
        return dense
    used, width = model.experts.used, model.experts.feed_forward
    if model.architecture == "qwen3next":
        return 2 * used * embedding + 1024
    sparse = max(2 * used * embedding + 3 * embedding + heads_width, 3 * used * width + 2 * embedding + heads_width)
    if model.architecture == "qwen35moe" and model.recurrent is not None:
        state = model.recurrent
        convolution = state.inner_size + 2 * state.group_count * state.state_size
        return max(2 * used * embedding + 1024, 2 * convolution + 3 * state.inner_size + 3 * embedding)
    # Leading dense blocks of a mixture model are as wide as those of a dense one.
    return max(sparse, dense if any(model.feed_forward) and not is_measured(model) else 0)


def _attention(model: Model, embedding: int, heads_width: int) -> int:
    """Activations of the attention part, floats per token."""
    if model.architecture in _GATED:
        return 3 * embedding + 5 * heads_width
    need = 2 * embedding + 2 * heads_width
    if not is_measured(model):
        need += embedding
    return need


def _attention_copies(model: Model, settings: Settings, full: int, window: int, tokens: int) -> int:
    """f16 copies of one layer's K and V when the cache is quantised (ggml-cuda/fattn.cu:722); scores without flash attention."""
    size = 0
    if settings.kv_type != ("f16", "f16") and settings.flash_attention:
        for layer in range(model.layers):
            if model.kv_heads[layer]:
                key, value = widths(model, layer)
                rows = window if is_sliding(model, layer) else full
                size = max(size, 2 * rows * (_copied(settings.kv_type[0], key) + _copied(settings.kv_type[1], value)))
    if not settings.flash_attention:
        size += F32 * full * tokens * max(model.heads, default=0)
    return size


def _copied(kind: str, width: int) -> int:
    return 0 if kind in ("f16", "bf16") else width

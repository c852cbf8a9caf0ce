"""What the graph of one micro-batch keeps alive at its worst moment, by kind of layer, bytes. Pure.

llama.cpp's allocator (0.5.0-dev, ggml/src/ggml-alloc.c) places a tensor into the smallest hole that takes it and frees it after its last
use. The peaks below are read off what was alive when real buffers grew to their final size. Letters: E embedding, H the width of all
heads (what attention hands to its output matrix), FF the width of the feed-forward part, U experts used, F their width; each stands for
that many floats per token. `ggml_swiglu_split` and its kin need a third tensor beside gate and up; without a gate the activation
function works in place.
"""

from __future__ import annotations

from msgspec import Struct

from rigtui.engines.llamacpp.kv import has_state
from rigtui.engines.llamacpp.memo import per_model
from rigtui.engines.llamacpp.settings import Settings
from rigtui.engines.llamacpp.weights import HEADLESS
from rigtui.models.model import Model, Recurrent

F32 = 4
ENCODERS = HEADLESS
"""No KV cache and no output head: the micro-batch attends to itself."""
PARALLEL = frozenset({"command-r", "cohere2", "cohere2moe", "falcon", "gptneox", "phi2", "plamo"})
"""Feed-forward beside attention: both start from the same norm, and what attention gave waits until the sum."""
_LEAN = frozenset({"phi3", "qwen35", "lfm2"}) | ENCODERS
"""The hole that H leaves is taken before the feed-forward part starts."""
GATED = frozenset({"qwen3next", "qwen35", "qwen35moe"})
"""Delta-net layers, and attention with a gate as wide as its query."""


class Mla(Struct, frozen=True):
    """Widths of multi-head latent attention, in floats per token (src/models/deepseek2.cpp)."""

    query_rank: int
    query: int
    query_rope: int
    compressed: int
    """The row of the cache, before and after its norm."""
    absorbed: int
    """Queries against the compressed row."""
    final_query: int
    """The same with their rotated part."""


class Widths(Struct, frozen=True):
    """Floats per token."""

    embedding: int
    heads: int
    """H."""
    gated: bool
    fused: bool
    """Gate and up are one tensor."""
    head_norms: bool
    """Query and key are normed per head."""
    mla: Mla | None
    query_weights: int
    """Bytes of the largest matrix of attention."""


@per_model
def widths_of(model: Model) -> Widths:
    """Read them off the tensors where the header does not say."""
    shapes = {name: tensor.shape for tensor in model.tensors if (name := _first_of_its_kind(tensor.name))}
    attended = [i for i in range(model.layers) if model.kv_heads[i]]
    heads = max((model.heads[i] for i in attended), default=max(model.heads, default=0))
    mla, width = None, heads * model.key_length
    if model.mla:
        rank, row = model.value_length, model.key_length
        query = shapes.get("attn_q_b") or shapes.get("attn_q")
        output = shapes.get("attn_output")
        mla = Mla(
            query_rank=shapes["attn_q_a_norm"][0] if "attn_q_a_norm" in shapes else 0,
            query=query[-1] if query else heads * row,
            query_rope=heads * (row - rank),
            compressed=2 * row,
            absorbed=heads * rank,
            final_query=heads * row,
        )
        width = output[0] if output else heads * rank
    has_feed_forward = "ffn_up" in shapes
    up = shapes["ffn_up"][-1] if has_feed_forward else 0
    fused = "ffn_gate" not in shapes and has_feed_forward and up >= 2 * max(model.feed_forward, default=0)
    return Widths(
        embedding=model.embedding_length,
        heads=width,
        gated="ffn_gate" in shapes or fused or not has_feed_forward,
        fused=fused,
        head_norms=shapes.get("attn_q_norm", (0,))[0] == model.key_length,
        mla=mla,
        query_weights=max((tensor.bytes for tensor in model.tensors if ".attn_" in tensor.name), default=0),
    )


def _first_of_its_kind(name: str) -> str:
    """`attn_q` for `blk.3.attn_q.weight`: all layers that have it are alike in width."""
    parts = name.split(".")
    return parts[2] if len(parts) == 4 and parts[0] == "blk" and parts[3] == "weight" else ""


def dense(model: Model, widths: Widths, unit: int) -> int:
    """A plain feed-forward part: gate, up and their product beside 2 E and the hole of H; a kind without gate only up."""
    width = max(model.feed_forward, default=0)
    if not widths.gated:
        return (width + (2 if model.architecture in ENCODERS else 3) * widths.embedding) * unit
    rest = 2 * widths.embedding + (0 if model.architecture in _LEAN else widths.heads)
    if model.architecture == "cohere2":
        rest += widths.embedding  # what came of the layer before lies between two holes
    return (3 * width + rest) * unit


def sparse(model: Model, widths: Widths, unit: int) -> int:
    """Experts: the result of `down` is U·E wide, and all of it waits for the weighted sum.

    The gate's output takes the hole of H where it fits, and `down`'s that of gate and up.
    """
    assert model.experts is not None
    used, embedding = model.experts.used, widths.embedding
    state = model.recurrent
    if model.architecture == "qwen3next":
        return (2 * used * embedding + 1024) * unit
    if model.architecture == "qwen35moe" and state is not None:
        return max(2 * used * embedding + 1024, 2 * _convolved(state) + 3 * state.inner_size + 3 * embedding) * unit
    each = used * model.experts.feed_forward
    hole = max(widths.heads, state.inner_size if state else 0)
    if widths.mla:
        hole = widths.mla.absorbed + embedding
    gate_in_hole = hole - model.experts.count >= each
    width = 2 * embedding + hole + (2 if gate_in_hole else 3) * each
    if used * embedding > (1 if gate_in_hole else 2) * each:
        width += used * embedding
    return width * unit


def sparse_pipelined(model: Model, widths: Widths, unit: int) -> int:
    """What pipeline parallelism adds to a sparse layer: its inputs stay where they are, so the residual moves into the hole of H."""
    if model.experts is None or widths.mla or model.architecture in GATED:
        return 0
    each, left = model.experts.used * model.experts.feed_forward, widths.heads - widths.embedding
    fitted = widths.heads - model.experts.count >= each
    return (each - widths.embedding) * unit if fitted and left < each else 0


def attention(model: Model, widths: Widths, unit: int, *, flash: bool) -> int:
    """Residual and norm, query, result. MLA: the query at every stage beside its absorbed form."""
    embedding, heads = widths.embedding, widths.heads
    if widths.mla:
        mla = widths.mla
        early = mla.query_rank + mla.query + mla.query_rope + mla.compressed
        return (3 * embedding + early + mla.absorbed + mla.final_query) * unit
    if model.architecture in GATED:
        return (embedding + (6 if flash else 4) * heads) * unit
    if model.architecture in ENCODERS:
        return (3 * embedding + 2 * heads) * unit
    hybrid = model.recurrent is not None and model.recurrent.time_step_rank > 0  # what a Mamba block leaves lies between two holes
    return ((3 if hybrid else 2) * embedding + 2 * heads) * unit


def recurrent(model: Model, settings: Settings, tokens: int) -> int:
    """A layer that keeps a state: its convolution sees three more tokens per slot, and the new state of every slot is computed beside
    the old one (src/models/mamba-base.cpp, delta-net-base.cpp).
    """
    state = model.recurrent
    if state is None or not any(has_state(model, layer) for layer in range(model.layers)) or not state.inner_size:
        return 0
    unit, convolved = F32 * tokens, _convolved(state)
    window = F32 * convolved * (tokens + max(state.conv_kernel - 1, 0) * settings.slots)
    states = F32 * settings.slots * state.state_size * state.inner_size
    if model.architecture in GATED:
        rows = {"qwen35": 2, "qwen35moe": 3}.get(model.architecture, 4)
        return (rows * model.embedding_length + convolved + state.inner_size) * unit + window + 2 * states
    rows = 4 if model.architecture in ("mamba", "mamba2") else 3
    return (rows * model.embedding_length + projected(state) + convolved + state.inner_size) * unit + window + states


def projected(state: Recurrent) -> int:
    """Width of Mamba-2's input projection: gate, what is convolved, and the time steps."""
    return state.inner_size + _convolved(state) + state.time_step_rank


def _convolved(state: Recurrent) -> int:
    return state.inner_size + 2 * state.group_count * state.state_size

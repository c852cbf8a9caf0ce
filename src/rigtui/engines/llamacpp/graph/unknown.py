"""Blocks that rigtui cannot draw: an upper estimate, as if everything that a block computes were alive at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rigtui.engines.llamacpp.graph.parts import Heads, Parts, Weights
from rigtui.engines.llamacpp.graph.tensors import F16, Tensor
from rigtui.engines.llamacpp.graph.traits import TRAITS, Traits
from rigtui.models.model import Model
from rigtui.models.model import Tensor as Stored

_MATRIX = 2
"""Dimensions from which on a tensor is one."""


def is_drawn(model: Model, layer: int, stored: Mapping[str, Stored], heads: Heads) -> bool:
    """Whether the graph of a block is known: its architecture is, and it has the tensors that belong to it, in their shapes."""
    traits = TRAITS.get(model.architecture)
    if traits is None:
        return False

    def width(name: str) -> int:
        tensor = stored.get(f"{name}.weight")
        return tensor.shape[1] if tensor is not None and len(tensor.shape) >= _MATRIX else 0

    return _mixes(model, layer, width, heads, traits) and _feeds_forward(model, width, "ffn_gate_inp.weight" in stored)


def _mixes(model: Model, layer: int, width: Callable[[str], int], heads: Heads, traits: Traits) -> bool:
    """Attention, or what a layer has in its place."""
    state = model.recurrent
    if state is not None and state.layers[layer]:
        sizes = (state.group_count or width("ssm_x")) and state.time_step_rank and state.state_size and width("ssm_out")
        if not (heads.key_value and traits.attends_beside_state):
            return state.known and bool(sizes or width("shortconv.in_proj"))
        if not (state.known and sizes):
            return False
    if model.mla:
        return bool(heads.query) and all(map(width, ("attn_kv_a_mqa", "attn_k_b", "attn_v_b", "attn_output")))
    if not heads.key_value:
        return bool(width("ffn_up") or width("ffn_gate_inp"))
    if not (heads.query and heads.key and heads.value and width("attn_output")):
        return False
    query = heads.query * heads.key * (2 if traits.gated_attention else 1)
    key, value = heads.key_value * heads.key, heads.key_value * heads.value
    return bool(width("attn_qkv")) or (width("attn_q"), width("attn_k"), width("attn_v")) == (query, key, value)


def _feeds_forward(model: Model, width: Callable[[str], int], sparse: bool) -> bool:
    if sparse:
        router = width("ffn_gate_inp") == (model.experts.count if model.experts else 0)
        return router and bool(width("ffn_down_exps")) and bool(width("ffn_up_exps") or width("ffn_gate_up_exps"))
    return bool(width("ffn_up")) == bool(width("ffn_down"))


def estimated(parts: Parts, x: Tensor, stored: Mapping[str, Stored], w: Weights, model: Model, heads: Heads, cache: int) -> Tensor:
    """One block: every matrix gives its result, none of which goes before all are there."""
    g, tokens = parts.g, parts.tokens
    used = model.experts.used if model.experts else 1
    alive = [g.like("copied", x)]
    for name, tensor in stored.items():
        weight = w(name)
        if weight is not None and len(tensor.shape) >= _MATRIX:
            times = max(used, 1) if "_exps" in name else 1
            alive.append(g.op("mul_mat", (tensor.shape[1] * times, tokens), weight, x))
    if heads.key_value:
        alive.append(_attention(parts, x, heads, cache))
    if model.recurrent is not None:
        state = model.recurrent
        alive.append(g.op("state", (2 * parts.micro.slots, state.inner_size, state.state_size + 2 * state.conv_kernel), x))
    for part in alive:
        g.expand(part)
    result = g.like("joined", x, *alive)
    g.expand(result)
    return result


def _attention(parts: Parts, x: Tensor, heads: Heads, device: int) -> Tensor:
    g, micro = parts.g, parts.micro
    seen = heads.cells or parts.tokens
    inputs = [parts.mask(heads.cells), parts.input("positions", parts.tokens)]
    caches = (
        [parts.cache(heads, kind, width, device) for kind, width in zip(micro.kinds, (heads.key, heads.value), strict=True)]
        if heads.cells
        else []
    )
    if not micro.flash:
        return g.op("scores", (seen, parts.tokens // micro.streams, heads.query, micro.streams), x, *inputs, *caches)
    result = g.op("flash", (heads.value, heads.query, parts.tokens), x, *inputs, *caches)
    if micro.kinds != ("f16", "f16") and heads.cells:
        sizes = list(result.bytes)
        sizes[heads.cells] += F16 * (heads.key + heads.value) * heads.key_value * micro.streams
        result.bytes = (sizes[0], sizes[1], sizes[2])
    return result

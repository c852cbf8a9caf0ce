"""What the specs of model shapes are made of: metadata and tensors by kind of layer (see specs.py for the fields)."""

from __future__ import annotations

from typing import Any

Spec = dict[str, Any]
Tensors = list[list[Any]]


def make_spec(architecture: str, name: str, vocabulary: int, metadata: dict[str, Any], tensors: Tensors, **more: Any) -> Spec:
    base = {"architecture": architecture, "name": name, "file_type": 15, "vocabulary": vocabulary, "pre": "gpt-2"}
    # llama-quantize's fallback for rows that are not whole blocks of 256.
    fallback = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}
    whole = [[n, shape, kind if shape[0] % 256 == 0 else fallback.get(kind, kind)] for n, shape, kind in tensors]
    return base | {"metadata": metadata, "tensors": whole} | more


def ends_of(embedding: int, vocabulary: int, *, tied: bool = False) -> Tensors:
    ends: Tensors = [["token_embd.weight", [embedding, vocabulary], "Q4_K"], ["output_norm.weight", [embedding], "F32"]]
    return ends if tied else [*ends, ["output.weight", [embedding, vocabulary], "Q6_K"]]


def attention_of(b: str, embedding: int, q: int, k: int, v: int, *, biases: bool = False) -> Tensors:
    tensors: Tensors = [
        [f"{b}attn_norm.weight", [embedding], "F32"],
        [f"{b}attn_q.weight", [embedding, q], "Q4_K"],
        [f"{b}attn_k.weight", [embedding, k], "Q4_K"],
        [f"{b}attn_v.weight", [embedding, v], "Q6_K"],
        [f"{b}attn_output.weight", [q, embedding], "Q4_K"],
    ]
    return tensors + ([[f"{b}attn_{n}.bias", [w], "F32"] for n, w in (("q", q), ("k", k), ("v", v))] if biases else [])


def dense_of(b: str, embedding: int, width: int) -> Tensors:
    return [
        [f"{b}ffn_norm.weight", [embedding], "F32"],
        [f"{b}ffn_gate.weight", [embedding, width], "Q4_K"],
        [f"{b}ffn_up.weight", [embedding, width], "Q4_K"],
        [f"{b}ffn_down.weight", [width, embedding], "Q6_K"],
    ]


def experts_of(b: str, embedding: int, experts: int, width: int, shared: int) -> Tensors:
    tensors: Tensors = [
        [f"{b}ffn_gate_inp.weight", [embedding, experts], "F32"],
        [f"{b}ffn_gate_exps.weight", [embedding, width, experts], "Q4_K"],
        [f"{b}ffn_up_exps.weight", [embedding, width, experts], "Q4_K"],
        [f"{b}ffn_down_exps.weight", [width, embedding, experts], "Q6_K"],
    ]
    if shared:
        tensors += [
            [f"{b}ffn_gate_shexp.weight", [embedding, shared], "Q4_K"],
            [f"{b}ffn_up_shexp.weight", [embedding, shared], "Q4_K"],
            [f"{b}ffn_down_shexp.weight", [shared, embedding], "Q6_K"],
        ]
    return tensors


def keys_of(layers: int, context: int, embedding: int, width: int, heads: int, kv: int | list[int], size: int) -> dict[str, Any]:
    return {
        "block_count": layers,
        "context_length": context,
        "embedding_length": embedding,
        "feed_forward_length": width,
        "attention.head_count": heads,
        "attention.head_count_kv": kv,
        "attention.key_length": size,
        "attention.value_length": size,
        "attention.layer_norm_rms_epsilon": 1e-6,
    }


def scan2_of(b: str, embedding: int, inner: int, state: int, groups: int, ranks: int, *, norm: bool = True) -> Tensors:
    """One layer of Mamba-2."""
    conv = inner + 2 * groups * state
    tensors: Tensors = [
        [f"{b}ssm_in.weight", [embedding, inner + conv + ranks], "Q4_K"],
        [f"{b}ssm_conv1d.weight", [4, conv], "F32"],
        [f"{b}ssm_conv1d.bias", [conv], "F32"],
        [f"{b}ssm_dt.bias", [ranks], "F32"],
        [f"{b}ssm_a", [1, ranks], "F32"],
        [f"{b}ssm_d", [1, ranks], "F32"],
        [f"{b}ssm_out.weight", [inner, embedding], "Q4_K"],
    ]
    return [*tensors, [f"{b}ssm_norm.weight", [inner // groups, groups], "F32"]] if norm else tensors


def state_keys(inner: int, state: int, groups: int, ranks: int) -> dict[str, Any]:
    return {
        "ssm.conv_kernel": 4,
        "ssm.inner_size": inner,
        "ssm.state_size": state,
        "ssm.group_count": groups,
        "ssm.time_step_rank": ranks,
    }

"""Shapes of architectures with ways of their own: fused projections, parallel parts, layers of one part, and one that nobody draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tools.spec_parts import Spec, Tensors, attention_of, dense_of, ends_of, experts_of, keys_of, make_spec, scan2_of, state_keys

ROW_NORM = {"attention.layer_norm_epsilon": 1e-5}


def _biased(name: str, width: int) -> Tensors:
    return [[f"{name}.weight", [width], "F32"], [f"{name}.bias", [width], "F32"]]


def _plain_feed_forward(b: str, embedding: int, width: int, *, biases: bool) -> Tensors:
    tensors: Tensors = [[f"{b}ffn_up.weight", [embedding, width], "Q4_K"], [f"{b}ffn_down.weight", [width, embedding], "Q6_K"]]
    return tensors + ([[f"{b}ffn_up.bias", [width], "F32"], [f"{b}ffn_down.bias", [embedding], "F32"]] if biases else [])


def falcon_7b() -> Spec:
    """One KV head for all, attention beside the feed-forward part; tied."""
    embedding, heads = 4544, 71
    tensors = [*ends_of(embedding, 65024, tied=True), ["output_norm.bias", [embedding], "F32"]]
    for i in range(32):
        b = f"blk.{i}."
        tensors += _biased(f"{b}attn_norm", embedding)
        tensors += [
            [f"{b}attn_qkv.weight", [embedding, embedding + 2 * 64], "Q4_K"],
            [f"{b}attn_output.weight", [embedding, embedding], "Q4_K"],
        ]
        tensors += _plain_feed_forward(b, embedding, 4 * embedding, biases=False)
    metadata = keys_of(32, 2048, embedding, 4 * embedding, heads, 1, 64) | ROW_NORM
    return make_spec("falcon", "falcon-7b-instruct", 65024, metadata, tensors)


def starcoder() -> Spec:
    """Positions from a table, one KV head for all."""
    embedding = 6144
    tensors = [*ends_of(embedding, 49152), ["output_norm.bias", [embedding], "F32"], ["position_embd.weight", [embedding, 8192], "F16"]]
    for i in range(40):
        b = f"blk.{i}."
        tensors += _biased(f"{b}attn_norm", embedding) + _biased(f"{b}ffn_norm", embedding)
        tensors += [[f"{b}attn_qkv.weight", [embedding, embedding + 256], "Q4_K"], [f"{b}attn_qkv.bias", [embedding + 256], "F32"]]
        tensors += [[f"{b}attn_output.weight", [embedding, embedding], "Q4_K"], [f"{b}attn_output.bias", [embedding], "F32"]]
        tensors += _plain_feed_forward(b, embedding, 4 * embedding, biases=True)
    metadata = keys_of(40, 8192, embedding, 4 * embedding, 48, 1, 128) | ROW_NORM
    return make_spec("starcoder", "starcoder", 49152, metadata, tensors)


def phi2() -> Spec:
    """Attention beside the feed-forward part; heads of 80."""
    embedding = 2560
    tensors = [*ends_of(embedding, 51200), ["output_norm.bias", [embedding], "F32"], ["output.bias", [51200], "F32"]]
    for i in range(32):
        b = f"blk.{i}."
        tensors += _biased(f"{b}attn_norm", embedding)
        tensors += [[f"{b}attn_qkv.weight", [embedding, 3 * embedding], "Q4_K"], [f"{b}attn_qkv.bias", [3 * embedding], "F32"]]
        tensors += [[f"{b}attn_output.weight", [embedding, embedding], "Q4_K"], [f"{b}attn_output.bias", [embedding], "F32"]]
        tensors += _plain_feed_forward(b, embedding, 4 * embedding, biases=True)
    metadata = keys_of(32, 2048, embedding, 4 * embedding, 32, 32, 80) | ROW_NORM | {"rope.dimension_count": 32}
    return make_spec("phi2", "phi-2", 51200, metadata, tensors)


def stablelm_3b() -> Spec:
    """Norms that subtract the mean around a gated feed-forward part; heads of 80."""
    tensors = [*ends_of(2560, 50304), ["output_norm.bias", [2560], "F32"]]
    for i in range(32):
        b = f"blk.{i}."
        tensors += attention_of(b, 2560, 2560, 2560, 2560) + dense_of(b, 2560, 6912)
        tensors += [[f"{b}{name}_norm.bias", [2560], "F32"] for name in ("attn", "ffn")]
    metadata = keys_of(32, 4096, 2560, 6912, 32, 32, 80) | ROW_NORM | {"use_parallel_residual": False, "rope.dimension_count": 20}
    return make_spec("stablelm", "stablelm-zephyr-3b", 50304, metadata, tensors)


def qwen2_moe() -> Spec:
    """Experts with a gated shared one, biases."""
    tensors = ends_of(2048, 151936)
    for i in range(24):
        b = f"blk.{i}."
        tensors += attention_of(b, 2048, 2048, 2048, 2048, biases=True) + experts_of(b, 2048, 60, 1408, 5632)
        tensors += [[f"{b}ffn_norm.weight", [2048], "F32"], [f"{b}ffn_gate_inp_shexp.weight", [2048], "F32"]]
    metadata = keys_of(24, 8192, 2048, 5632, 16, 16, 128) | {
        "expert_count": 60,
        "expert_used_count": 4,
        "expert_feed_forward_length": 1408,
        "expert_shared_feed_forward_length": 5632,
    }
    return make_spec("qwen2moe", "Qwen1.5-MoE-A2.7B", 151936, metadata, tensors, pre="qwen2")


def olmoe() -> Spec:
    """Small experts; query and key are normed as a whole."""
    tensors = ends_of(2048, 50304)
    for i in range(16):
        b = f"blk.{i}."
        tensors += attention_of(b, 2048, 2048, 2048, 2048) + experts_of(b, 2048, 64, 1024, 0)
        tensors += [[f"{b}{name}.weight", [2048], "F32"] for name in ("attn_q_norm", "attn_k_norm", "ffn_norm")]
    metadata = keys_of(16, 4096, 2048, 1024, 16, 16, 128) | {"expert_count": 64, "expert_used_count": 8}
    return make_spec("olmoe", "OLMoE-1B-7B-0924-Instruct", 50304, metadata, tensors)


def exaone4() -> Spec:
    """Norms after each part only, and per head; tied."""
    tensors = ends_of(2048, 102400, tied=True)
    for i in range(30):
        b = f"blk.{i}."
        tensors += attention_of(b, 2048, 2048, 512, 512)[1:] + dense_of(b, 2048, 4096)[1:]
        tensors += [[f"{b}attn_{n}_norm.weight", [64], "F32"] for n in ("q", "k")]
        tensors += [[f"{b}post_{part}_norm.weight", [2048], "F32"] for part in ("attention", "ffw")]
    return make_spec("exaone4", "EXAONE-4.0-1.2B", 102400, keys_of(30, 65536, 2048, 4096, 32, 8, 64), tensors)


def nemotron_h() -> Spec:
    """Each layer is one part: Mamba-2, attention or a feed-forward network without gate."""
    embedding, inner, state, groups, ranks, width = 4096, 8192, 128, 8, 128, 21504
    pattern = "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-"
    tensors = ends_of(embedding, 131072)
    for i, kind in enumerate(pattern):
        b = f"blk.{i}."
        tensors.append([f"{b}attn_norm.weight", [embedding], "F32"])
        if kind == "M":
            tensors += scan2_of(b, embedding, inner, state, groups, ranks)
        elif kind == "*":
            tensors += attention_of(b, embedding, 4096, 1024, 1024)[1:]
        else:
            tensors += _plain_feed_forward(b, embedding, width, biases=False)
    metadata: dict[str, Any] = keys_of(len(pattern), 8192, embedding, 0, 32, [8 * (kind == "*") for kind in pattern], 128)
    metadata |= {
        "attention.layer_norm_epsilon": 1e-5,
        "feed_forward_length": [width * (kind == "-") for kind in pattern],
        "rope.dimension_count": 128,
    }
    metadata |= state_keys(inner, state, groups, ranks)
    return make_spec("nemotron_h", "Nemotron-H-8B", 131072, metadata, tensors)


def smallthinker() -> Spec:
    """Experts chosen before attention, a window in three of four layers."""
    tensors = ends_of(2560, 151936)
    for i in range(52):
        b = f"blk.{i}."
        tensors += attention_of(b, 2560, 3584, 512, 512) + experts_of(b, 2560, 64, 768, 0) + [[f"{b}ffn_norm.weight", [2560], "F32"]]
    metadata = keys_of(52, 16384, 2560, 768, 28, 4, 128) | {
        "expert_count": 64,
        "expert_used_count": 6,
        "expert_feed_forward_length": 768,
        "expert_gating_func": 2,
        "attention.sliding_window": 4096,
    }
    return make_spec("smallthinker", "SmallThinker-21BA3B-Instruct", 151936, metadata, tensors, pre="qwen2")


def llama4_scout() -> Spec:
    """Experts of which one is used beside a shared one, a window in three of four layers."""
    tensors = ends_of(5120, 202048)
    for i in range(48):
        b = f"blk.{i}."
        tensors += attention_of(b, 5120, 5120, 1024, 1024) + experts_of(b, 5120, 16, 8192, 8192) + [[f"{b}ffn_norm.weight", [5120], "F32"]]
    metadata = keys_of(48, 10485760, 5120, 16384, 40, 8, 128) | {
        "expert_count": 16,
        "expert_used_count": 1,
        "expert_feed_forward_length": 8192,
        "interleave_moe_layer_step": 1,
    }
    return make_spec("llama4", "Llama-4-Scout-17B-16E-Instruct", 202048, metadata, tensors, pre="llama4")


def minimax_m2() -> Spec:
    """Queries and keys normed over all heads."""
    tensors = ends_of(3072, 200064)
    for i in range(62):
        b = f"blk.{i}."
        tensors += attention_of(b, 3072, 6144, 1024, 1024) + experts_of(b, 3072, 256, 1536, 0)
        norms = (("ffn_norm.weight", 3072), ("attn_q_norm.weight", 6144), ("attn_k_norm.weight", 1024), ("exp_probs_b.bias", 256))
        tensors += [[b + name, [size], "F32"] for name, size in norms]
    metadata = keys_of(62, 196608, 3072, 1536, 48, 8, 128) | {
        "expert_count": 256,
        "expert_used_count": 8,
        "expert_feed_forward_length": 1536,
        "expert_gating_func": 2,
        "rope.dimension_count": 64,
    }
    return make_spec("minimax-m2", "MiniMax-M2", 200064, metadata, tensors)


PROGRAMS: dict[str, Callable[[], Spec]] = {
    "falcon-7b-q4_k_m": falcon_7b,
    "starcoder-q4_k_m": starcoder,
    "phi-2-q4_k_m": phi2,
    "stablelm-zephyr-3b-q4_k_m": stablelm_3b,
    "qwen1.5-moe-a2.7b-q4_k_m": qwen2_moe,
    "olmoe-1b-7b-q4_k_m": olmoe,
    "exaone-4.0-1.2b-q4_k_m": exaone4,
    "nemotron-h-8b-q4_k_m": nemotron_h,
    "smallthinker-21b-q4_k_m": smallthinker,
    "llama-4-scout-q4_k_m": llama4_scout,
    "minimax-m2-q4_k_m": minimax_m2,
}

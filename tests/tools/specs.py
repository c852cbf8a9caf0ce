"""Shapes of real models as compact programs: what `make_gguf.sparse` writes as a header and a hole.

A spec has the fields of the files in tests/models/specs: architecture, name, file_type, vocabulary, pre, metadata (keys without the
architecture, `tokenizer.…` and `general.…` as they are) and tensors (name, shape in GGUF order, type).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools import specs_hybrid, specs_more, specs_rest
from tools.spec_parts import Spec, Tensors, attention_of, dense_of, ends_of, experts_of, keys_of, make_spec, scan2_of, state_keys

_FOLDER = Path(__file__).parents[1] / "models" / "specs"


def qwen2_7b() -> Spec:
    """Dense, with biases."""
    tensors = ends_of(3584, 152064)
    for i in range(28):
        tensors += attention_of(f"blk.{i}.", 3584, 3584, 512, 512, biases=True) + dense_of(f"blk.{i}.", 3584, 18944)
    return make_spec("qwen2", "Qwen2.5-7B-Instruct", 152064, keys_of(28, 32768, 3584, 18944, 28, 4, 128), tensors, pre="qwen2")


def gemma2_9b() -> Spec:
    """Every second layer looks back 4,096 tokens; tied."""
    tensors = ends_of(3584, 256000, tied=True)
    for i in range(42):
        b = f"blk.{i}."
        tensors += attention_of(b, 3584, 4096, 2048, 2048) + dense_of(b, 3584, 14336)
        tensors += [[f"{b}post_attention_norm.weight", [3584], "F32"], [f"{b}post_ffw_norm.weight", [3584], "F32"]]
    metadata = keys_of(42, 8192, 3584, 14336, 16, 8, 256) | {"attention.sliding_window": 4096}
    return make_spec("gemma2", "gemma-2-9b-it", 256000, metadata, tensors)


def gemma3_4b() -> Spec:
    """Five of six layers look back 1,024 tokens; tied."""
    tensors = ends_of(2560, 262144, tied=True)
    for i in range(34):
        b = f"blk.{i}."
        tensors += attention_of(b, 2560, 2048, 1024, 1024) + dense_of(b, 2560, 10240)
        tensors += [[f"{b}attn_{n}_norm.weight", [256], "F32"] for n in ("q", "k")]
        tensors += [[f"{b}post_attention_norm.weight", [2560], "F32"], [f"{b}post_ffw_norm.weight", [2560], "F32"]]
    metadata = keys_of(34, 131072, 2560, 10240, 8, 4, 256) | {"attention.sliding_window": 1024}
    return make_spec("gemma3", "gemma-3-4b-it", 262144, metadata, tensors)


def _mla(
    layers: int, heads: int, nope: int, value: int, q_lora: int, experts: int, width: int, shared: int, dense: int, vocabulary: int
) -> Tensors:
    embedding, rank, rope = 2048, 512, 64
    tensors = ends_of(embedding, vocabulary)
    for i in range(layers):
        b = f"blk.{i}."
        q = heads * (nope + rope)
        tensors += [[f"{b}attn_norm.weight", [embedding], "F32"], [f"{b}ffn_norm.weight", [embedding], "F32"]]
        if q_lora:
            tensors += [[f"{b}attn_q_a.weight", [embedding, q_lora], "Q4_K"], [f"{b}attn_q_a_norm.weight", [q_lora], "F32"]]
        tensors += [
            [f"{b}attn_q_b.weight" if q_lora else f"{b}attn_q.weight", [q_lora or embedding, q], "Q4_K"],
            [f"{b}attn_kv_a_mqa.weight", [embedding, rank + rope], "Q4_K"],
            [f"{b}attn_kv_a_norm.weight", [rank], "F32"],
            [f"{b}attn_k_b.weight", [nope, rank, heads], "Q8_0"],
            [f"{b}attn_v_b.weight", [rank, value, heads], "Q8_0"],
            [f"{b}attn_output.weight", [heads * value, embedding], "Q4_K"],
        ]
        tensors += dense_of(b, embedding, dense)[1:] if i == 0 else experts_of(b, embedding, experts, width, shared * width)
    return tensors


def _mla_keys(rank: int = 512, rope: int = 64, *, nope: int, value: int) -> dict[str, Any]:
    return {
        "attention.kv_lora_rank": rank,
        "attention.key_length": rank + rope,
        "attention.value_length": rank,
        "attention.key_length_mla": nope + rope,
        "attention.value_length_mla": value,
        "rope.dimension_count": rope,
        "leading_dense_block_count": 1,
        "expert_weights_scale": 1.8,
    }


def deepseek_v2_lite() -> Spec:
    """MLA without a query rank."""
    metadata = keys_of(27, 163840, 2048, 10944, 16, 1, 576) | _mla_keys(nope=128, value=128)
    metadata |= {"expert_count": 64, "expert_used_count": 6, "expert_shared_count": 2, "expert_feed_forward_length": 1408}
    return make_spec("deepseek2", "DeepSeek-V2-Lite-Chat", 102400, metadata, _mla(27, 16, 128, 128, 0, 64, 1408, 2, 10944, 102400))


def glm_flash() -> Spec:
    """MLA, experts, and one multi-token-prediction block at the end that counts as a block but is not loaded."""
    metadata = keys_of(48, 202752, 2048, 10240, 20, 1, 576) | _mla_keys(nope=192, value=256)
    metadata |= {"expert_count": 64, "expert_used_count": 4, "expert_shared_count": 1, "expert_feed_forward_length": 1536}
    metadata |= {"attention.q_lora_rank": 768, "nextn_predict_layers": 1}
    tensors = _mla(48, 20, 192, 256, 768, 64, 1536, 1, 10240, 154880)
    tensors += [["blk.47.nextn.eh_proj.weight", [4096, 2048], "Q4_K"]]
    tensors += [[f"blk.47.nextn.{n}.weight", [2048], "F32"] for n in ("enorm", "hnorm", "shared_head_norm")]
    return make_spec("deepseek2", "GLM-4.7-Flash", 154880, metadata, tensors)


def qwen3next_80b() -> Spec:
    """Three of four layers keep a gated delta-net state instead of a KV cache."""
    embedding, heads, kv, size, inner, state, groups = 2048, 16, 2, 256, 4096, 128, 16
    tensors = ends_of(embedding, 151936)
    for i in range(48):
        b = f"blk.{i}."
        if (i + 1) % 4 == 0:
            tensors += attention_of(b, embedding, heads * size, kv * size, kv * size)
            tensors[-4] = [f"{b}attn_q.weight", [embedding, 2 * heads * size], "Q4_K"]  # query and gate
            tensors += [[f"{b}attn_{n}_norm.weight", [size], "F32"] for n in ("q", "k")]
        else:
            conv = inner + 2 * groups * state
            tensors += [
                [f"{b}attn_norm.weight", [embedding], "F32"],
                [f"{b}attn_qkv.weight", [embedding, conv], "Q4_K"],
                [f"{b}attn_gate.weight", [embedding, inner], "Q4_K"],
                [f"{b}ssm_conv1d.weight", [4, conv], "F32"],
                [f"{b}ssm_dt.bias", [32], "F32"],
                [f"{b}ssm_a", [32], "F32"],
                [f"{b}ssm_ba.weight", [embedding, 64], "Q4_K"],
                [f"{b}ssm_norm.weight", [state], "F32"],
                [f"{b}ssm_out.weight", [inner, embedding], "Q4_K"],
            ]
        tensors += [[f"{b}post_attention_norm.weight", [embedding], "F32"], [f"{b}ffn_gate_inp_shexp.weight", [embedding], "F32"]]
        tensors += experts_of(b, embedding, 512, 512, 512)
    metadata = keys_of(48, 262144, embedding, 5120, heads, kv, size) | {
        "expert_count": 512,
        "expert_used_count": 10,
        "expert_feed_forward_length": 512,
        "expert_shared_feed_forward_length": 512,
        "ssm.conv_kernel": 4,
        "ssm.inner_size": inner,
        "ssm.state_size": state,
        "ssm.group_count": groups,
        "ssm.time_step_rank": 32,
        "full_attention_interval": 4,
        "rope.dimension_count": 64,
        "rope.freq_base": 10000000.0,
    }
    return make_spec("qwen3next", "Qwen3-Next-80B-A3B-Instruct", 151936, metadata, tensors, pre="qwen2")


def phi3_mini() -> Spec:
    """Names a sliding window that llama.cpp does not use."""
    tensors = ends_of(3072, 32064)
    for i in range(32):
        b = f"blk.{i}."
        tensors += [
            [f"{b}attn_norm.weight", [3072], "F32"],
            [f"{b}attn_qkv.weight", [3072, 9216], "Q4_K"],
            [f"{b}attn_output.weight", [3072, 3072], "Q4_K"],
            [f"{b}ffn_norm.weight", [3072], "F32"],
            [f"{b}ffn_up.weight", [3072, 16384], "Q4_K"],
            [f"{b}ffn_down.weight", [8192, 3072], "Q6_K"],
        ]
    metadata = keys_of(32, 131072, 3072, 8192, 32, 32, 96) | {"attention.sliding_window": 262144, "rope.dimension_count": 96}
    # llama.cpp looks these up for every model of this name.
    words = ["</s>", "<unk>", "<s>", "<|endoftext|>"]
    return make_spec("phi3", "Phi-3-mini-128k-instruct", 32064, metadata, tensors, words=words)


def granite_hybrid() -> Spec:
    """Four attention layers among 36 of Mamba-2; experts everywhere."""
    embedding, inner, state, ranks = 1536, 3072, 128, 48
    attention = (5, 15, 25, 35)
    tensors = ends_of(embedding, 100352, tied=True)
    for i in range(40):
        b = f"blk.{i}."
        if i in attention:
            tensors += attention_of(b, embedding, 1536, 512, 512)
        else:
            tensors += [[f"{b}attn_norm.weight", [embedding], "F32"], *scan2_of(b, embedding, inner, state, 1, ranks)]
        tensors += [[f"{b}ffn_norm.weight", [embedding], "F32"], *experts_of(b, embedding, 64, 512, 1024)]
    metadata = keys_of(40, 131072, embedding, 512, 12, [4 if i in attention else 0 for i in range(40)], 128) | {
        "expert_count": 64,
        "expert_used_count": 6,
        "expert_shared_feed_forward_length": 1024,
        "logit_scale": 6.0,
    }
    metadata |= state_keys(inner, state, 1, ranks)
    return make_spec("granitehybrid", "granite-4.0-h-tiny", 100352, metadata, tensors)


def nomic_bert() -> Spec:
    """An embedding model: no KV cache, no text."""
    tensors: Tensors = [
        ["token_embd.weight", [768, 30522], "F16"],
        ["token_types.weight", [768, 2], "F32"],
        ["token_embd_norm.weight", [768], "F32"],
        ["token_embd_norm.bias", [768], "F32"],
    ]
    for i in range(12):
        b = f"blk.{i}."
        tensors += [
            [f"{b}attn_qkv.weight", [768, 2304], "F16"],
            [f"{b}attn_output.weight", [768, 768], "F16"],
            *[[f"{b}{n}_output_norm.{w}", [768], "F32"] for n in ("attn", "layer") for w in ("weight", "bias")],
            [f"{b}ffn_up.weight", [768, 3072], "F16"],
            [f"{b}ffn_gate.weight", [768, 3072], "F16"],
            [f"{b}ffn_down.weight", [3072, 768], "F16"],
        ]
    metadata = {
        "block_count": 12,
        "context_length": 2048,
        "embedding_length": 768,
        "feed_forward_length": 3072,
        "attention.head_count": 12,
        "attention.layer_norm_epsilon": 1e-12,
        "attention.causal": False,
        "pooling_type": 1,
        "rope.freq_base": 1000.0,
        "tokenizer.ggml.token_type_count": 2,
    }
    return make_spec("nomic-bert", "nomic-embed-text-v1.5", 30522, metadata, tensors, file_type=1)


PROGRAMS: dict[str, Callable[[], Spec]] = {
    "qwen2.5-7b-q4_k_m": qwen2_7b,
    "gemma-2-9b-q4_k_m": gemma2_9b,
    "gemma-3-4b-q4_k_m": gemma3_4b,
    "deepseek-v2-lite-q4_k_m": deepseek_v2_lite,
    "glm-4.7-flash-q4_k_m": glm_flash,
    "qwen3-next-80b-q4_k_m": qwen3next_80b,
    "phi-3-mini-q4_k_m": phi3_mini,
    "granite-4.0-h-tiny-q4_k_m": granite_hybrid,
    "nomic-embed-f16": nomic_bert,
    **specs_more.PROGRAMS,
    **specs_rest.PROGRAMS,
    **specs_hybrid.PROGRAMS,
}
NAMES = (*sorted(p.stem for p in _FOLDER.glob("*.json")), *PROGRAMS)


def spec(name: str) -> Spec:
    """The spec called `name`: a file of tests/models/specs or one of the programs here."""
    if name in PROGRAMS:
        return PROGRAMS[name]()
    loaded: Spec = json.loads((_FOLDER / f"{name}.json").read_text())
    return loaded

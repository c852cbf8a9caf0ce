"""Shapes of more architectures, which the preview is compared with the engine on; fields as in specs.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tools.spec_parts import Spec, Tensors, attention_of, dense_of, ends_of, experts_of, keys_of, make_spec, scan2_of, state_keys

LAYER_NORM = {"attention.layer_norm_epsilon": 1e-5}


def _plain(
    architecture: str,
    name: str,
    layers: int,
    context: int,
    embedding: int,
    width: int,
    heads: int,
    kv: int,
    size: int,
    vocabulary: int,
    *,
    tied: bool = False,
    norms: dict[str, int] | None = None,
    **more: Any,
) -> Spec:
    """Attention and a gated feed-forward part in every layer; `norms` are further F32 tensors of a layer and their sizes."""
    tensors = ends_of(embedding, vocabulary, tied=tied)
    for i in range(layers):
        b = f"blk.{i}."
        tensors += attention_of(b, embedding, heads * size, kv * size, kv * size) + dense_of(b, embedding, width)
        tensors += [[f"{b}{norm}.weight", [length], "F32"] for norm, length in (norms or {}).items()]
    return make_spec(architecture, name, vocabulary, keys_of(layers, context, embedding, width, heads, kv, size) | more, tensors)


def _without(spec: Spec, *names: str) -> Spec:
    """`spec` without the tensors of these names."""
    return spec | {"tensors": [tensor for tensor in spec["tensors"] if not tensor[0].endswith(names)]}


def qwen3_small() -> Spec:
    """Heads that are wider together than the embedding; tied."""
    norms = {"attn_q_norm": 128, "attn_k_norm": 128}
    return _plain("qwen3", "Qwen3-0.6B", 28, 40960, 1024, 3072, 16, 8, 128, 151936, tied=True, norms=norms)


def qwen3_14b() -> Spec:
    """Dense."""
    return _plain("qwen3", "Qwen3-14B", 40, 40960, 5120, 17408, 40, 8, 128, 151936, norms={"attn_q_norm": 128, "attn_k_norm": 128})


def llama_1b() -> Spec:
    """Tied, with a large vocabulary."""
    return _plain("llama", "Llama-3.2-1B-Instruct", 16, 131072, 2048, 8192, 32, 8, 64, 128256, tied=True)


def mistral_24b() -> Spec:
    """Heads that are narrower together than the embedding."""
    return _plain("llama", "Mistral-Small-24B", 40, 32768, 5120, 32768, 32, 8, 128, 131072)


def granite_8b() -> Spec:
    """Dense, with scaled residuals."""
    scales = {"embedding_scale": 12.0, "residual_scale": 0.22, "logit_scale": 16.0, "attention.scale": 0.0078125}
    return _plain("granite", "granite-3.3-8b-instruct", 40, 131072, 4096, 12800, 32, 8, 128, 49159, tied=True, **scales)


def mixtral() -> Spec:
    """Few large experts under the name of a dense architecture."""
    tensors = ends_of(4096, 32000)
    for i in range(32):
        b = f"blk.{i}."
        tensors += [*attention_of(b, 4096, 4096, 1024, 1024), [f"{b}ffn_norm.weight", [4096], "F32"], *experts_of(b, 4096, 8, 14336, 0)]
    metadata = keys_of(32, 32768, 4096, 14336, 32, 8, 128) | {"expert_count": 8, "expert_used_count": 2}
    return make_spec("llama", "Mixtral-8x7B-Instruct-v0.1", 32000, metadata, tensors)


def glm4_9b() -> Spec:
    """Gate and up in one tensor, norms after each part."""
    norms = {"post_attention_norm": 4096, "post_ffw_norm": 4096}
    spec = _plain("glm4", "GLM-4-9B-0414", 40, 32768, 4096, 13696, 32, 2, 128, 151552, norms=norms, **{"rope.dimension_count": 64})
    spec = _without(spec, "ffn_gate.weight", "ffn_up.weight")
    spec["tensors"] += [[f"blk.{i}.ffn_up.weight", [4096, 27392], "Q4_K"] for i in range(40)]
    return spec


def glm45_air() -> Spec:
    """One leading dense block, experts with a shared one, a multi-token-prediction block that is not loaded."""
    tensors = ends_of(4096, 151552)
    for i in range(47):
        b = f"blk.{i}."
        tensors += [*attention_of(b, 4096, 12288, 1024, 1024, biases=True), [f"{b}post_attention_norm.weight", [4096], "F32"]]
        if i == 0:
            tensors += dense_of(b, 4096, 10944)[1:]
        else:
            tensors += [*experts_of(b, 4096, 128, 1408, 1408), [f"{b}exp_probs_b.bias", [128], "F32"]]
    tensors += [["blk.46.nextn.eh_proj.weight", [8192, 4096], "Q4_K"]]
    tensors += [[f"blk.46.nextn.{n}.weight", [4096], "F32"] for n in ("enorm", "hnorm", "shared_head_norm")]
    metadata = keys_of(47, 131072, 4096, 10944, 96, 8, 128) | {
        "expert_count": 128,
        "expert_used_count": 8,
        "expert_shared_count": 1,
        "expert_feed_forward_length": 1408,
        "expert_weights_norm": True,
        "expert_weights_scale": 1.0,
        "expert_gating_func": 2,
        "leading_dense_block_count": 1,
        "nextn_predict_layers": 1,
        "rope.dimension_count": 64,
    }
    return make_spec("glm4moe", "GLM-4.5-Air", 151552, metadata, tensors)


def starcoder2_7b() -> Spec:
    """No gate; biases everywhere."""
    spec = _without(_plain("starcoder2", "starcoder2-7b", 32, 16384, 4608, 18432, 36, 4, 128, 49152, **LAYER_NORM), "ffn_gate.weight")
    widths = {"attn_norm": 4608, "ffn_norm": 4608, "attn_q": 4608, "attn_k": 512, "attn_v": 512, "attn_output": 4608}
    widths |= {"ffn_up": 18432, "ffn_down": 4608}
    biases = [[f"blk.{i}.{name}.bias", [width], "F32"] for i in range(32) for name, width in widths.items()]
    spec["tensors"] += [*biases, ["output_norm.bias", [4608], "F32"]]
    return spec


def command_r() -> Spec:
    """Attention and feed-forward side by side on the same norm; tied."""
    more = LAYER_NORM | {"logit_scale": 0.0625}
    return _without(
        _plain("command-r", "c4ai-command-r-08-2024", 40, 131072, 8192, 24576, 64, 8, 128, 256000, tied=True, **more), "ffn_norm.weight"
    )


def cohere2() -> Spec:
    """As Command R, with a sliding window in three of four layers."""
    more = LAYER_NORM | {"logit_scale": 0.25, "attention.sliding_window": 4096, "rope.dimension_count": 128}
    return _without(
        _plain("cohere2", "c4ai-command-r7b-12-2024", 32, 8192, 4096, 14336, 32, 8, 128, 256000, tied=True, **more), "ffn_norm.weight"
    )


def olmo2_7b() -> Spec:
    """Norms after each part only."""
    norms = {"attn_q_norm": 4096, "attn_k_norm": 4096, "post_attention_norm": 4096, "post_ffw_norm": 4096}
    spec = _plain("olmo2", "OLMo-2-1124-7B-Instruct", 32, 4096, 4096, 11008, 32, 32, 128, 100352, norms=norms)
    return _without(spec, "attn_norm.weight", "ffn_norm.weight")


def _delta_net(b: str, embedding: int, inner: int, state: int, groups: int, ranks: int) -> Tensors:
    conv = inner + 2 * groups * state
    return [
        [f"{b}attn_norm.weight", [embedding], "F32"],
        [f"{b}attn_qkv.weight", [embedding, conv], "Q4_K"],
        [f"{b}attn_gate.weight", [embedding, inner], "Q4_K"],
        [f"{b}ssm_conv1d.weight", [4, conv], "F32"],
        [f"{b}ssm_dt.bias", [ranks], "F32"],
        [f"{b}ssm_a", [ranks], "F32"],
        [f"{b}ssm_alpha.weight", [embedding, ranks], "Q8_0"],
        [f"{b}ssm_beta.weight", [embedding, ranks], "Q8_0"],
        [f"{b}ssm_norm.weight", [state], "F32"],
        [f"{b}ssm_out.weight", [inner, embedding], "Q4_K"],
    ]


def _qwen35(layers: int, embedding: int, heads: int, kv: int, inner: int, groups: int, ranks: int) -> tuple[Tensors, dict[str, Any]]:
    """The attention parts of Qwen3.5: three of four layers keep a delta-net state. Tensors and keys without feed-forward."""
    size, state = 256, 128
    tensors: Tensors = []
    for i in range(layers):
        b = f"blk.{i}."
        if (i + 1) % 4:
            tensors += _delta_net(b, embedding, inner, state, groups, ranks)
        else:
            tensors += attention_of(b, embedding, heads * size, kv * size, kv * size)
            tensors[-4] = [f"{b}attn_q.weight", [embedding, 2 * heads * size], "Q4_K"]  # query and gate
            tensors += [[f"{b}attn_{n}_norm.weight", [size], "F32"] for n in ("q", "k")]
        tensors += [[f"{b}post_attention_norm.weight", [embedding], "F32"]]
    keys = {
        "ssm.conv_kernel": 4,
        "ssm.inner_size": inner,
        "ssm.state_size": state,
        "ssm.group_count": groups,
        "ssm.time_step_rank": ranks,
        "full_attention_interval": 4,
        "rope.dimension_count": 64,
        "rope.dimension_sections": [11, 11, 10, 0],
    }
    return tensors, keys


def qwen35_9b() -> Spec:
    """Dense, three of four layers with a delta-net state."""
    tensors, keys = _qwen35(32, 4096, 16, 4, 4096, 16, 32)
    tensors += ends_of(4096, 248320)
    for i in range(32):
        tensors += dense_of(f"blk.{i}.", 4096, 12288)[1:]
    return make_spec("qwen35", "Qwen3.5-9B", 248320, keys_of(32, 262144, 4096, 12288, 16, 4, 256) | keys, tensors)


def qwen35_35b() -> Spec:
    """As the dense one, with experts."""
    tensors, keys = _qwen35(40, 2048, 16, 2, 4096, 16, 32)
    tensors += ends_of(2048, 248320)
    for i in range(40):
        tensors += [[f"blk.{i}.ffn_gate_inp_shexp.weight", [2048], "F32"], *experts_of(f"blk.{i}.", 2048, 256, 512, 512)]
    keys |= {"expert_count": 256, "expert_used_count": 8, "expert_feed_forward_length": 512, "expert_shared_feed_forward_length": 512}
    return make_spec("qwen35moe", "Qwen3.5-35B-A3B", 248320, keys_of(40, 262144, 2048, 512, 16, 2, 256) | keys, tensors)


def mamba2() -> Spec:
    """No attention at all."""
    embedding, inner, state, ranks = 2560, 5120, 128, 80
    tensors = ends_of(embedding, 50288, tied=True)
    for i in range(64):
        tensors += [[f"blk.{i}.attn_norm.weight", [embedding], "F32"], *scan2_of(f"blk.{i}.", embedding, inner, state, 1, ranks)]
    metadata: dict[str, Any] = {
        "block_count": 64,
        "context_length": 1048576,
        "embedding_length": embedding,
        "feed_forward_length": 0,
        "attention.head_count": 0,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }
    metadata |= state_keys(inner, state, 1, ranks)
    return make_spec("mamba2", "mamba2-2.7b", 50288, metadata, tensors)


def lfm2() -> Spec:
    """Ten of sixteen layers are short convolutions; tied."""
    attention, embedding = (2, 5, 8, 10, 12, 14), 2048
    tensors: Tensors = [["token_embd.weight", [embedding, 65536], "Q6_K"], ["token_embd_norm.weight", [embedding], "F32"]]
    for i in range(16):
        b = f"blk.{i}."
        if i in attention:
            tensors += attention_of(b, embedding, 2048, 512, 512) + [[f"{b}attn_{n}_norm.weight", [64], "F32"] for n in ("q", "k")]
        else:
            tensors += [
                [f"{b}attn_norm.weight", [embedding], "F32"],
                [f"{b}shortconv.conv.weight", [3, embedding], "F32"],
                [f"{b}shortconv.in_proj.weight", [embedding, 3 * embedding], "Q4_K"],
                [f"{b}shortconv.out_proj.weight", [embedding, embedding], "Q4_K"],
            ]
        tensors += dense_of(b, embedding, 8192)
    metadata = keys_of(16, 128000, embedding, 8192, 32, [8 if i in attention else 0 for i in range(16)], 64)
    return make_spec("lfm2", "LFM2-1.2B", 65536, metadata | {"shortconv.l_cache": 3}, tensors)


def _bert(name: str, layers: int, embedding: int, width: int, heads: int) -> Spec:
    """An embedding model without rotation: positions are a table."""
    tensors: Tensors = [
        ["token_embd.weight", [embedding, 30522], "F16"],
        ["position_embd.weight", [embedding, 512], "F32"],
        ["token_types.weight", [embedding, 2], "F32"],
        *[[f"token_embd_norm.{w}", [embedding], "F32"] for w in ("weight", "bias")],
    ]
    for i in range(layers):
        b = f"blk.{i}."
        tensors += [
            [f"{b}attn_{n}.{w}", [embedding, embedding][k:], "F32" if k else "F16"]
            for n in ("q", "k", "v", "output")
            for k, w in enumerate(("weight", "bias"))
        ]
        tensors += [[f"{b}{n}_output_norm.{w}", [embedding], "F32"] for n in ("attn", "layer") for w in ("weight", "bias")]
        tensors += [[f"{b}ffn_up.weight", [embedding, width], "F16"], [f"{b}ffn_up.bias", [width], "F32"]]
        tensors += [[f"{b}ffn_down.weight", [width, embedding], "F16"], [f"{b}ffn_down.bias", [embedding], "F32"]]
    metadata = keys_of(layers, 512, embedding, width, heads, heads, embedding // heads) | {
        "attention.layer_norm_epsilon": 1e-12,
        "attention.causal": False,
        "pooling_type": 2,
        "tokenizer.ggml.token_type_count": 2,
    }
    return make_spec("bert", name, 30522, metadata, tensors, file_type=1)


def bert_large() -> Spec:
    """The usual heads of 64."""
    return _bert("bge-large-en-v1.5", 24, 1024, 4096, 16)


def bert_small() -> Spec:
    """Heads of 32, for which no GPU has flash attention."""
    return _bert("all-MiniLM-L12-v2", 12, 384, 1536, 12)


PROGRAMS: dict[str, Callable[[], Spec]] = {
    "qwen3-0.6b-q4_k_m": qwen3_small,
    "qwen3-14b-q4_k_m": qwen3_14b,
    "llama-3.2-1b-q4_k_m": llama_1b,
    "mistral-small-24b-q4_k_m": mistral_24b,
    "granite-3.3-8b-q4_k_m": granite_8b,
    "mixtral-8x7b-q4_k_m": mixtral,
    "glm-4-9b-q4_k_m": glm4_9b,
    "glm-4.5-air-q4_k_m": glm45_air,
    "starcoder2-7b-q4_k_m": starcoder2_7b,
    "command-r-q4_k_m": command_r,
    "command-r7b-q4_k_m": cohere2,
    "olmo-2-7b-q4_k_m": olmo2_7b,
    "qwen3.5-9b-q4_k_m": qwen35_9b,
    "qwen3.5-35b-a3b-q4_k_m": qwen35_35b,
    "mamba2-2.7b-q4_k_m": mamba2,
    "lfm2-1.2b-q4_k_m": lfm2,
    "bge-large-f16": bert_large,
    "minilm-l12-f16": bert_small,
}

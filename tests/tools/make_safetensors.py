"""Checkpoints that are headers only: real shapes and sizes, no weights (the files are sparse)."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

SIZES = {"BF16": 2, "F16": 2, "F32": 4, "I32": 4}
Shapes = dict[str, tuple[str, tuple[int, ...]]]
"""Tensor -> dtype and shape, outermost dimension first."""


def write(folder: Path, config: dict[str, Any], tensors: Shapes) -> Path:
    """A folder that reads like a model; what its file claims to hold is a hole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    header: dict[str, Any] = {}
    at = 0
    for name, (dtype, shape) in tensors.items():
        size = SIZES[dtype] * prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": (at, at + size)}
        at += size
    data = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(data).to_bytes(8, "little") + data)
        file.truncate(8 + len(data) + at)
    return folder


def awq(name: str, rows: int, columns: int, group: int = 128) -> Shapes:
    """A linear layer of `rows` inputs and `columns` outputs in AWQ-INT4, as AutoAWQ stores it."""
    return {
        f"{name}.qweight": ("I32", (rows, columns // 8)),
        f"{name}.qzeros": ("I32", (rows // group, columns // 8)),
        f"{name}.scales": ("F16", (rows // group, columns)),
    }


def coder_27b_with_eyes() -> tuple[dict[str, Any], Shapes]:
    """`coder_27b` as a part of a model that also looks at images, through a tower of 27 blocks in bfloat16 (0.9 GB)."""
    text, tensors = coder_27b()
    wide, inner, merged, out = 1152, 4304, 4608, 5120
    looks = {
        "depth": 27,
        "hidden_size": wide,
        "intermediate_size": inner,
        "out_hidden_size": out,
        "patch_size": 16,
        "spatial_merge_size": 2,
    }
    config = {
        "architectures": ["Qwen3_5ForConditionalGeneration"],
        "model_type": "qwen3_5",
        "text_config": {**text, "model_type": "qwen3_5_text"},
        "vision_config": looks,
        "quantization_config": text["quantization_config"],
    }
    tower: Shapes = {
        "model.visual.patch_embed.proj.weight": ("BF16", (wide, 3, 2, 16, 16)),
        "model.visual.pos_embed.weight": ("BF16", (2304, wide)),
        "model.visual.merger.linear_fc1.weight": ("BF16", (merged, merged)),
        "model.visual.merger.linear_fc2.weight": ("BF16", (out, merged)),
    }
    for block in range(27):
        at = f"model.visual.blocks.{block}"
        tower[f"{at}.attn.qkv.weight"] = ("BF16", (3 * wide, wide))
        tower[f"{at}.attn.proj.weight"] = ("BF16", (wide, wide))
        tower[f"{at}.mlp.linear_fc1.weight"] = ("BF16", (inner, wide))
        tower[f"{at}.mlp.linear_fc2.weight"] = ("BF16", (wide, inner))
    named = {name.replace("model.", "model.language_model.", 1): shape for name, shape in tensors.items()}
    return config, named | tower


def coder_27b() -> tuple[dict[str, Any], Shapes]:
    """A dense coding model of 27B: 48 layers with a gated delta-net state, 16 with attention, AWQ-INT4, embedding and head undivided.

    The shape of the checkpoint whose figures were published (`rigtui.engines.vllm.published`).
    """
    hidden, vocabulary, layers = 5120, 248320, 64
    config = {
        "architectures": ["Qwen3_5ForCausalLM"],
        "model_type": "qwen3_5",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": 17408,
        "num_attention_heads": 24,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": vocabulary,
        "max_position_embeddings": 262144,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "mamba_ssm_dtype": "float32",
        "layer_types": ["full_attention" if (il + 1) % 4 == 0 else "linear_attention" for il in range(layers)],
        "linear_conv_kernel_dim": 4,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 48,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm"},
    }
    tensors: Shapes = {
        "model.embed_tokens.weight": ("BF16", (vocabulary, hidden)),
        "lm_head.weight": ("BF16", (vocabulary, hidden)),
        "model.norm.weight": ("BF16", (hidden,)),
    }
    for il in range(layers):
        at = f"model.layers.{il}"
        tensors |= {f"{at}.{norm}.weight": ("BF16", (hidden,)) for norm in ("input_layernorm", "post_attention_layernorm")}
        for part, rows, columns in (("gate_proj", hidden, 17408), ("up_proj", hidden, 17408), ("down_proj", 17408, hidden)):
            tensors |= awq(f"{at}.mlp.{part}", rows, columns)
        if (il + 1) % 4:
            tensors |= awq(f"{at}.linear_attn.in_proj_qkv", hidden, 10240) | awq(f"{at}.linear_attn.in_proj_z", hidden, 6144)
            tensors |= awq(f"{at}.linear_attn.out_proj", 6144, hidden)
            tensors |= {f"{at}.linear_attn.in_proj_{part}.weight": ("BF16", (48, hidden)) for part in "ab"}
            tensors[f"{at}.linear_attn.conv1d.weight"] = ("BF16", (10240, 1, 4))
        else:
            for part, columns in (("q_proj", 12288), ("k_proj", 1024), ("v_proj", 1024)):
                tensors |= awq(f"{at}.self_attn.{part}", hidden, columns)
            tensors |= awq(f"{at}.self_attn.o_proj", 6144, hidden)
    return config, tensors


def dense(
    layers: int = 32,
    *,
    hidden: int = 4096,
    heads: int = 32,
    kv_heads: int = 8,
    width: int = 14336,
    vocabulary: int = 128256,
    context: int = 131072,
    **more: Any,
) -> tuple[dict[str, Any], Shapes]:
    """A plain dense decoder in bfloat16."""
    head = hidden // heads
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": width,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head,
        "vocab_size": vocabulary,
        "max_position_embeddings": context,
        "torch_dtype": "bfloat16",
    } | more
    tensors: Shapes = {
        "model.embed_tokens.weight": ("BF16", (vocabulary, hidden)),
        "model.norm.weight": ("BF16", (hidden,)),
    }
    if not config.get("tie_word_embeddings"):
        tensors["lm_head.weight"] = ("BF16", (vocabulary, hidden))
    for il in range(layers):
        at = f"model.layers.{il}"
        for name, shape in {
            "self_attn.q_proj": (heads * head, hidden),
            "self_attn.k_proj": (kv_heads * head, hidden),
            "self_attn.v_proj": (kv_heads * head, hidden),
            "self_attn.o_proj": (hidden, heads * head),
            "mlp.gate_proj": (width, hidden),
            "mlp.up_proj": (width, hidden),
            "mlp.down_proj": (hidden, width),
        }.items():
            tensors[f"{at}.{name}.weight"] = ("BF16", shape)
    return config, tensors

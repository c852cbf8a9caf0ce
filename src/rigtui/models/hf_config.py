"""What a transformers `config.json` says, in llama.cpp's terms.

Names: transformers' PretrainedConfig and the configurations of the named model types; quantization: the quantizers' own
`quantization_config` (AutoAWQ, GPTQModel, compressed-tensors, ModelOpt, bitsandbytes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from rigtui.models.keys import Keys, Value
from rigtui.models.layers import LayerKinds
from rigtui.models.model import Recurrent, Transformers
from rigtui.text import clean

Config = Mapping[str, Any]

_KEYS = {
    "block_count": ("num_hidden_layers", "n_layer", "num_layers"),
    "context_length": ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len"),
    "embedding_length": ("hidden_size", "n_embd", "d_model"),
    "attention.head_count": ("num_attention_heads", "n_head"),
    "attention.head_count_kv": ("num_key_value_heads",),
    "feed_forward_length": ("intermediate_size", "n_inner"),
    "expert_count": ("num_experts", "num_local_experts", "n_routed_experts"),
    "expert_used_count": ("num_experts_per_tok", "num_experts_per_token", "top_k_experts"),
    "expert_feed_forward_length": ("moe_intermediate_size",),
    "expert_shared_count": ("n_shared_experts",),
    "expert_shared_feed_forward_length": ("shared_expert_intermediate_size",),
    "attention.key_length": ("head_dim",),
    "attention.value_length": ("head_dim",),
}
"""llama.cpp's key -> transformers' names for it."""

_DTYPES: dict[object, Literal["bf16", "f16", "f32"]] = {
    "bfloat16": "bf16",
    "torch.bfloat16": "bf16",
    "float16": "f16",
    "torch.float16": "f16",
    "half": "f16",
    "float32": "f32",
    "torch.float32": "f32",
}
_NO_HEADS = "config.json leaves out how many attention heads there are, so the size of the KV cache is not known"
# Layers that keep a state: names in `layer_types` and `layers_block_type`, letters in `hybrid_override_pattern`.
_STATE_KINDS = frozenset({"linear_attention", "mamba", "mamba2", "conv", "recurrent", "M"})
_IDLE_KINDS = frozenset({"-", "mlp", "moe"})
_WINDOW_KINDS = frozenset({"sliding_attention", "chunked_attention"})
# Model types with a state that do not always say in which layers.
_STATE_TYPES = frozenset(
    {
        "bamba",
        "falcon_h1",
        "falcon_mamba",
        "granitemoehybrid",
        "jamba",
        "kimi_linear",
        "mamba",
        "mamba2",
        "minimax",
        "plamo2",
        "recurrent_gemma",
        "rwkv",
        "rwkv7",
        "zamba",
        "zamba2",
    }
)
# Every so-many-th layer sees everything, where the configuration does not say.
_WINDOW_PERIODS = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6, "cohere2": 4, "exaone4": 4}


def text_part(config: Config) -> dict[str, Any]:
    """The language model's part of a multimodal configuration; the whole of any other."""
    for name in ("text_config", "llm_config", "language_config"):
        if isinstance(part := config.get(name), dict):
            return {**config, **part}
    return dict(config)


def values(config: Config) -> dict[str, Value]:
    """config.json under llama.cpp's key names; what has no sensible type is left for `Keys` to refuse."""
    found: dict[str, Value] = {}
    for key, names in _KEYS.items():
        value = next((config[name] for name in names if config.get(name) is not None), None)
        if isinstance(value, list):
            found[key] = tuple(value)
        elif isinstance(value, int | float | str):
            found[key] = value
    rank, rope = _whole(config, "kv_lora_rank"), _whole(config, "qk_rope_head_dim")
    if rank and rope:  # one compressed row for K and V together
        found |= {"attention.key_length": rank + rope, "attention.value_length": rank, "attention.head_count_kv": 1}
        found |= {
            "attention.key_length_mla": _whole(config, "qk_nope_head_dim") + rope,
            "attention.value_length_mla": _whole(config, "v_head_dim"),
        }
    if config.get("multi_query") is True:
        found["attention.head_count_kv"] = 1
    return found


def layer_kinds(config: Config, keys: Keys) -> LayerKinds:
    """Which layers slide, keep a state, or have no cache."""
    named = _layer_names(config, keys.layers)
    state = tuple(name in _STATE_KINDS for name in named)
    window, sliding = _sliding(config, keys, named)
    recurrent = _recurrent(config, state) if any(state) else None
    if recurrent is None and not named and config.get("model_type") in _STATE_TYPES:
        recurrent = Recurrent(layers=(True,) * keys.layers, known=False)
    idle = tuple(name in _STATE_KINDS or name in _IDLE_KINDS for name in named) or (False,) * keys.layers
    return LayerKinds(
        sliding_window=window,
        swa_layers=sliding,
        recurrent=recurrent,
        kv_heads=tuple(0 if none else heads for none, heads in zip(idle, keys.kv_heads, strict=True)),
        notes=() if recurrent or any(keys.heads) else (_NO_HEADS,),
    )


def _whole(config: Config, name: str) -> int:
    value = config.get(name)
    return value if isinstance(value, int) and 0 < value < 1 << 31 else 0


def _layer_names(config: Config, layers: int) -> tuple[str, ...]:
    """What kind every layer is, where the configuration has such a list."""
    for name in ("layer_types", "layers_block_type", "hybrid_override_pattern"):
        given = config.get(name)
        if isinstance(given, list | str) and len(given) >= layers:
            return tuple(str(kind) for kind in given[:layers])
    interval = _whole(config, "full_attention_interval")
    if interval and _whole(config, "linear_num_value_heads"):  # Qwen3-Next: every so-many-th layer attends, the others keep a state
        return tuple("linear_attention" if (il + 1) % interval else "full_attention" for il in range(layers))
    return ()


def _sliding(config: Config, keys: Keys, named: tuple[str, ...]) -> tuple[int, tuple[bool, ...]]:
    window = _whole(config, "attention_chunk_size") if "chunked_attention" in named else _whole(config, "sliding_window")
    if not window or config.get("use_sliding_window") is False or window >= keys.number("context_length", 1 << 30):
        return 0, ()
    layers = range(keys.layers)
    period = _whole(config, "sliding_window_pattern") or _WINDOW_PERIODS.get(str(config.get("model_type")), 0)
    if named:
        flags = tuple(kind in _WINDOW_KINDS for kind in named)
    elif period:
        flags = tuple((il + 1) % period != 0 for il in layers)
    elif config.get("use_sliding_window") is True:  # Qwen2: the layers above a limit
        flags = tuple(il >= _whole(config, "max_window_layers") for il in layers)
    else:
        flags = (True,) * keys.layers
    return (window, flags) if any(flags) else (0, ())


def _recurrent(config: Config, layers: tuple[bool, ...]) -> Recurrent:
    names = ("linear_conv_kernel_dim", "linear_num_value_heads", "linear_value_head_dim", "linear_num_key_heads", "linear_key_head_dim")
    kernel, value_heads, value_length, key_heads, key_length = (_whole(config, name) for name in names)
    if all((kernel, value_heads, value_length, key_heads, key_length)):
        return Recurrent(
            layers=layers, conv_kernel=kernel, inner_size=value_heads * value_length, state_size=key_length, group_count=key_heads
        )
    # Mamba 2, under the names of Bamba, Granite, Falcon-H1 and of Nemotron-H.
    kernel, state = _first(config, "mamba_d_conv", "conv_kernel"), _first(config, "mamba_d_state", "ssm_state_size")
    inner = _first(config, "mamba_n_heads", "mamba_num_heads") * _first(config, "mamba_d_head", "mamba_head_dim")
    if not all((kernel, state, inner)):
        return Recurrent(layers=layers, known=False)
    groups = _first(config, "mamba_n_groups", "n_groups") or 1
    return Recurrent(layers=layers, conv_kernel=kernel, inner_size=inner, state_size=state, group_count=groups)


def _first(config: Config, *names: str) -> int:
    """The first of the named whole numbers that is given, or 0."""
    return next((value for name in names if (value := _whole(config, name))), 0)


def loading(config: Config, text: Config) -> Transformers:
    """How the weights are to be read: `config` is the whole configuration, `text` the language model's part of it."""
    given = config.get("quantization_config", text.get("quantization_config"))
    quantizer = given if isinstance(given, dict) else {}
    named = quantizer.get("quant_method") or ("modelopt" if quantizer.get("quant_algo") else "")
    return Transformers(
        dtype=_dtype(text, "dtype", "torch_dtype") or _dtype(config, "dtype", "torch_dtype") or "bf16",
        quant_method=clean(str(named)).lower()[:40],
        quant_group=_group(quantizer),
        tied=text.get("tie_word_embeddings", config.get("tie_word_embeddings")) is True,
        state_dtype=_dtype(text, "mamba_ssm_dtype", "mamba_ssm_cache_dtype") or "",
    )


def _dtype(config: Config, *names: str) -> Literal["bf16", "f16", "f32"] | None:
    found = (config.get(name) for name in names)
    return next((_DTYPES[value] for value in found if isinstance(value, str) and value in _DTYPES), None)


def _group(quantizer: Config) -> int:
    """Elements that share a scale, wherever the quantizer writes it down."""
    found = _whole(quantizer, "group_size") or _whole(quantizer, "q_group_size")
    groups = quantizer.get("config_groups")
    if not found and isinstance(groups, dict):
        weights = [group.get("weights") for group in groups.values() if isinstance(group, dict)]
        found = next((_whole(part, "group_size") for part in weights if isinstance(part, dict)), 0)
    return found


def quantization(config: Config) -> tuple[str, int]:
    """The label (`AWQ-INT4`, `FP8`, `NVFP4`; empty when the weights are as trained) and the bits per packed weight."""
    given = config.get("quantization_config")
    if not isinstance(given, dict):
        return "", 0
    method = clean(str(given.get("quant_method", ""))).upper()[:40]
    if method == "COMPRESSED-TENSORS":
        return _compressed(given)
    if method.startswith("MODELOPT") or not method:
        label = clean(str(given.get("quant_algo", method))).upper()[:40]
        return label, 4 if "4" in label else 8
    bits = _whole(given, "bits") or _whole(given, "w_bit")
    if method == "BITSANDBYTES":
        bits = 4 if given.get("load_in_4bit") or given.get("_load_in_4bit") else 8
    if not bits or "FP" in method:
        return method, 4 if "4" in method else 8
    return f"{method}-INT{bits}", bits


def _compressed(given: Config) -> tuple[str, int]:
    groups = given.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, dict) else None
    weights = first.get("weights") if isinstance(first, dict) else None
    if not isinstance(weights, dict):
        return "COMPRESSED-TENSORS", 8
    bits = _whole(weights, "num_bits") or 8
    if weights.get("type") != "float":
        return f"INT{bits}", bits
    return ("NVFP4" if bits == 4 else f"FP{bits}"), bits

"""Folders of safetensors: the files' headers and config.json, nothing else is read.

Header: 8 bytes length, then that much JSON (safetensors 0.5, README "Format"). Names in config.json: transformers' PretrainedConfig.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from rigtui.errors import RigtuiError
from rigtui.models.build import Origin, build
from rigtui.models.keys import Keys, Value
from rigtui.models.layers import LayerKinds
from rigtui.models.model import Model, Recurrent, Tensor
from rigtui.text import clean

MAX_JSON_BYTES = 100 << 20
"""The format's own limit for a header."""
MAX_FILES = 1000

_KEYS = {
    "block_count": ("num_hidden_layers", "n_layer", "num_layers"),
    "context_length": ("max_position_embeddings", "n_positions", "seq_length"),
    "embedding_length": ("hidden_size", "n_embd", "d_model"),
    "attention.head_count": ("num_attention_heads", "n_head"),
    "attention.head_count_kv": ("num_key_value_heads",),
    "feed_forward_length": ("intermediate_size", "n_inner"),
    "expert_count": ("num_experts", "num_local_experts", "n_routed_experts"),
    "expert_used_count": ("num_experts_per_tok", "num_experts_per_token", "top_k_experts"),
    "expert_feed_forward_length": ("moe_intermediate_size",),
}
"""llama.cpp's key -> transformers' names for it."""


class _Entry(Struct):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


class _Index(Struct):
    weight_map: dict[str, str]


def read_safetensors(folder: Path) -> Model:
    """The model in `folder`. Raises RigtuiError, one sentence, for what is missing, damaged or cut off."""
    config = _json(folder / "config.json", dict[str, Any])
    text = config.get("text_config")
    inner: dict[str, Any] = {**config, **text} if isinstance(text, dict) else config
    files = _files(folder)
    tensors = tuple(tensor for file in files for tensor in _header(file))
    if not tensors:
        raise RigtuiError(f"{clean(str(folder))} holds no tensors")
    keys = Keys(_translated(inner), clean(str(folder)))
    architectures = config.get("architectures")
    named = architectures[0] if isinstance(architectures, list) and architectures and isinstance(architectures[0], str) else ""
    architecture = inner.get("model_type") if isinstance(inner.get("model_type"), str) else named
    return build(
        keys,
        tensors,
        Origin(
            name=clean(folder.name),
            path=str(folder),
            files=tuple(str(file) for file in files),
            format="safetensors",
            architecture=clean(str(architecture or "unknown")),
            quantization=_quantization(config),
            vocabulary=inner["vocab_size"] if isinstance(inner.get("vocab_size"), int) else 0,
            chat_template=(folder / "chat_template.jinja").exists(),
            embedding_model=any(word in named for word in ("BertModel", "EmbeddingModel", "SentenceTransformer")),
        ),
        _kinds(inner, keys),
    )


def _json(path: Path, kind: type[Any]) -> Any:
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise RigtuiError(f"cannot read {clean(str(path))}: {error.strerror or error}") from error
    if len(data) > MAX_JSON_BYTES:
        raise RigtuiError(f"{clean(str(path))} is larger than any such file; it was not read")
    return _decoded(data, kind, path)


def _decoded(data: bytes, kind: type[Any], path: Path) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RigtuiError(f"{clean(str(path))} is damaged: {clean(str(error))}") from error


def _files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.exists():
        names = sorted(set(_json(index, _Index).weight_map.values()))
        if any("/" in name or name in ("", ".", "..") for name in names) or len(names) > MAX_FILES:
            raise RigtuiError(f"{clean(str(index))} names files that cannot be its own")
        missing = [name for name in names if not (folder / name).exists()]
        if missing:
            raise RigtuiError(f"{clean(str(folder))} is incomplete: {clean(missing[0])} is missing; download it again")
        return [folder / name for name in names]
    return sorted(folder.glob("*.safetensors"))[:MAX_FILES]


def _header(path: Path) -> list[Tensor]:
    """The tensors of one file; its data is only measured."""
    try:
        with open(path, "rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= MAX_JSON_BYTES:
                raise RigtuiError(f"{clean(str(path))} is not a safetensors file: it claims a header of {length:,} bytes")
            data = stream.read(length)
            size = stream.seek(0, 2)
    except OSError as error:
        raise RigtuiError(f"cannot read {clean(str(path))}: {error.strerror or error}") from error
    if len(data) < length:
        raise RigtuiError(f"{clean(str(path))} is cut off within its header; download it again")
    entries = _decoded(data, dict[str, msgspec.Raw], path)
    entries.pop("__metadata__", None)
    tensors = []
    end = 0
    for name, raw in entries.items():
        entry = _decoded(raw, _Entry, path)
        first, last = entry.data_offsets
        if not 0 <= first <= last or any(dimension < 0 for dimension in entry.shape):
            raise RigtuiError(f"{clean(str(path))} is damaged: tensor {clean(name)[:80]} has an impossible place or shape")
        end = max(end, last)
        tensors.append(Tensor(name, tuple(reversed(entry.shape)), clean(entry.dtype).lower(), last - first))
    if 8 + length + end > size:
        raise RigtuiError(f"{clean(str(path))} is incomplete: {8 + length + end:,} bytes are needed, {size:,} are there; download it again")
    return tensors


def _translated(config: Mapping[str, Any]) -> dict[str, Value]:
    """config.json under llama.cpp's key names."""
    found: dict[str, Value] = {}
    for key, names in _KEYS.items():
        value = next((config[name] for name in names if config.get(name) is not None), None)
        if isinstance(value, int | float | str):
            found[key] = value
    head = config.get("head_dim")
    if isinstance(head, int):
        found["attention.key_length"] = found["attention.value_length"] = head
    rank, rope = config.get("kv_lora_rank"), config.get("qk_rope_head_dim")
    if isinstance(rank, int) and isinstance(rope, int) and rank > 0:
        found |= {"attention.key_length": rank + rope, "attention.value_length": rank, "attention.head_count_kv": 1}
        found |= {"attention.key_length_mla": rank + rope, "attention.value_length_mla": rank}
    if found.get("expert_count") and "expert_feed_forward_length" not in found and "feed_forward_length" in found:
        found["expert_feed_forward_length"] = found["feed_forward_length"]
    return found


def _kinds(config: Mapping[str, Any], keys: Keys) -> LayerKinds:
    """Sliding and linear layers from `layer_types`."""
    given = config.get("layer_types")
    types = [str(kind) for kind in given] if isinstance(given, list) and len(given) >= keys.layers else []
    sliding = tuple(kind == "sliding_attention" for kind in types[: keys.layers])
    linear = tuple(kind == "linear_attention" for kind in types[: keys.layers])
    window = config.get("sliding_window")
    return LayerKinds(
        sliding_window=window if isinstance(window, int) and any(sliding) else 0,
        swa_layers=sliding if any(sliding) else (),
        recurrent=_linear(config, linear) if any(linear) else None,
        kv_heads=tuple(0 if i < len(linear) and linear[i] else heads for i, heads in enumerate(keys.kv_heads)),
    )


def _linear(config: Mapping[str, Any], layers: tuple[bool, ...]) -> Recurrent:
    names = ("linear_conv_kernel_dim", "linear_num_value_heads", "linear_value_head_dim", "linear_num_key_heads", "linear_key_head_dim")
    values = [config.get(name) for name in names]
    if not all(isinstance(value, int) for value in values):
        return Recurrent(layers=layers, known=False)
    kernel, value_heads, value_length, key_heads, key_length = (int(value or 0) for value in values)
    return Recurrent(layers=layers, conv_kernel=kernel, inner_size=value_heads * value_length, state_size=key_length, group_count=key_heads)


def _quantization(config: Mapping[str, Any]) -> str:
    """`AWQ-INT4`, `GPTQ-INT4`, `FP8`, as quantization_config says; empty when there is none."""
    given = config.get("quantization_config")
    if not isinstance(given, dict):
        return ""
    method = clean(str(given.get("quant_method", ""))).upper()
    bits = given.get("bits", given.get("w_bit"))
    return f"{method}-INT{bits}" if isinstance(bits, int) and "FP8" not in method else method

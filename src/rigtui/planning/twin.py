"""The same model in the other engine's format, as far as sizes go: what it would be like there, before anybody fetches it. Pure.

Sizes follow from the shapes of the file that is here and the usual bits per weight of the other format; a real file differs by some
percent.
"""

from __future__ import annotations

from math import prod

from msgspec import Struct
from msgspec.structs import replace

from rigtui.models.memo import per_model
from rigtui.models.model import Model, Tensor, Transformers

GGUF_BITS = (("Q4_K_M", 4.85), ("Q5_K_M", 5.7), ("Q6_K", 6.56), ("Q8_0", 8.5), ("BF16", 16.0))
"""Quantizations and their bits per weight (llama.cpp, tools/quantize)."""
GGUF_HEAD_BITS = 6.56
"""The head stays finer than the rest."""
CHECKPOINTS = ((6.1, "AWQ-INT4", "awq", 4.25), (12.0, "FP8", "fp8", 8.0), (99.0, "BF16", "", 16.0))
"""For up to so many bits per weight: what a checkpoint of about the same quality is called, its method, and its own bits."""
CHECKPOINT_GROUP = 128
ROW_BYTES = 2048
"""What stands for tensors of the other format has rows of so many bytes."""
_ARCHITECTURES = {
    "deepseek_v3": "deepseek2",
    "gemma3_text": "gemma3",
    "glm4_moe": "glm4moe",
    "gpt_oss": "gpt-oss",
    "mistral": "llama",
    "mixtral": "llama",
    "qwen2_moe": "qwen2moe",
    "qwen3_5": "qwen35",
    "qwen3_5_moe": "qwen35moe",
    "qwen3_5_moe_text": "qwen35moe",
    "qwen3_5_text": "qwen35",
    "qwen3_moe": "qwen3moe",
    "qwen3_next": "qwen3next",
}
"""transformers' names -> llama.cpp's, where they differ."""


class Twin(Struct, frozen=True):
    """A model that is not here."""

    model: Model
    label: str
    """`Q4_K_M GGUF`, `AWQ-INT4 checkpoint`."""


@per_model
def twin(model: Model) -> Twin:
    """The same model for the other engine: a GGUF of a checkpoint, a checkpoint of a GGUF."""
    return _gguf(model) if model.format == "safetensors" else _checkpoint(model)


def gguf_architecture(model: Model) -> str:
    """What llama.cpp calls the architecture of a checkpoint."""
    return _ARCHITECTURES.get(model.architecture, model.architecture)


def _gguf(model: Model) -> Twin:
    ends = {False: _elements(model, ("embed_tokens.",)), True: _elements(model, ("lm_head.",))}
    blocks = sum(tensor.bytes for tensor in model.tensors if tensor.layer is not None)
    inner = max(model.parameters - sum(ends.values()), 1)
    bits = blocks * 8 / inner
    label, wanted = next(((name, size) for name, size in GGUF_BITS if size >= bits - 0.5), GGUF_BITS[-1])
    scale = wanted / bits
    tensors = [_tensor("token_embd.weight", ends[False] * wanted / 8)]
    if not model.tied:
        tensors.append(_tensor("output.weight", ends[True] * max(min(GGUF_HEAD_BITS, 16.0), wanted) / 8))
    parts: dict[str, float] = {}
    for tensor in model.tensors:
        if tensor.layer is None or tensor.layer >= model.layers:
            continue
        kind = "ffn_up_exps" if ".experts." in tensor.name else "ffn_up" if ".mlp." in tensor.name else "attn_q"
        name = f"blk.{tensor.layer}.{kind}.weight"
        parts[name] = parts.get(name, 0.0) + tensor.bytes * scale
    tensors += [_tensor(name, size) for name, size in parts.items()]
    return Twin(_remade(model, tensors, "gguf", gguf_architecture(model), None), f"{label} GGUF")


def _checkpoint(model: Model) -> Twin:
    every = [(tensor, tensor.layer, prod(tensor.shape)) for tensor in model.tensors]
    inner = sum(elements for _, layer, elements in every if layer is not None)
    bits = sum(tensor.bytes for tensor, layer, _ in every if layer is not None) * 8 / max(inner, 1)
    label, method, wanted = next((name, method, size) for most, name, method, size in CHECKPOINTS if bits <= most)
    names = {"token_embd.weight": "model.embed_tokens.weight", "output.weight": "lm_head.weight"}
    rows: dict[str, int] = {}
    for tensor, layer, elements in every:
        if layer is None:
            # Embedding and head stay as they were trained.
            name, size = names.get(tensor.name, f"model.{tensor.name}"), elements * 2.0
        elif layer < model.layers:
            part = "mlp.experts.up_proj" if "_exps" in tensor.name else "mlp.up_proj"
            name, size = f"model.layers.{layer}.{part}.weight", elements * wanted / 8
        else:
            continue
        rows[name] = rows.get(name, 0) + _rows(size)
    tensors = [_matrix(name, count) for name, count in rows.items()]
    loading = Transformers(
        quant_method=method,
        quant_group=CHECKPOINT_GROUP if method == "awq" else 0,
        tied=model.tied,
        state_dtype="f32" if model.recurrent else "",
    )
    return Twin(_remade(model, tensors, "safetensors", model.architecture, loading), f"{label} checkpoint")


def _remade(model: Model, tensors: list[Tensor], form: str, architecture: str, loading: Transformers | None) -> Model:
    return replace(
        model,
        path=f"/{model.name}",
        files=(),
        format="gguf" if form == "gguf" else "safetensors",
        architecture=architecture,
        quantization="",
        tensors=tuple(tensors),
        weights_bytes=sum(tensor.bytes for tensor in tensors),
        fingerprint=f"{model.fingerprint}-{form}",
        transformers=loading,
    )


def _elements(model: Model, names: tuple[str, ...]) -> int:
    return sum(prod(t.shape) for t in model.tensors if t.layer is None and any(name in t.name for name in names))


def _tensor(name: str, size: float) -> Tensor:
    """A matrix of about so many bytes."""
    return _matrix(name, _rows(size))


def _rows(size: float) -> int:
    """How many rows of `_matrix` take about so many bytes."""
    return max(round(size / ROW_BYTES), 1)


def _matrix(name: str, rows: int) -> Tensor:
    """A matrix whose rows need no padding."""
    return Tensor(name, (ROW_BYTES // 2, rows), "f16", rows * ROW_BYTES)

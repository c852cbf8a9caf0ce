"""Which other files hold the same model in another engine's format? By what their headers say and by their names. Pure.

Shapes alone do not tell: every fine-tune of a model has the same ones. So the names must agree as well, but for the words that say how the
weights are stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rigtui.models.model import Model
from rigtui.planning.twin import gguf_architecture

_STORED = re.compile(
    r"(?<![a-z0-9])(?:i?q\d(?:_(?:\d|k|nl|xxs|xs|s|m|l|xl))*|bf16|fp?16|fp?32|f8|fp8|mxfp4|nvfp4|int[48]|[248]bit|w\d+a\d+|g\d+|i1|ud|"
    r"awq|gptq|gguf|hf|bnb|marlin|imatrix|imat|autoround|compressed|tensors|safetensors|quantized|\d{5}-of-\d{5})(?![a-z0-9])"
)
"""What a name says of how the weights are stored, and not of which model they are."""
_BETWEEN = re.compile(r"[^a-z0-9.]+|(?<!\d)\.|\.(?!\d)")
"""A point between digits belongs to a version."""


def siblings(model: Model, others: Iterable[Model]) -> tuple[Model, ...]:
    """Those of `others` that are `model` in another format, the finest first."""
    same = {other.path: other for other in others if is_sibling(model, other)}
    return tuple(sorted(same.values(), key=lambda other: -other.weights_bytes))


def is_sibling(model: Model, other: Model) -> bool:
    """Whether both are the same model, one as GGUF and one as safetensors."""
    if model.format == other.format or _shape(model) != _shape(other):
        return False
    return bool(_names(model) & _names(other))


def _shape(model: Model) -> tuple[object, ...]:
    # The vocabulary is left out: converters pad it, or leave the padding away.
    return (
        gguf_architecture(model) if model.format == "safetensors" else model.architecture,
        model.layers,
        model.embedding_length,
        max(model.heads, default=0),
        max(model.kv_heads, default=0),
        model.experts.count if model.experts else 0,
    )


def _names(model: Model) -> set[tuple[str, ...]]:
    """What the model may be called: its own name, that of its file or folder, that of its repository in the hub's cache."""
    parts = model.path.rstrip("/").split("/")
    names = [model.name, parts[-1].removesuffix(".gguf")]
    names += [part.rpartition("--")[2] for part in parts if part.startswith("models--")]
    return {found for name in names if (found := _plain(name))}


def _plain(name: str) -> tuple[str, ...]:
    """The words of a name that say which model it is."""
    return tuple(part for part in _BETWEEN.split(_STORED.sub(" ", name.lower())) if part)

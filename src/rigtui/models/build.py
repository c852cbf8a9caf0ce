"""From checked metadata and a tensor list to a Model; the same for every file format."""

from __future__ import annotations

import hashlib
from collections import Counter
from math import prod
from typing import Literal

from msgspec import Struct

from rigtui.models import architectures as arch
from rigtui.models.keys import Keys
from rigtui.models.layers import LayerKinds
from rigtui.models.model import Experts, Model, Tensor, Transformers

_STATE_NOTE = "the size of its recurrent state is not known to rigtui and not counted"


class Origin(Struct, frozen=True, kw_only=True):
    """What is known about a model apart from its sizes."""

    name: str
    files: tuple[str, ...]
    path: str
    format: Literal["gguf", "safetensors"]
    architecture: str
    quantization: str
    """Empty: the type that most weights have."""
    vocabulary: int
    chat_template: bool = False
    embedding_model: bool = False
    parameters: int | None = None
    """None: the elements of the tensors."""
    transformers: Transformers | None = None


def build(keys: Keys, tensors: tuple[Tensor, ...], origin: Origin, kinds: LayerKinds) -> Model:
    """The Model. Raises RigtuiError when the metadata contradicts itself or lacks what every model has."""
    unknown_state = kinds.recurrent is not None and not kinds.recurrent.known
    return Model(
        name=origin.name,
        path=origin.path,
        files=origin.files,
        format=origin.format,
        architecture=origin.architecture,
        layers=keys.layers,
        mtp_layers=keys.mtp,
        context_trained=keys.number("context_length", 0),
        embedding_length=keys.embedding,
        vocabulary=origin.vocabulary,
        heads=keys.heads,
        kv_heads=kinds.kv_heads,
        key_length=keys.key_length,
        value_length=keys.value_length,
        key_length_swa=keys.number("attention.key_length_swa") if "attention.key_length_swa" in keys else None,
        value_length_swa=keys.number("attention.value_length_swa") if "attention.value_length_swa" in keys else None,
        mla=bool(keys.number("attention.key_length_mla", 0) and keys.number("attention.value_length_mla", 0)),
        sliding_window=kinds.sliding_window,
        swa_layers=kinds.swa_layers,
        rotates=keys.flag("rope.scaling.finetuned", default=True) or origin.architecture not in arch.ROTATES_IF_FINETUNED,
        recurrent=kinds.recurrent,
        feed_forward=keys.per_layer("feed_forward_length", 0)[: keys.layers],
        experts=_experts(keys),
        embedding_model=origin.embedding_model,
        quantization=origin.quantization or _dominant_type(tensors),
        parameters=sum(prod(t.shape) for t in tensors) if origin.parameters is None else origin.parameters,
        tensors=tensors,
        weights_bytes=sum(t.bytes for t in tensors),
        fingerprint=_fingerprint(keys, origin.architecture, tensors),
        chat_template=origin.chat_template,
        transformers=origin.transformers,
        notes=(*kinds.notes, _STATE_NOTE) if unknown_state else kinds.notes,
    )


def _experts(keys: Keys) -> Experts | None:
    count = keys.number("expert_count", 0)
    if count < 2:
        return None
    width = keys.largest("expert_feed_forward_length", 0) or keys.largest("feed_forward_length", 0)
    shared = keys.number("expert_shared_count", 1 if keys.number("expert_shared_feed_forward_length", 0) else 0)
    return Experts(count=count, used=keys.largest("expert_used_count", 0), feed_forward=width, shared=shared)


def _dominant_type(tensors: tuple[Tensor, ...]) -> str:
    """The type that most of the weights have, as a label; empty when there are none."""
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[tensor.type] += tensor.bytes
    return max(sizes, key=lambda kind: sizes[kind]).upper() if sizes else ""


def _fingerprint(keys: Keys, architecture: str, tensors: tuple[Tensor, ...]) -> str:
    """Hex digest of what the model is, whatever its files are called and however they are split."""
    digest = hashlib.sha256()
    digest.update(repr((architecture, keys.blocks, keys.number("context_length", 0), keys.embedding)).encode())
    for tensor in sorted(tensors, key=lambda t: t.name):
        digest.update(repr((tensor.name, tensor.shape, tensor.type)).encode())
    return digest.hexdigest()

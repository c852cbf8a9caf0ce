"""From checked metadata and a tensor list to a Model; the same for every file format."""

from __future__ import annotations

import hashlib
from collections import Counter
from math import prod
from typing import Literal

from msgspec import Struct

from rigtui.models import architectures as arch
from rigtui.models.keys import Keys
from rigtui.models.layers import kv_cache_heads, recurrent_layers, sliding_layers
from rigtui.models.model import Experts, Model, Tensor

_SPARSE_NOTE = "its attention keeps an index cache beside K and V whose size is not counted; llama.cpp will use more than planned"
_STATE_NOTE = "the size of its recurrent state is not known to rigtui and not counted"


class Origin(Struct, frozen=True, kw_only=True):
    """What is known about a model apart from its sizes."""

    name: str
    files: tuple[str, ...]
    path: str
    format: Literal["gguf", "safetensors"]
    architecture: str
    quantization: str
    vocabulary: int
    chat_template: bool = False
    embedding_model: bool = False
    notes: tuple[str, ...] = ()


def build(keys: Keys, tensors: tuple[Tensor, ...], origin: Origin) -> Model:
    """The Model. Raises RigtuiError when the metadata contradicts itself or lacks what every model has."""
    architecture = origin.architecture
    mtp = keys.number("nextn_predict_layers", 0)
    layers = keys.blocks - mtp
    if layers < 1:
        raise keys.bad("it has no layers besides its multi-token-prediction blocks, so it is only a draft for another model")
    embedding = keys.number("embedding_length")
    heads = keys.per_layer("attention.head_count", 0)[:layers]
    kv_heads = keys.per_layer("attention.head_count_kv", keys.per_layer("attention.head_count", 0))[:layers]
    per_head = embedding // heads[0] if heads[0] else 0
    key_length = keys.number("attention.key_length", per_head)
    value_length = keys.number("attention.value_length", per_head)
    window, swa_layers, swa_note = sliding_layers(keys, architecture, layers)
    recurrent = recurrent_layers(keys, architecture, layers, kv_heads, heads)
    notes = [*origin.notes]
    notes += [swa_note] if swa_note else []
    notes += [_SPARSE_NOTE] if architecture in arch.EXTRA_CACHE else []
    notes += [_STATE_NOTE] if recurrent and not recurrent.known else []
    return Model(
        name=origin.name,
        path=origin.path,
        files=origin.files,
        format=origin.format,
        architecture=architecture,
        layers=layers,
        mtp_layers=mtp,
        context_trained=keys.number("context_length", 0),
        embedding_length=embedding,
        vocabulary=origin.vocabulary,
        heads=heads,
        kv_heads=kv_cache_heads(keys, architecture, layers, kv_heads, recurrent),
        key_length=key_length,
        value_length=value_length,
        key_length_swa=keys.number("attention.key_length_swa") if "attention.key_length_swa" in keys else None,
        value_length_swa=keys.number("attention.value_length_swa") if "attention.value_length_swa" in keys else None,
        mla=bool(keys.number("attention.key_length_mla", 0) and keys.number("attention.value_length_mla", 0)),
        sliding_window=window,
        swa_layers=swa_layers,
        recurrent=recurrent,
        feed_forward=keys.per_layer("feed_forward_length", 0)[:layers],
        experts=_experts(keys),
        embedding_model=origin.embedding_model or architecture in arch.EMBEDDING,
        quantization=origin.quantization or dominant_type(tensors),
        parameters=sum(prod(t.shape) for t in tensors),
        tensors=tensors,
        weights_bytes=sum(t.bytes for t in tensors),
        fingerprint=fingerprint(keys, architecture, tensors),
        chat_template=origin.chat_template,
        notes=tuple(notes),
    )


def _experts(keys: Keys) -> Experts | None:
    count = keys.number("expert_count", 0)
    if count < 2:
        return None
    width = keys.largest("expert_feed_forward_length", 0) or keys.largest("feed_forward_length", 0)
    shared = keys.number("expert_shared_count", 1 if keys.number("expert_shared_feed_forward_length", 0) else 0)
    return Experts(count=count, used=keys.largest("expert_used_count", 0), feed_forward=width, shared=shared)


def dominant_type(tensors: tuple[Tensor, ...]) -> str:
    """The type that most of the weights have, as a label; empty when there are none."""
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[tensor.type] += tensor.bytes
    return max(sizes, key=lambda kind: sizes[kind]).upper() if sizes else ""


def fingerprint(keys: Keys, architecture: str, tensors: tuple[Tensor, ...]) -> str:
    """Hex digest of what the model is, whatever its files are called and however they are split."""
    digest = hashlib.sha256()
    digest.update(repr((architecture, keys.blocks, keys.number("context_length", 0), keys.number("embedding_length"))).encode())
    for tensor in sorted(tensors, key=lambda t: t.name):
        digest.update(repr((tensor.name, tensor.shape, tensor.type)).encode())
    return digest.hexdigest()

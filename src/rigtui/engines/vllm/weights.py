"""Where vLLM puts each tensor of a checkpoint, and what tensor parallelism divides. Pure.

Source: vLLM 0.33, model_executor/models/llama.py:378-510 (embedding on the first stage, again on the last when it is tied; norm and head on
the last); towers are built on every stage: qwen3_5.py:513, qwen2_5_vl.py:1434, gemma3_mm.py:552, llava.py:552 (0.32; likewise in 0.19).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from msgspec import Struct

from rigtui.models.memo import per_model
from rigtui.models.model import Model, Tensor

_IMAGES = ("visual.", "vision_", "multi_modal_projector.", "mm_projector.", "audio_tower.", "vision_embed_tokens.", "embed_vision.")
_MTP = ("mtp.", "model.mtp.", "mtp_")
_EMBEDDINGS = ("embed_tokens.", "wte.", "word_embeddings.", "embed_in.", "tok_embeddings.")
_HEADS = ("lm_head.", "embed_out.", "output.weight")
_WHOLE = (".mlp.gate.", ".block_sparse_moe.gate.", "router.", "q_a_proj", "kv_a_proj", "kv_a_layernorm", "q_a_layernorm")
"""Every rank holds these in full: routers and the compressing half of latent attention."""
_KV_PROJECTIONS = (".k_proj.", ".v_proj.")
VOCABULARY_PADDING = 64
"""Rows of embedding and head are padded to a multiple (DEFAULT_VOCAB_PADDING_SIZE)."""


class Share(Struct, frozen=True):
    """Bytes of a part of the model: what tensor parallelism divides, what every rank holds, and projections to K and V."""

    divided: int = 0
    whole: int = 0
    kv_projections: int = 0
    """Divided by at most the number of KV heads."""
    experts: int = 0
    """Of `divided`: experts, of which a token reads a few."""

    def __sub__(self, other: Share) -> Share:
        return Share(
            self.divided - other.divided,
            self.whole - other.whole,
            self.kv_projections - other.kv_projections,
            self.experts - other.experts,
        )

    def __add__(self, other: Share) -> Share:
        return Share(
            self.divided + other.divided,
            self.whole + other.whole,
            self.kv_projections + other.kv_projections,
            self.experts + other.experts,
        )

    def on_a_rank(self, tensor_parallel: int, kv_heads: int) -> int:
        """Bytes on each of `tensor_parallel` ranks."""
        heads = min(tensor_parallel, kv_heads) if kv_heads else tensor_parallel
        return -(-self.divided // tensor_parallel) + self.whole + -(-self.kv_projections // heads)


class Weights(Struct, frozen=True, kw_only=True):
    """A checkpoint's bytes by the place they are loaded to."""

    upto: tuple[Share, ...]
    """All layers before the first, the second … and all of them."""
    embedding: Share
    """First stage; also the last one when the head is tied to it."""
    head: Share
    """Last stage: the head's own, with the final norm."""
    tied: bool
    images: Share
    """Towers for images and sound: every stage has them, though only the first ever uses them."""
    kv_heads: int
    """Largest number in a layer: what the projections to K and V divide by."""

    def stage(self, first: int, count: int, tensor_parallel: int = 1) -> int:
        """Bytes on each rank of the stage with layers `first` … `first + count - 1`."""
        upto, last = self.upto, first + count == len(self.upto) - 1
        after, before = upto[first + count], upto[first]
        more = [self.images]
        if first == 0 or (last and self.tied):
            more.append(self.embedding)
        if last:
            more.append(self.head)
        divided, whole = after.divided - before.divided, after.whole - before.whole
        kv_projections = after.kv_projections - before.kv_projections
        for part in more:
            divided, whole, kv_projections = divided + part.divided, whole + part.whole, kv_projections + part.kv_projections
        return Share(divided, whole, kv_projections).on_a_rank(tensor_parallel, self.kv_heads)

    def layers(self, first: int, count: int) -> Share:
        """Of these layers alone."""
        return self.upto[first + count] - self.upto[first]


@per_model
def weights(model: Model) -> Weights:
    """Every tensor of the checkpoint in its place; multi-token-prediction layers are not loaded."""
    layers = [Share() for _ in range(model.layers)]
    embedding, head, images = Share(), Share(), Share()
    for tensor in model.tensors:
        name = tensor.name
        if _has(name, _IMAGES):
            images += Share(divided=_loaded(model, tensor))
        elif name.startswith(_MTP):
            continue
        elif tensor.layer is not None:
            if tensor.layer < model.layers:
                layers[tensor.layer] += _in_layer(model, tensor)
        elif _has(name, _EMBEDDINGS):
            embedding += Share(divided=_padded(model, tensor))
        elif _has(name, _HEADS):
            head += Share() if model.tied else Share(divided=_padded(model, tensor))
        else:
            head += Share(whole=_loaded(model, tensor))
    return Weights(
        upto=tuple(accumulate(layers, initial=Share())),
        embedding=embedding,
        head=head,
        tied=model.tied,
        images=images,
        kv_heads=0 if model.mla else max(model.kv_heads, default=0),
    )


def _has(name: str, parts: Iterable[str]) -> bool:
    return any(name.startswith(part) or f".{part}" in name for part in parts)


def _in_layer(model: Model, tensor: Tensor) -> Share:
    size = _loaded(model, tensor)
    if len(tensor.shape) < 2 or any(part in tensor.name for part in _WHOLE):
        return Share(whole=size)
    if not model.mla and any(part in tensor.name for part in _KV_PROJECTIONS):
        return Share(kv_projections=size)
    return Share(divided=size, experts=size if ".experts." in tensor.name else 0)


def _loaded(model: Model, tensor: Tensor) -> int:
    """Bytes once loaded: a matrix stored in f32 becomes the model's own, smaller type."""
    narrow = model.transformers is not None and model.transformers.dtype != "f32"
    return tensor.bytes // 2 if narrow and tensor.type == "f32" and len(tensor.shape) > 1 else tensor.bytes


def _padded(model: Model, tensor: Tensor) -> int:
    rows = tensor.shape[-1] if tensor.shape else 0
    size = _loaded(model, tensor)
    return size if not rows else size + size // rows * (-rows % VOCABULARY_PADDING)

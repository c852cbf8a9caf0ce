"""Where each tensor's bytes go: per layer, padded as ggml-cuda pads them, and split into the parts `--fit` can move.

Source of the rules: llama.cpp 0.5.0-dev, src/llama-model.cpp (load_tensors), ggml-cuda.cu
(ggml_backend_cuda_buffer_type_get_alloc_size), common/fit.cpp (overflow patterns).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum
from itertools import accumulate

from msgspec import Struct

from rigtui.models.memo import per_model
from rigtui.models.model import Model, Tensor

GPU_ALIGNMENT = 128
GPU_ROW_PADDING = 512
HOST_ALIGNMENT = 32

HEADLESS = frozenset({"bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "neo-bert", "modern-bert", "eurobert"})
"""Encoders: the last block's vectors are the result."""
OUTPUT_NORM_IS_EMBEDDINGS = frozenset({"lfm2", "lfm2moe"})
"""Their last norm is called that of the embeddings, which otherwise lies with the first block."""
_EMBEDDING_NORM = "token_embd_norm."
UNQUANTIZED = frozenset({"f32", "f16", "bf16", "f64", "i8", "i16", "i32", "i64"})


class Part(IntEnum):
    """Which part of a layer lies elsewhere; the values are llama.cpp's own (`overflow_type` in its log)."""

    NOTHING = 0
    ATTENTION = 1
    """Only attention stays; all of the feed-forward part is elsewhere."""
    UP = 2
    """Attention and up stay."""
    GATE = 3
    """Attention, up and gate stay."""
    EXPERTS = 4
    """Everything but the sparse expert weights stays."""


_MOVED = {
    Part.ATTENTION: re.compile(r"ffn_(gate|up|gate_up|down).*"),
    Part.UP: re.compile(r"ffn_(gate|gate_up|down).*"),
    Part.GATE: re.compile(r"ffn_down.*"),
    Part.EXPERTS: re.compile(r"ffn_(up|down|gate_up|gate)_(ch|)exps"),
}


class Sizes(Struct, frozen=True):
    """Bytes of a group of tensors on a GPU and in RAM."""

    gpu: int = 0
    host: int = 0


class LayerWeights(Struct, frozen=True):
    """One block."""

    whole: Sizes
    moved: dict[int, Sizes]
    """By `Part`: what lies elsewhere then."""


class Override(Struct, frozen=True):
    """One `-ot` of the user's: tensors whose name the pattern is found in lie there, whatever device their layer has."""

    pattern: str
    device: int
    """Device index, or -1 for RAM."""


class Pinned(Struct, frozen=True):
    """Tensors of one layer that overrides put somewhere."""

    layer: int
    device: int
    sizes: Sizes
    experts: Sizes
    """Those of them that are experts, of which a token reads a few."""


class WeightTable(Struct, frozen=True):
    """A model's tensors, grouped as llama.cpp places them."""

    layers: tuple[LayerWeights, ...]
    """Blocks that are loaded."""
    unloaded: int
    """MTP blocks after them: they count in the split, but carry no bytes."""
    output: Sizes
    """Output norm and head (the embedding again where they are tied)."""
    input: Sizes
    """Token embedding and its kin, always in RAM."""
    upto: tuple[int, ...]
    """Bytes on a GPU of all blocks before the first, the second … and of all that are loaded."""
    per_device: int
    """Small tensors that every GPU with layers gets a copy of (rope factors), bytes."""
    pinned: tuple[Pinned, ...] = ()
    """What overrides took out of the layers."""
    overrides: tuple[Override, ...] = ()
    """The user's, whether or not they match anything."""

    @property
    def gpu_bytes(self) -> int:
        """All that can lie on GPUs."""
        return self.upto[-1] + self.output.gpu

    @property
    def blocks(self) -> int:
        """Blocks that count in the split (`n_layer_all`)."""
        return len(self.layers) + self.unloaded


def is_moved(part: Part, name: str) -> bool:
    """Whether a tensor, by its name in the block, lies elsewhere when only `part` of the block stays."""
    return part != Part.NOTHING and _MOVED[part].match(name) is not None


def gpu_bytes(tensor: Tensor) -> int:
    """What a tensor takes in a CUDA buffer.

    Rows of a quantised tensor are padded to 512 elements once per tensor (ggml-cuda.cu:903), the tensor to 128 bytes.
    """
    size = tensor.bytes
    if tensor.type not in UNQUANTIZED and tensor.shape and (rest := tensor.shape[0] % GPU_ROW_PADDING):
        elements = 1
        for dimension in tensor.shape:
            elements *= dimension
        size += tensor.bytes * (GPU_ROW_PADDING - rest) // elements
    return _aligned(size, GPU_ALIGNMENT)


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _sizes(tensors: list[Tensor]) -> Sizes:
    return Sizes(
        gpu=sum(gpu_bytes(t) for t in tensors),
        host=sum(_aligned(t.bytes, HOST_ALIGNMENT) for t in tensors),
    )


def weight_table(model: Model, overrides: tuple[Override, ...] = ()) -> WeightTable:
    """Group the tensors of a GGUF model as llama.cpp's loader does; the first override that matches a name wins.

    Raises re.error for a pattern that is not a regular expression.
    """
    patterns = [(re.compile(override.pattern), override.device) for override in overrides]
    blocks: dict[int, list[Tensor]] = {}
    pinned: dict[tuple[int, int], list[Tensor]] = {}
    output: list[Tensor] = []
    inputs: list[Tensor] = []
    shared: list[Tensor] = []
    for tensor in model.tensors:
        layer = tensor.layer
        if layer is not None:
            device = next((device for pattern, device in patterns if pattern.search(tensor.name)), None)
            if device is None:
                blocks.setdefault(layer, []).append(tensor)
            elif layer < model.layers:
                pinned.setdefault((layer, device), []).append(tensor)
        elif tensor.name.startswith("output") or (
            tensor.name.startswith(_EMBEDDING_NORM) and model.architecture in OUTPUT_NORM_IS_EMBEDDINGS
        ):
            output.append(tensor)
        elif tensor.name.startswith(_EMBEDDING_NORM):
            blocks.setdefault(0, []).append(tensor)
        elif tensor.name.startswith("rope_"):
            shared.append(tensor)
        else:
            inputs.append(tensor)
    if model.architecture not in HEADLESS and not any(t.name == "output.weight" for t in output):
        output += [t for t in inputs if t.name == "token_embd.weight"]
    layers = tuple(_layers([blocks.get(index, []) for index in range(model.layers)]))
    return WeightTable(
        layers=layers,
        upto=tuple(accumulate((layer.whole.gpu for layer in layers), initial=0)),
        unloaded=model.mtp_layers,
        output=_sizes(output),
        input=_sizes(inputs),
        per_device=sum(gpu_bytes(t) for t in shared),
        pinned=tuple(Pinned(layer, device, _sizes(moved), _moved(moved, Part.EXPERTS)) for (layer, device), moved in pinned.items()),
        overrides=overrides,
    )


@per_model
def plain_table(model: Model) -> WeightTable:
    """The table without overrides."""
    return weight_table(model)


def _layers(blocks: list[list[Tensor]]) -> Iterator[LayerWeights]:
    """Every block; those of the same tensors are added up once."""
    known: dict[tuple[object, ...], LayerWeights] = {}
    for tensors in blocks:
        kind = tuple([(_in_block(t), t.type, t.shape, t.bytes) for t in tensors])
        if kind not in known:
            known[kind] = LayerWeights(whole=_sizes(tensors), moved={int(part): _moved(tensors, part) for part in _MOVED})
        yield known[kind]


def _moved(tensors: list[Tensor], part: Part) -> Sizes:
    return _sizes([t for t in tensors if is_moved(part, _in_block(t))])


def _in_block(tensor: Tensor) -> str:
    """Its name within the block: a pattern of `--fit` names the block, then this."""
    return tensor.name.split(".", 2)[-1]

"""What a model file says it needs. Sizes are bytes; everything here comes from headers, no weights are read."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Literal

from msgspec import Struct


class Tensor(Struct, frozen=True):
    """One tensor of the file."""

    name: str
    shape: tuple[int, ...]
    """GGUF order: the contiguous dimension first (also for safetensors, which stores it last)."""
    type: str
    """ggml type name in lower case (`q4_k`, `f16`, `mxfp4`) or the safetensors dtype in lower case (`bf16`)."""
    bytes: int

    @property
    def layer(self) -> int | None:
        """The block this tensor belongs to (`blk.<n>.` or `model.layers.<n>.`), or None."""
        return _layer(self.name)


@lru_cache(maxsize=1 << 15)  # most models name their tensors alike, and a derivation asks for each several times
def _layer(name: str) -> int | None:
    for before, number in pairwise(name.split(".")):
        if before in ("blk", "layers", "h", "block") and number.isdigit():
            return int(number)
    return None


class Recurrent(Struct, frozen=True, kw_only=True):
    """The state of recurrent layers (Mamba, gated delta-net, RWKV …): per layer and slot, whatever the context.

    Elements per layer and slot, 4 bytes each: (conv_kernel - 1) * (inner_size + 2 * group_count * state_size) + inner_size * state_size
    (llama.cpp 0.5.0-dev, src/llama-hparams.cpp, n_embd_r and n_embd_s). Kinds of state that llama.cpp computes in another way
    (RWKV, LFM2's short convolution, Kimi's delta attention) have the sizes that make this formula give the same number.
    """

    layers: tuple[bool, ...]
    """Per layer: True where it keeps a recurrent state, mostly instead of a KV cache (`Model.kv_heads` says whether it has one too)."""
    conv_kernel: int = 0
    inner_size: int = 0
    state_size: int = 0
    group_count: int = 0
    time_step_rank: int = 0
    known: bool = True
    """False for a kind of state whose size rigtui cannot compute from the header."""


class Experts(Struct, frozen=True, kw_only=True):
    """Mixture of experts."""

    count: int
    used: int
    feed_forward: int
    """Width of one expert."""
    shared: int = 0


class Transformers(Struct, frozen=True, kw_only=True):
    """What only a transformers checkpoint says: how its weights are to be read."""

    dtype: Literal["bf16", "f16", "f32"] = "bf16"
    """Of the activations, and of weights that are not packed, once they are loaded."""
    quant_method: str = ""
    """`awq`, `gptq`, `fp8`, `compressed-tensors`, `mxfp4` …; empty: the weights are as trained."""
    quant_group: int = 0
    """Input elements that share a scale; 0: a whole row, or not said."""
    tied: bool = False
    """The configuration says that the output head is the token embedding again."""
    state_dtype: Literal["", "bf16", "f16", "f32"] = ""
    """Of a recurrent layer's state matrix; empty: as `dtype`."""


class Model(Struct, frozen=True, kw_only=True):
    """A model, as its header describes it."""

    name: str
    path: str
    """The file (first shard) or the folder."""
    files: tuple[str, ...]
    """Every shard, in order."""
    format: Literal["gguf", "safetensors"]
    architecture: str
    layers: int
    """Blocks that are loaded, without MTP blocks."""
    mtp_layers: int = 0
    """Multi-token-prediction blocks at the end; they count in llama.cpp's `block_count` but are not loaded."""
    context_trained: int
    embedding_length: int
    vocabulary: int
    heads: tuple[int, ...]
    """Attention heads per layer."""
    kv_heads: tuple[int, ...]
    """KV heads per layer; 0 where the layer has no KV cache."""
    key_length: int
    """Per head. For MLA: the compressed row (kv_lora_rank + rope)."""
    value_length: int
    key_length_swa: int | None = None
    value_length_swa: int | None = None
    mla: bool = False
    """Multi-head latent attention with one compressed K row and no V cache."""
    sliding_window: int = 0
    """Tokens a sliding-window layer looks back; 0 where there is none."""
    swa_layers: tuple[bool, ...] = ()
    """Per layer: True where the sliding window applies; empty where there is none."""
    rotates: bool = True
    """False where the header says that positions are not rotated into queries and keys, though the architecture can."""
    recurrent: Recurrent | None = None
    feed_forward: tuple[int, ...] = ()
    """Dense feed-forward width per layer (0 where the header does not say)."""
    experts: Experts | None = None
    embedding_model: bool = False
    """Gives vectors, not text."""
    quantization: str = ""
    """As the file calls it: `Q4_K_M`, `MXFP4`, `BF16`."""
    parameters: int = 0
    tensors: tuple[Tensor, ...] = ()
    weights_bytes: int = 0
    """Sum over the tensors (the file is a little larger)."""
    fingerprint: str = ""
    """Hex digest over architecture, sizes and tensor list: the same model and quantization, whatever the file is called."""
    chat_template: bool = False
    transformers: Transformers | None = None
    """None for a format that is not transformers'."""
    notes: tuple[str, ...] = ()
    """What rigtui could not read for certain, one sentence each."""

    @property
    def tied(self) -> bool:
        """The output head is the token embedding again."""
        if self.transformers is not None and self.transformers.tied:
            return True
        return not any(t.name in ("output.weight", "lm_head.weight") for t in self.tensors)

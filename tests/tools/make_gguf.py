"""Makes GGUF files for tests with the `gguf` package: a tiny one that runs, and real shapes as a header followed by a hole.

from tools.make_gguf import model_file, model, tiny_llama
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter

from rigtui.models.gguf import read_gguf
from rigtui.models.model import Model
from tools.specs import Spec, spec

_ALIGNMENT = 32


def tensor_bytes(shape: list[int], kind: GGMLQuantizationType) -> int:
    """Bytes of a tensor by the gguf package's table, `shape` in GGUF order."""
    block, size = GGML_QUANT_SIZES[kind]
    total = shape[0] // block * size
    for dimension in shape[1:]:
        total *= dimension
    return total


def tokens(count: int, words: Sequence[str] = ()) -> list[str]:
    """A byte-level vocabulary of `count` tokens that llama.cpp accepts, `words` among them; the last two are begin and end."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    known = [*alphabet, "\u0120t", "he", *words]
    every = (known + [f"<t{i}>" for i in range(len(known), count)])[:count]
    every[-2:] = ["<|bos|>", "<|eos|>"]
    return every


def add_vocabulary(writer: GGUFWriter, count: int, pre: str = "gpt-2", merges: int = 2, words: Sequence[str] = ()) -> None:
    """The tokenizer's part of the metadata."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens(count, words))
    writer.add_token_types([1] * (count - 2) + [3, 3])
    writer.add_token_merges((["\u0120 t", "h e"] + [f"<t {i}>" for i in range(merges - 2)])[:merges])
    writer.add_bos_token_id(count - 2)
    writer.add_eos_token_id(count - 1)
    writer.add_add_bos_token(False)


def add_metadata(writer: GGUFWriter, architecture: str, metadata: dict[str, Any]) -> None:
    """Keys without a dotted owner belong to the architecture."""
    for key, value in metadata.items():
        name = key if key.startswith(("tokenizer.", "general.")) else f"{architecture}.{key}"
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string, list: writer.add_array}
        add[type(value)](name, value)


def _write(path: Path, content: Spec, tensors: list[Any], part: tuple[int, int], merges: int) -> None:
    writer = GGUFWriter(path, content["architecture"])
    number, count = part
    if count > 1:
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", count)
        writer.add_int32("split.tensors.count", len(content["tensors"]))
    if number == 0:
        writer.add_name(content["name"])
        writer.add_file_type(content["file_type"])
        writer.add_quantization_version(2)
        add_metadata(writer, content["architecture"], content["metadata"])
        if content["vocabulary"]:
            add_vocabulary(writer, content["vocabulary"], content["pre"], merges, content.get("words", ()))
    total = 0
    for name, shape, kind in tensors:
        raw = GGMLQuantizationType[kind]
        size = tensor_bytes(shape, raw)
        writer.add_tensor_info(name, shape[::-1], np.dtype(np.float32), size, raw_dtype=raw)
        total += -(-size // _ALIGNMENT) * _ALIGNMENT
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    assert writer.fout is not None
    stream = writer.fout[0]
    stream.flush()
    stream.truncate(-(-stream.tell() // _ALIGNMENT) * _ALIGNMENT + total)
    writer.close()


def sparse(path: Path, content: Spec, *, shards: int = 1, merges: int = 2) -> Path:
    """Write `content` as sparse GGUF file(s) of the real apparent size; returns the first one.

    With `shards`, `path` is `<stem>.gguf` and the files are `<stem>-00001-of-0000N.gguf` beside it.
    """
    every = content["tensors"]
    if shards == 1:
        _write(path, content, every, (0, 1), merges)
        return path
    step = -(-len(every) // shards)
    parts = [path.with_name(f"{path.stem}-{n + 1:05d}-of-{shards:05d}.gguf") for n in range(shards)]
    for n, part in enumerate(parts):
        _write(part, content, every[n * step : (n + 1) * step], (n, shards), merges)
    return parts[0]


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="rigtui-models-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def _made(name: str) -> Path:
    return sparse(_folder() / f"{name}.gguf", spec(name))


def model_file(name: str, tmp_path: Path) -> Path:
    """A sparse GGUF file with the shapes of the real model `name` (see tools.specs.NAMES), in `tmp_path`; made once per process."""
    path = tmp_path / f"{name}.gguf"
    if not path.exists():
        try:
            os.link(_made(name), path)
        except OSError:  # another file system
            path.symlink_to(_made(name))
    return path


@functools.cache
def model(name: str) -> Model:
    """The Model of that file, read once per process."""
    return read_gguf(_made(name))


def tiny_llama(
    path: Path,
    *,
    layers: int = 4,
    embedding: int = 64,
    heads: int = 2,
    kv_heads: int = 1,
    feed_forward: int = 128,
    vocabulary: int = 320,
    context: int = 32768,
    name: str = "tiny",
) -> Path:
    """A Llama with random weights (about 0.4 MB) that llama.cpp loads and generates with."""
    writer = GGUFWriter(path, "llama")
    size = embedding // heads
    writer.add_name(name)
    writer.add_file_type(1)
    writer.add_quantization_version(2)
    metadata = {
        "block_count": layers,
        "context_length": context,
        "embedding_length": embedding,
        "feed_forward_length": feed_forward,
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "attention.key_length": size,
        "attention.value_length": size,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 10000.0,
        "rope.dimension_count": size,
        "vocab_size": vocabulary,
    }
    add_metadata(writer, "llama", metadata)
    add_vocabulary(writer, vocabulary)
    _add_llama_tensors(writer, metadata, size * kv_heads)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_llama_tensors(writer: GGUFWriter, metadata: dict[str, Any], kv: int) -> None:
    """Random matrices, always the same, for a Llama of this metadata whose keys and values have `kv` elements a token."""
    embedding, feed_forward = metadata["embedding_length"], metadata["feed_forward_length"]
    random = np.random.default_rng(0)

    def matrix(tensor: str, *shape: int) -> None:
        writer.add_tensor(tensor, (random.standard_normal(shape) * 0.05).astype(np.float16))

    def norm(tensor: str) -> None:
        writer.add_tensor(tensor, np.ones(embedding, np.float32))

    matrix("token_embd.weight", metadata["vocab_size"], embedding)
    norm("output_norm.weight")
    matrix("output.weight", metadata["vocab_size"], embedding)
    for i in range(metadata["block_count"]):
        b = f"blk.{i}."
        norm(f"{b}attn_norm.weight")
        norm(f"{b}ffn_norm.weight")
        matrix(f"{b}attn_q.weight", embedding, embedding)
        matrix(f"{b}attn_k.weight", kv, embedding)
        matrix(f"{b}attn_v.weight", kv, embedding)
        matrix(f"{b}attn_output.weight", embedding, embedding)
        matrix(f"{b}ffn_gate.weight", feed_forward, embedding)
        matrix(f"{b}ffn_up.weight", feed_forward, embedding)
        matrix(f"{b}ffn_down.weight", embedding, feed_forward)

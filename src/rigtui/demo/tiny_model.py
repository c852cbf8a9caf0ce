"""A tiny Llama with random weights: what it says means nothing, but every engine that reads GGUF loads it and generates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rigtui.errors import MissingError, RigtuiError

NAME = "rigtui-demo"
LAYERS = 8
EMBEDDING = 256
HEADS = 4
KV_HEADS = 2
FEED_FORWARD = 768
VOCABULARY = 512
CONTEXT = 8192


def make(path: Path) -> None:
    """Write the model to `path` (about 14 MB), unless it is there already.

    Raises MissingError when the `gguf` package is not installed, RigtuiError when the file cannot be written.
    """
    if path.exists():
        return
    try:
        import gguf
    except ImportError as error:
        raise MissingError("the demo makes its model with the gguf package: pip install 'rigtui[engine]'") from error
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = gguf.GGUFWriter(temporary, "llama")
        _metadata(writer)
        _vocabulary(writer)
        _weights(writer)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        temporary.replace(path)
    except OSError as error:
        raise RigtuiError(f"cannot write the demo's model to {path}: {error.strerror or error}") from error


def _metadata(writer: Any) -> None:
    writer.add_name(NAME)
    writer.add_file_type(1)
    writer.add_quantization_version(2)
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBEDDING)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(EMBEDDING // HEADS)
    writer.add_value_length(EMBEDDING // HEADS)
    writer.add_rope_dimension_count(EMBEDDING // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(VOCABULARY)


def _vocabulary(writer: Any) -> None:
    """Byte-level tokens, then pairs of letters, so that any text can be read and what comes out are characters."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = [chr(byte) for byte in printable] + [chr(256 + rest) for rest in range(256 - len(printable))]
    letters = "etaoinshrdlucmfwypvbgk"
    pairs = [first + second for first in letters for second in letters][: VOCABULARY - len(alphabet) - 2]
    tokens = [*alphabet, *pairs, "<|begin|>", "<|end|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (VOCABULARY - 2) + [3, 3])
    writer.add_token_merges([f"{pair[0]} {pair[1]}" for pair in pairs])
    writer.add_bos_token_id(VOCABULARY - 2)
    writer.add_eos_token_id(VOCABULARY - 1)
    writer.add_add_bos_token(False)


def _weights(writer: Any) -> None:
    import numpy as np

    random = np.random.default_rng(4090)

    def matrix(name: str, rows: int, columns: int) -> None:
        writer.add_tensor(name, (random.standard_normal((rows, columns)) * 0.05).astype(np.float16))

    def norm(name: str) -> None:
        writer.add_tensor(name, np.ones(EMBEDDING, np.float32))

    key = EMBEDDING // HEADS * KV_HEADS
    matrix("token_embd.weight", VOCABULARY, EMBEDDING)
    norm("output_norm.weight")
    matrix("output.weight", VOCABULARY, EMBEDDING)
    for block in range(LAYERS):
        before = f"blk.{block}."
        norm(f"{before}attn_norm.weight")
        norm(f"{before}ffn_norm.weight")
        for name, rows, columns in (
            ("attn_q", EMBEDDING, EMBEDDING),
            ("attn_k", key, EMBEDDING),
            ("attn_v", key, EMBEDDING),
            ("attn_output", EMBEDDING, EMBEDDING),
            ("ffn_gate", FEED_FORWARD, EMBEDDING),
            ("ffn_up", FEED_FORWARD, EMBEDDING),
            ("ffn_down", EMBEDDING, FEED_FORWARD),
        ):
            matrix(f"{before}{name}.weight", rows, columns)

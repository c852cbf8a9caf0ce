"""A tiny Llama as a folder of safetensors, with random weights and a tokenizer of single bytes: vLLM loads it and generates nonsense.

Four layers, four heads, two KV heads of 64: 512 bytes of KV cache per token and layer in bfloat16.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

LAYERS = 4
HEADS = 4
KV_HEADS = 2
HEAD = 64
HIDDEN = HEADS * HEAD
FEED_FORWARD = 512
CONTEXT = 2048
SPECIAL = ("<s>", "</s>", "<pad>")
TEMPLATE = "{% for m in messages %}<s>{{ m['content'] }}</s>{% endfor %}{% if add_generation_prompt %}<s>{% endif %}"


def write(folder: Path, *, context: int = CONTEXT) -> Path:
    """Write the model into `folder` (about 5 MB)."""
    folder.mkdir(parents=True, exist_ok=True)
    characters = _byte_characters()
    vocabulary = {text: index for index, text in enumerate((*SPECIAL, *characters))}
    _json(folder / "config.json", _config(len(vocabulary), context))
    _json(folder / "generation_config.json", {"bos_token_id": 0, "eos_token_id": 1})
    _json(folder / "tokenizer.json", _tokenizer(vocabulary))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    _json(folder / "tokenizer_config.json", {**settings, "chat_template": TEMPLATE, "model_max_length": context})
    save_file(_weights(len(vocabulary)), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))


def _config(vocabulary: int, context: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD,
        "max_position_embeddings": context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "torch_dtype": "bfloat16",
    }


def _tokenizer(vocabulary: dict[str, int]) -> dict[str, Any]:
    """A byte-level BPE without merges (Hugging Face tokenizers, version 1.0 of the file)."""
    whole = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocabulary[text], "content": text, **whole} for text in SPECIAL],
        "normalizer": None,
        "pre_tokenizer": bytes_,
        "post_processor": None,
        "decoder": bytes_,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "vocab": vocabulary, "merges": [], "byte_fallback": False},
    }


def _byte_characters() -> list[str]:
    """The printable stand-ins of the 256 bytes, as byte-level tokenizers have them since GPT-2."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    stand_in = {byte: byte for byte in plain} | {byte: 256 + place for place, byte in enumerate(others)}
    return [chr(stand_in[byte]) for byte in range(256)]


def _weights(vocabulary: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (random.standard_normal((rows, columns)) * 0.05).astype(np.float16)

    found = {"model.embed_tokens.weight": matrix(vocabulary, HIDDEN), "lm_head.weight": matrix(vocabulary, HIDDEN)}
    found["model.norm.weight"] = np.ones(HIDDEN, np.float16)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        found |= {f"{at}.{name}.weight": np.ones(HIDDEN, np.float16) for name in ("input_layernorm", "post_attention_layernorm")}
        found |= {
            f"{at}.self_attn.{name}_proj.weight": matrix(rows, HIDDEN)
            for name, rows in (("q", HIDDEN), ("k", 128), ("v", 128), ("o", HIDDEN))
        }
        found |= {f"{at}.mlp.{name}_proj.weight": matrix(FEED_FORWARD, HIDDEN) for name in ("gate", "up")}
        found[f"{at}.mlp.down_proj.weight"] = matrix(HIDDEN, FEED_FORWARD)
    return found

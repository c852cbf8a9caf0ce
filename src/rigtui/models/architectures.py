"""What llama.cpp does with an architecture beyond what its header says: sliding windows, recurrent layers, caches that are not there.

Source: llama.cpp 0.5.0-dev (0c1e570): `load_arch_hparams` in src/models/*.cpp, `create_memory` in src/llama-model.cpp,
src/llama-hparams.cpp, src/llama-arch.cpp. Architectures that are not named here use plain attention in every layer.
"""

from __future__ import annotations

from msgspec import Struct


class SlidingWindow(Struct, frozen=True):
    """Which layers look back only so far when the header has no per-layer list."""

    period: int | None
    """Every period-th layer sees everything; 0: none does; None: the header must list the layers."""
    dense_first: bool = False
    """The first layer of each period sees everything, not the last."""
    default: int = 0
    """Window where the header has none; 0: no window then."""
    forced: int = 0
    """Window llama.cpp uses whatever the header says (a 0 there still switches it off)."""
    layers: int | None = None
    """Only models with this many layers have it."""


SLIDING_WINDOWS: dict[str, SlidingWindow] = {
    "afmoe": SlidingWindow(4),
    "cohere2": SlidingWindow(4),
    "cohere2moe": SlidingWindow(4, dense_first=True),
    "deepseek4": SlidingWindow(0),
    "dots3note": SlidingWindow(None),
    "exaone-moe": SlidingWindow(4, default=128),
    "exaone4": SlidingWindow(4, default=4096, layers=64),
    "gemma-embedding": SlidingWindow(6),
    "gemma2": SlidingWindow(2, default=4096),
    "gemma3": SlidingWindow(6),
    "gemma3n": SlidingWindow(5),
    "gemma4": SlidingWindow(None),
    "gpt-oss": SlidingWindow(2),
    "granite_swa": SlidingWindow(None),
    "laguna": SlidingWindow(4, dense_first=True),
    "lfm2": SlidingWindow(0),
    "llama4": SlidingWindow(4, default=8192, forced=8192),
    "maple": SlidingWindow(None),
    "mellum": SlidingWindow(4),
    "mimo2": SlidingWindow(None),
    "modern-bert": SlidingWindow(3, dense_first=True),
    "muse-glimmer": SlidingWindow(4),
    "olmo2": SlidingWindow(4),
    "plamo3": SlidingWindow(8),
    "smallthinker": SlidingWindow(4, dense_first=True, forced=4096),
    "spark2_5": SlidingWindow(None),
    "step35": SlidingWindow(None),
}

# llm_arch_is_recurrent: every layer keeps a state and none a KV cache.
RECURRENT = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
RWKV = frozenset({"rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
# Hybrids whose recurrent layers are those with `head_count_kv` 0.
RECURRENT_WITHOUT_KV_HEADS = frozenset(
    {
        "jamba",
        "granitehybrid",
        "plamo2",
        "lfm2",
        "lfm2moe",
        "nemotron_h",
        "nemotron_h_moe",
        "kimi-linear",
        "kimi-k3",
        "bailingmoe3",
        "glm5-next",
    }
)
# Of these, layers with a feed-forward width are neither attention nor recurrent.
FEED_FORWARD_LAYERS = frozenset({"nemotron_h", "nemotron_h_moe"})
# Hybrids whose every so-many-th layer is full attention (`full_attention_interval`, or a list `attention.recurrent_layers`).
FULL_ATTENTION_INTERVAL = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "qwen4exp": 4, "minimax-01": 8}
# Every layer has both.
RECURRENT_AND_ATTENTION = frozenset({"falcon-h1"})
# llm_arch_is_hybrid, but with states of its own that the common formula does not give.
UNKNOWN_STATE = frozenset({"qwen4exp", "deepseek4"})
KIMI_DELTA = frozenset({"kimi-linear", "kimi-k3", "bailingmoe3", "glm5-next"})

# Their `rope.scaling.finetuned` says whether positions are rotated in at all.
ROTATES_IF_FINETUNED = frozenset({"granite", "granitemoe", "granitehybrid", "graniteswitch"})

# Encoders: llama.cpp creates no KV cache at all for these.
ENCODERS = frozenset(
    {
        "bert",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "t5encoder",
    }
)
# Diffusion language models: text, not vectors, yet not causal and without a KV cache.
DIFFUSION = frozenset({"dream", "llada", "llada-moe", "rnd1"})
# Encoders that make vectors though nothing else says so.
EMBEDDING = ENCODERS | {"llama-embed"}

# Layers from this one on reuse the KV cache of an earlier layer (gemma4: the last `attention.shared_kv_layers`).
KV_FROM_START = {"gemma3n": 20}

# Extra caches beside K and V whose size rigtui does not compute.
EXTRA_CACHE = frozenset({"deepseek32", "deepseek4", "glm-dsa", "glm5-next", "hy_v4", "dots3note", "minimax-m3", "qwen4exp"})

# Parts of other models, or no language models at all: what they are, in words.
NOT_A_MODEL = {
    "clip": "the image and audio part (mmproj) of another model",
    "gemma4-assistant": "a draft for another model",
    "eagle3": "a draft for another model",
    "dflash": "a draft for another model",
    "wavtokenizer-dec": "the voice of a speech model",
    "pockettts": "a speech model",
    "qwen3tts": "a speech model",
    "controlvector": "a control vector for another model",
}

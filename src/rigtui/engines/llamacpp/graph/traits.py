"""How the graphs of architectures differ where neither the header nor the tensors say it (llama.cpp 0.5.0-dev, src/models/*.cpp)."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.llamacpp.weights import HEADLESS


class Traits(Struct, frozen=True, kw_only=True):
    """What the graph of an architecture is like."""

    layer_norm: bool = False
    """Norms subtract the mean; these never work in place."""
    scaled_input: bool = False
    scaled_query: bool = False
    scaled_residual: bool = False
    parallel: str = ""
    """Feed-forward beside attention: the order in which input (x), attention (y) and feed-forward (z) are summed."""
    residual_first: str = ""
    """Sums that name the residual first, in place of the new part: after attention (a), after the feed-forward part (f)."""
    late_outputs: str = ""
    """The tokens that give an output are picked after the last block: before or after the last `norm`."""
    rotates: bool = True
    rotates_window_only: bool = False
    positions: int = 1
    """Numbers per token that say where it is."""
    capped_scores: bool = False
    softmax_of_chosen: bool = False
    normed_weights: bool = True
    scaled_weights: bool = False
    early_router: bool = False
    """Experts are chosen by what enters the block."""
    weighted_input: bool = False
    """Experts' weights are applied before the experts."""
    unit_heads: bool = False
    """Queries and keys that are rotated are then normed without weights, others' queries scaled by where the token is."""
    attends_beside_state: bool = False
    """Layers have both, side by side."""
    gated_attention: bool = False
    """The query carries a gate of its own width; other layers keep a delta-net state."""
    encoder: bool = False
    """No cache: the micro-batch attends to itself."""
    output_norm: str = "output_norm"


_ROW_NORM = Traits(layer_norm=True)
_GEMMA = Traits(scaled_input=True, scaled_query=True)
_GRANITE = Traits(scaled_input=True, scaled_residual=True)
_DELTA_NET = Traits(gated_attention=True, late_outputs="after norm", positions=4)
_LATE = Traits(late_outputs="after norm")

TRAITS: dict[str, Traits] = {
    **dict.fromkeys(("arcee", "exaone", "internlm2", "llama", "minicpm3", "mistral3", "qwen2", "qwen3", "seed-oss", "smollm3"), Traits()),
    **dict.fromkeys(("deepseek2", "glm4moe", "qwen3moe", "glm4"), Traits()),
    **dict.fromkeys(("ernie4_5", "ernie4_5-moe", "hunyuan-moe", "hunyuan-dense", "dots1", "bailingmoe2"), Traits()),
    **dict.fromkeys(("olmo2", "exaone4"), Traits()),
    **dict.fromkeys(("qwen2moe", "olmoe", "deepseek", "bailingmoe"), Traits(normed_weights=False)),
    **dict.fromkeys(("qwen2vl", "qwen3vl", "qwen3vlmoe"), Traits(positions=4)),
    **dict.fromkeys(("starcoder2", "olmo", "orion", "nemotron", "codeshell", "stablelm"), _ROW_NORM),
    **dict.fromkeys(("gpt2", "starcoder", "bloom", "mpt"), replace(_ROW_NORM, rotates=False)),
    "command-r": replace(_ROW_NORM, parallel="zxy"),
    "cohere2": replace(_ROW_NORM, parallel="zxy", rotates_window_only=True),
    "falcon": replace(_ROW_NORM, parallel="zyx"),
    "gptneox": replace(_ROW_NORM, parallel="zxy"),
    "phi2": replace(_ROW_NORM, parallel="yzx", scaled_query=True),
    "phi3": Traits(scaled_query=True, residual_first="f"),
    "phimoe": Traits(scaled_query=True, residual_first="f"),
    "gemma": _GEMMA,
    "gemma2": replace(_GEMMA, capped_scores=True),
    "gemma3": _GEMMA,
    "granite": _GRANITE,
    "granitemoe": _GRANITE,
    "granitehybrid": _GRANITE,
    "minicpm": _GRANITE,
    "gpt-oss": Traits(late_outputs="before norm", softmax_of_chosen=True, normed_weights=False),
    "qwen3next": replace(_DELTA_NET, positions=1),
    "qwen35": _DELTA_NET,
    "qwen35moe": _DELTA_NET,
    "lfm2": Traits(residual_first="af", output_norm="token_embd_norm"),
    "lfm2moe": Traits(residual_first="af", output_norm="token_embd_norm"),
    "falcon-h1": Traits(attends_beside_state=True),
    "jamba": Traits(residual_first="af", rotates=False, normed_weights=False),
    "llama4": Traits(weighted_input=True, normed_weights=False, rotates_window_only=True, unit_heads=True),
    "mamba": Traits(),
    "mamba2": Traits(),
    "minimax-m2": Traits(),
    "nemotron_h_moe": replace(_LATE, rotates=False),
    "smallthinker": Traits(early_router=True, rotates_window_only=True),
    "nemotron_h": replace(_LATE, rotates=False),
    "bert": Traits(encoder=True, layer_norm=True, rotates=False),
    "nomic-bert": Traits(encoder=True, layer_norm=True),
    "nomic-bert-moe": Traits(encoder=True, layer_norm=True),
    "jina-bert-v3": Traits(encoder=True, layer_norm=True),
}
"""Architectures whose graphs are drawn as llama.cpp draws them."""


def traits_of(architecture: str) -> Traits:
    """The traits, for an unknown architecture those that most share."""
    return TRAITS.get(architecture, Traits(encoder=architecture in HEADLESS))

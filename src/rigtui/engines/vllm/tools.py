"""Which of vLLM's tool-call parsers a model's family speaks. Pure.

Source: vLLM 0.32, tool_parsers/__init__.py (names) and docs/features/tool_calling.md (families). A family that is not here is not guessed:
with the wrong parser calls come out as text.
"""

from __future__ import annotations

from rigtui.models.model import Model

_BY_NAME = (
    ("hermes-", "hermes"),
    ("qwen3-coder", "qwen3_coder"),
    ("qwen3-next", "hermes"),
    ("deepseek-v3.2", "deepseek_v32"),
    ("deepseek-v3.1", "deepseek_v31"),
    ("deepseek-v3", "deepseek_v3"),
    ("deepseek-r1-0528", "deepseek_v3"),
    ("glm-4.5", "glm45"),
    ("glm-4.6", "glm45"),
    ("glm-4.7", "glm47"),
    ("glm-5", "glm47"),
    ("kimi-k2", "kimi_k2"),
    ("minimax-m2", "minimax_m2"),
    ("phi-4-mini", "phi4_mini_json"),
    ("xlam", "xlam"),
    ("llama-3.1", "llama3_json"),
    ("llama-3.2", "llama3_json"),
    ("llama-3.3", "llama3_json"),
)
"""Part of the model's name -> parser; these come first, because one architecture serves several families."""
_BY_ARCHITECTURE = {
    "cohere2": "cohere_command3",
    "ernie4_5_moe": "ernie45",
    "gemma4": "gemma4",
    "gemma4_text": "gemma4",
    "glm4_moe": "glm45",
    "gpt_oss": "openai",
    "granite": "granite",
    "granitemoehybrid": "granite4",
    "hunyuan_v1_moe": "hunyuan_a13b",
    "internlm2": "internlm",
    "jamba": "jamba",
    "lfm2": "lfm2",
    "lfm2_moe": "lfm2",
    "llama4": "llama4_pythonic",
    "llama4_text": "llama4_pythonic",
    "longcat_flash": "longcat",
    "mimo": "mimo",
    "ministral": "mistral",
    "ministral3": "mistral",
    "minimax_m2": "minimax_m2",
    "mistral": "mistral",
    "mistral3": "mistral",
    "mixtral": "mistral",
    "olmo3": "olmo3",
    "qwen2": "hermes",
    "qwen2_moe": "hermes",
    "qwen3": "hermes",
    "qwen3_moe": "hermes",
    "qwen3_5": "qwen3_coder",
    "qwen3_5_text": "qwen3_coder",
    "qwen3_5_moe": "qwen3_coder",
    "qwen3_5_moe_text": "qwen3_coder",
    "seed_oss": "seed_oss",
    "step3_text": "step3",
}


def tool_parser(model: Model) -> str | None:
    """The parser for this model's tool calls, or None when its family is not known."""
    name = model.name.lower().replace("_", "-").replace(" ", "-")
    found = next((parser for part, parser in _BY_NAME if part in name), None)
    return found or _BY_ARCHITECTURE.get(model.architecture)

"""How each kind of server is asked for a completion, and where in its answer the speeds are.

llama-server (0.5.0-dev, tools/server): POST /tokenize, /completion with `timings_per_token`. vLLM (0.33, entrypoints/openai): POST
/tokenize, /v1/completions, whose last part is the usage.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Protocol

from rigtui.engines.engine import Api
from rigtui.errors import RigtuiError
from rigtui.runs.state import Measured


class Streamed:
    """A completion as it arrived; times are seconds from the request."""

    def __init__(self) -> None:
        self.first_s: float | None = None
        """The first token."""
        self.last_s: float | None = None
        self.said: dict[str, Any] = {}
        """Every field of the parts, the last value of each."""

    def add(self, part: dict[str, Any], at_s: float, *, token: bool) -> None:
        """Take one part; `token`: it brings text."""
        self.said.update({name: value for name, value in part.items() if value})
        if token:
            self.first_s = at_s if self.first_s is None else self.first_s
            self.last_s = at_s


class Dialect(Protocol):
    """What one kind of server understands."""

    warms_up: bool
    """Its first request takes longer than the others."""
    announces: bool
    """Its log says in every version when it listens, so that a good answer before that is another program's."""

    def tokenize(self, text: str) -> dict[str, Any]:
        """The body for POST /tokenize."""

    def completion(self, prompt: Sequence[int], predict: int) -> tuple[str, dict[str, Any]]:
        """Path and body for a stream of exactly `predict` tokens, none of the prompt from a cache."""

    def embedding(self, prompt: Sequence[int]) -> dict[str, Any]:
        """The body for POST /v1/embeddings."""

    def has_token(self, part: dict[str, Any]) -> bool:
        """Whether a part of the stream brings text."""

    def measured(self, streamed: Streamed) -> Measured:
        """The speeds. Raises RigtuiError when they are not there."""


class LlamaServer:
    """llama-server times itself."""

    warms_up = False
    announces = False

    def tokenize(self, text: str) -> dict[str, Any]:
        """With the tokens that begin a text, as a prompt has them."""
        return {"content": text, "add_special": True}

    def completion(self, prompt: Sequence[int], predict: int) -> tuple[str, dict[str, Any]]:
        """Timings come with every part."""
        return "/completion", {
            "prompt": list(prompt),
            "n_predict": predict,
            "stream": True,
            "cache_prompt": False,
            "ignore_eos": True,
            "temperature": 0,
            "timings_per_token": True,
        }

    def embedding(self, prompt: Sequence[int]) -> dict[str, Any]:
        """The server has one model."""
        return {"input": list(prompt)}

    def has_token(self, part: dict[str, Any]) -> bool:
        """A token that is half a character has no text yet."""
        return bool(part.get("content") or part.get("tokens"))

    def measured(self, streamed: Streamed) -> Measured:
        """The engine's own timings."""
        timings = streamed.said.get("timings")
        if not isinstance(timings, dict):
            raise RigtuiError("the completion came without timings")
        return Measured(
            ttft_s=streamed.first_s,
            prefill_tok_s=positive(timings.get("prompt_per_second")),
            decode_tok_s=positive(timings.get("predicted_per_second")) if timings.get("predicted_n", 0) > 1 else None,
            prompt_tokens=timings.get("prompt_n"),
        )


class Vllm:
    """vLLM counts, the clock is ours."""

    warms_up = True
    announces = True

    def __init__(self, model: str) -> None:
        self._model = model

    def tokenize(self, text: str) -> dict[str, Any]:
        """With the tokens that begin a text, as a prompt has them."""
        return {"model": self._model, "prompt": text, "add_special_tokens": True}

    def completion(self, prompt: Sequence[int], predict: int) -> tuple[str, dict[str, Any]]:
        """A salt of its own keeps the prompt out of the prefix cache."""
        return "/v1/completions", {
            "model": self._model,
            "prompt": list(prompt),
            "max_tokens": predict,
            "stream": True,
            "stream_options": {"include_usage": True},
            "ignore_eos": True,
            "temperature": 0,
            "cache_salt": secrets.token_hex(8),
        }

    def embedding(self, prompt: Sequence[int]) -> dict[str, Any]:
        """By the model's name in the API."""
        return {"model": self._model, "input": list(prompt)}

    def has_token(self, part: dict[str, Any]) -> bool:
        """Every part but the last, which is the usage alone; a token that is half a character has no text yet."""
        return bool(part.get("choices"))

    def measured(self, streamed: Streamed) -> Measured:
        """The prompt is read until the first token, the others come after it."""
        usage, first, last = streamed.said.get("usage"), streamed.first_s, streamed.last_s
        if not isinstance(usage, dict) or first is None or last is None:
            raise RigtuiError("the completion came without a token count")
        prompt, generated = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if not isinstance(prompt, int) or not isinstance(generated, int):
            raise RigtuiError("the completion came without a token count")
        return Measured(
            ttft_s=first,
            prefill_tok_s=positive(prompt / first) if first > 0 else None,
            decode_tok_s=positive((generated - 1) / (last - first)) if generated > 1 and last > first else None,
            prompt_tokens=prompt,
        )


def dialect_of(api: Api, model: str) -> Dialect:
    """The dialect of a server; `model` is what its API calls the model."""
    return Vllm(model) if api == "vllm" else LlamaServer()


def positive(value: Any) -> float | None:
    """A speed, or None for what is none."""
    return float(value) if isinstance(value, int | float) and 0 < value < float("inf") else None

"""One short completion on a ready engine, and what it tells about speed.

llama-server (0.5.0-dev, tools/server): POST /tokenize, POST /completion with `timings_per_token`, POST /v1/embeddings.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

from rigtui.errors import RigtuiError
from rigtui.runs.state import Measured

QUICK_PROMPT = 512
"""Tokens; one full micro-batch of llama-server's default, so the compute buffer is used as it is under load."""
QUICK_PREDICT = 64
FULL_PREDICT = 256
QUICK_LIMIT_S = 120.0
FULL_LIMIT_S = 900.0
_MAX_LINE = 1 << 20
_SENTENCE = "A small town by the river kept a library of maps, and every autumn its keeper walked the hills to see what had changed. "
_TOKENS_PER_SENTENCE_AT_LEAST = 20


class Endpoint:
    """Where an engine answers. `host` may be the address it listens on; a wildcard is asked on the loopback."""

    def __init__(self, host: str, port: int, api_key: str | None = None) -> None:
        self.host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 compared, not bound
        self.port = port
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def connect(self, timeout_s: float) -> http.client.HTTPConnection:
        """A connection; every read and write on it is bounded by the time."""
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)

    def healthy(self) -> bool:
        """Whether it says that it can serve. GET /health is 503 while llama-server loads, 200 after."""
        connection = self.connect(2)
        try:
            connection.request("GET", "/health")
            response = connection.getresponse()
            response.read(_MAX_LINE)
        except (OSError, http.client.HTTPException):
            return False
        else:
            return response.status == 200
        finally:
            connection.close()

    def page(self, path: str, timeout_s: float, most_bytes: int) -> bytes | None:
        """The content of GET `path`, None unless the answer is 200. Raises OSError or HTTPException."""
        connection = self.connect(timeout_s)
        try:
            connection.request("GET", path, headers=self._headers)
            response = connection.getresponse()
            content = response.read(most_bytes)
        finally:
            connection.close()
        return content if response.status == 200 else None

    def post(self, path: str, body: dict[str, Any], timeout_s: float) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a request. Raises RigtuiError when the engine refuses it."""
        connection = self.connect(timeout_s)
        try:
            connection.request("POST", path, json.dumps(body), self._headers)
            response = connection.getresponse()
            if response.status != 200:
                text = response.read(_MAX_LINE).decode("utf-8", errors="replace")
                raise RigtuiError(f"POST {path} was answered with {response.status}: {_message(text)}")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise RigtuiError(f"POST {path} failed: {error}") from error
        except RigtuiError:
            connection.close()
            raise
        return connection, response

    def ask(self, path: str, body: dict[str, Any], timeout_s: float) -> Any:
        """The whole answer as JSON. Raises RigtuiError."""
        connection, response = self.post(path, body, timeout_s)
        try:
            return json.loads(response.read(64 * _MAX_LINE))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RigtuiError(f"POST {path} gave no answer that can be read: {error}") from error
        finally:
            connection.close()


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return text[:200].strip() or "no text"


def measure_completion(endpoint: Endpoint, context_per_slot: int, *, full: bool) -> Measured:
    """Time to first token, prefill and decode speed of one streamed completion.

    `full` uses a prompt that nearly fills a slot's context. Speeds are the engine's own timings. Raises RigtuiError.
    """
    predict = min(FULL_PREDICT if full else QUICK_PREDICT, max(context_per_slot // 4, 1))
    length = max(context_per_slot - predict - 16, 1) if full else min(QUICK_PROMPT, max(context_per_slot // 2, 1))
    limit_s = FULL_LIMIT_S if full else QUICK_LIMIT_S
    body = {
        "prompt": _prompt(endpoint, length),
        "n_predict": predict,
        "stream": True,
        "cache_prompt": False,
        "ignore_eos": True,
        "temperature": 0,
        "timings_per_token": True,
    }
    started = time.monotonic()
    connection, response = endpoint.post("/completion", body, limit_s)
    ttft_s = None
    timings: dict[str, Any] = {}
    try:
        for part in _stream(response):
            if ttft_s is None and (part.get("content") or part.get("tokens")):
                ttft_s = time.monotonic() - started
            timings = part.get("timings") or timings
            if time.monotonic() - started > limit_s:
                break
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RigtuiError(f"the completion broke off: {error}") from error
    finally:
        connection.close()
    if not timings:
        raise RigtuiError("the completion came without timings")
    return Measured(
        ttft_s=ttft_s,
        prefill_tok_s=_positive(timings.get("prompt_per_second")),
        decode_tok_s=_positive(timings.get("predicted_per_second")) if timings.get("predicted_n", 0) > 1 else None,
        prompt_tokens=timings.get("prompt_n"),
    )


def measure_embedding(endpoint: Endpoint, context_per_slot: int) -> Measured:
    """Prefill speed of one embedding: the engine's token count over the time of the call. Raises RigtuiError."""
    length = min(QUICK_PROMPT, max(context_per_slot // 2, 1))
    started = time.monotonic()
    answer = endpoint.ask("/v1/embeddings", {"input": _prompt(endpoint, length)}, QUICK_LIMIT_S)
    elapsed = time.monotonic() - started
    try:
        tokens = int(answer["usage"]["prompt_tokens"])
    except (KeyError, TypeError, ValueError) as error:
        raise RigtuiError("the embedding came without a token count") from error
    return Measured(prefill_tok_s=_positive(tokens / elapsed), prompt_tokens=tokens)


def _positive(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 < value < float("inf") else None


def _prompt(endpoint: Endpoint, length: int) -> list[int]:
    """`length` tokens of plain text in this model's own vocabulary."""
    text = _SENTENCE * (length // _TOKENS_PER_SENTENCE_AT_LEAST + 1)
    answer = endpoint.ask("/tokenize", {"content": text, "add_special": True}, QUICK_LIMIT_S)
    tokens = answer.get("tokens") if isinstance(answer, dict) else None
    if not isinstance(tokens, list) or not tokens:
        raise RigtuiError("POST /tokenize gave no tokens")
    return tokens[:length]


def _stream(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """The JSON objects of a server-sent event stream."""
    while line := response.readline(_MAX_LINE):
        if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
            part = json.loads(line[6:])
            if isinstance(part, dict):
                if "error" in part:
                    raise ValueError(_message(json.dumps(part)))
                yield part

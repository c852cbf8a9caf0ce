"""One short completion on a ready engine, and what it tells about speed; `dialects` knows how each kind of server is asked."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from rigtui.errors import RigtuiError
from rigtui.runs.dialects import Dialect, LlamaServer, Streamed, positive
from rigtui.runs.state import Measured

QUICK_PROMPT = 512
"""Tokens; one full micro-batch of llama-server's default, so the compute buffer is used as it is under load."""
QUICK_PREDICT = 64
FULL_PREDICT = 256
WARM_UP_PROMPT = 16
WARM_UP_PREDICT = 2
QUICK_LIMIT_S = 120.0
FULL_LIMIT_S = 900.0
_MAX_LINE = 1 << 20
_SENTENCE = "A small town by the river kept a library of maps, and every autumn its keeper walked the hills to see what had changed. "
_TOKENS_PER_SENTENCE_AT_LEAST = 20


class Endpoint:
    """Where an engine answers. `host` may be the address it listens on; a wildcard is asked on the loopback."""

    def __init__(self, host: str, port: int, api_key: str | None = None, dialect: Dialect | None = None) -> None:
        self.dialect = dialect or LlamaServer()
        self.host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 compared, not bound
        self.port = port
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def connect(self, timeout_s: float) -> http.client.HTTPConnection:
        """A connection; every read and write on it is bounded by the time."""
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)

    def healthy(self) -> bool:
        """Whether it says that it can serve. GET /health is 503 while llama-server loads and when vLLM's core has died, else 200."""
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

    `full` uses a prompt that nearly fills a slot's context. Raises RigtuiError.
    """
    predict = min(FULL_PREDICT if full else QUICK_PREDICT, max(context_per_slot // 4, 1))
    length = max(context_per_slot - predict - 16, 1) if full else min(QUICK_PROMPT, max(context_per_slot // 2, 1))
    limit_s = FULL_LIMIT_S if full else QUICK_LIMIT_S
    prompt = _prompt(endpoint, length)
    if endpoint.dialect.warms_up:
        _complete(endpoint, prompt[:WARM_UP_PROMPT], min(WARM_UP_PREDICT, predict), limit_s)
    return endpoint.dialect.measured(_complete(endpoint, prompt, predict, limit_s))


def _complete(endpoint: Endpoint, prompt: Sequence[int], predict: int, limit_s: float) -> Streamed:
    path, body = endpoint.dialect.completion(prompt, predict)
    started = time.monotonic()
    connection, response = endpoint.post(path, body, limit_s)
    streamed = Streamed()
    try:
        for part in _stream(response):
            now = time.monotonic() - started
            streamed.add(part, now, token=endpoint.dialect.has_token(part))
            if now > limit_s:
                break
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RigtuiError(f"the completion broke off: {error}") from error
    finally:
        connection.close()
    return streamed


def measure_embedding(endpoint: Endpoint, context_per_slot: int) -> Measured:
    """Prefill speed of one embedding: the engine's token count over the time of the call. Raises RigtuiError."""
    length = min(QUICK_PROMPT, max(context_per_slot // 2, 1))
    body = endpoint.dialect.embedding(_prompt(endpoint, length))
    started = time.monotonic()
    answer = endpoint.ask("/v1/embeddings", body, QUICK_LIMIT_S)
    elapsed = time.monotonic() - started
    try:
        tokens = int(answer["usage"]["prompt_tokens"])
    except (KeyError, TypeError, ValueError) as error:
        raise RigtuiError("the embedding came without a token count") from error
    return Measured(prefill_tok_s=positive(tokens / elapsed), prompt_tokens=tokens)


def _prompt(endpoint: Endpoint, length: int) -> list[int]:
    """`length` tokens of plain text in this model's own vocabulary."""
    text = _SENTENCE * (length // _TOKENS_PER_SENTENCE_AT_LEAST + 1)
    answer = endpoint.ask("/tokenize", endpoint.dialect.tokenize(text), QUICK_LIMIT_S)
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

"""A short conversation with a running engine, its answer as it arrives (OpenAI chat completions, server-sent events)."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from rigtui.errors import RigtuiError
from rigtui.text import clean
from rigtui.tui.services import Speed, Turn

if TYPE_CHECKING:
    from rigtui.runs.measure import Endpoint

MAX_TOKENS = 512
"""Of the answer: this is a test."""
_TIMEOUT_S = 300.0
_MAX_LINE = 1 << 20


class Chat:
    """Iterate it for the pieces of the answer; `close`, from any thread, ends the waiting."""

    def __init__(
        self,
        endpoint: Endpoint,
        model_id: str,
        turns: tuple[Turn, ...],
        api_key: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = endpoint.connect(_TIMEOUT_S)
        self._socket: socket.socket | None = None
        self._closed = False
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        self._clock = clock
        self.speed = Speed()
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        options = {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": MAX_TOKENS}
        self._body = json.dumps({"model": model_id, "messages": messages, **options})

    def close(self) -> None:
        """End it; whoever waits for the next piece is woken."""
        self._closed = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def __iter__(self) -> Iterator[str]:
        """The pieces of the answer. Raises RigtuiError when the engine refuses or goes away."""
        try:
            self._connection.connect()
            # The connection forgets its socket once a response without a length begins.
            self._socket = self._connection.sock
            # Looked at behind it: `close` on another thread either finds the socket or is seen here.
            if self._closed:
                return
            began = self._clock()
            self._connection.request("POST", "/v1/chat/completions", self._body, self._headers)
            response = self._connection.getresponse()
            if response.status != 200:
                raise RigtuiError(f"the engine answered {response.status}: {_reason(response.read(_MAX_LINE))}")
            yield from self._pieces(response, began)
        except (OSError, http.client.HTTPException) as error:
            if not self._closed:
                raise RigtuiError(f"the engine did not answer ({error}); its log says more") from error
        finally:
            self._connection.close()

    def _pieces(self, response: http.client.HTTPResponse, began: float) -> Iterator[str]:
        first: float | None = None
        while not self._closed and (line := response.readline(_MAX_LINE)):
            if not line.startswith(b"data: "):
                continue
            data = line[6:].strip()
            if data == b"[DONE]":
                return
            now, event = self._clock(), _event(data)
            if text := _text(event):
                first = now if first is None else first
                self.speed = replace(self.speed, first_s=first - began)
                yield text
            self.speed = _with_usage(self.speed, event, None if first is None else now - first)
        if not self._closed:
            raise RigtuiError("the engine went away before the answer was whole; its log says more")


def _event(data: bytes) -> dict[str, Any]:
    """One event; empty where it is nothing that can be read. Raises RigtuiError where the engine says that it broke off."""
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(event, dict):
        return {}
    if "error" in event:
        error = event["error"]
        raise RigtuiError(f"the engine broke off: {clean(str(error.get('message', error) if isinstance(error, dict) else error))}")
    return event


def _text(event: dict[str, Any]) -> str:
    """The text in one event; thinking is text, too: a test should show that something arrives."""
    try:
        delta = event["choices"][0]["delta"]
        text = delta.get("content") or delta.get("reasoning_content")
    except (KeyError, IndexError, TypeError, AttributeError):
        return ""
    return text if isinstance(text, str) else ""


def _with_usage(speed: Speed, event: dict[str, Any], since_first_s: float | None) -> Speed:
    """What the last events say: `usage` (OpenAI) counts the tokens, `timings` (llama-server) has the engine's own speed."""
    tokens, tok_s = _figure(event, "usage", "completion_tokens"), _figure(event, "timings", "predicted_per_second")
    if isinstance(tokens, int) and tokens > 0:
        # The first token is there when the clock starts.
        timed = (tokens - 1) / since_first_s if since_first_s and tokens > 1 else None
        speed = replace(speed, tokens=tokens, tok_s=speed.tok_s or timed)
    if isinstance(tok_s, int | float) and tok_s > 0:
        speed = replace(speed, tok_s=float(tok_s))
    return speed


def _figure(event: dict[str, Any], part: str, name: str) -> object:
    found = event.get(part)
    return found.get(name) if isinstance(found, dict) else None


def _reason(body: bytes) -> str:
    text = body.decode("utf-8", errors="replace")
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        text = str(json.loads(text)["error"]["message"])
    return clean(text.strip().split("\n")[0])[:300] or "nothing more"

"""One test question to a running engine, its answer as it arrives (OpenAI chat completions, server-sent events)."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

from rigtui.errors import RigtuiError
from rigtui.runs.measure import Endpoint
from rigtui.text import clean

MAX_TOKENS = 512
"""Of the answer: this is a test."""
_TIMEOUT_S = 300.0
_MAX_LINE = 1 << 20


class Chat:
    """Iterate it for the pieces of the answer; `close`, from any thread, ends the waiting."""

    def __init__(self, endpoint: Endpoint, model_id: str, question: str, api_key: str | None = None) -> None:
        self._connection = endpoint.connect(_TIMEOUT_S)
        self._socket: socket.socket | None = None
        self._closed = False
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        messages = [{"role": "user", "content": question}]
        self._body = json.dumps({"model": model_id, "messages": messages, "stream": True, "max_tokens": MAX_TOKENS})

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
            self._connection.request("POST", "/v1/chat/completions", self._body, self._headers)
            response = self._connection.getresponse()
            if response.status != 200:
                raise RigtuiError(f"the engine answered {response.status}: {_reason(response.read(_MAX_LINE))}")
            yield from self._pieces(response)
        except (OSError, http.client.HTTPException) as error:
            if not self._closed:
                raise RigtuiError(f"the engine did not answer ({error}); its log says more") from error
        finally:
            self._connection.close()

    def _pieces(self, response: http.client.HTTPResponse) -> Iterator[str]:
        while not self._closed and (line := response.readline(_MAX_LINE)):
            if not line.startswith(b"data: "):
                continue
            data = line[6:].strip()
            if data == b"[DONE]":
                return
            yield from _delta(data)


def _delta(data: bytes) -> Iterator[str]:
    """The text in one event; thinking is text, too: a test should show that something arrives."""
    try:
        event: Any = json.loads(data)
        if "error" in event:
            raise RigtuiError(f"the engine broke off: {clean(str(event['error'].get('message', event['error'])))}")
        delta = event["choices"][0]["delta"]
        text = delta.get("content") or delta.get("reasoning_content")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return
    if isinstance(text, str) and text:
        yield text


def _reason(body: bytes) -> str:
    text = body.decode("utf-8", errors="replace")
    with contextlib.suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["error"]["message"])
    return clean(text.strip().split("\n")[0])[:300] or "nothing more"

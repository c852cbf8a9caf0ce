"""Servers of both kinds are measured by what they say and by the clock."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rigtui.engines.engine import Api
from rigtui.errors import RigtuiError
from rigtui.runs import measure
from rigtui.runs.dialects import Streamed, dialect_of
from rigtui.runs.measure import Endpoint, measure_completion, measure_embedding

Answer = Callable[[str, dict[str, Any]], Any]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], tuple[ThreadingHTTPServer, list[tuple[str, dict[str, Any]]]]]]:
    """A server that answers with JSON, or with a stream of parts for a list; and what it was asked."""
    servers = []

    def start(answer: Answer) -> tuple[ThreadingHTTPServer, list[tuple[str, dict[str, Any]]]]:
        asked: list[tuple[str, dict[str, Any]]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked.append((self.path, body))
                found = answer(self.path, body)
                self.send_response(200 if found is not None else 404)
                self.end_headers()
                parts = (
                    [*(f"data: {json.dumps(part)}" for part in found), "data: [DONE]"] if isinstance(found, list) else [json.dumps(found)]
                )
                self.wfile.write("\n\n".join(parts).encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class's name
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server, asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def endpoint(server: ThreadingHTTPServer, api: Api) -> Endpoint:
    return Endpoint("127.0.0.1", server.server_port, "key", dialect_of(api, "tiny"))


def vllm(path: str, body: dict[str, Any]) -> Any:
    """As vLLM 0.32 answers."""
    if path == "/tokenize":
        return {"tokens": list(range(len(body["prompt"].split()))), "count": 0, "max_model_len": 2048}
    if path == "/v1/embeddings":
        return {"usage": {"prompt_tokens": len(body["input"])}}
    tokens = [{"choices": [{"index": 0, "text": "a"}], "usage": None} for _ in range(body["max_tokens"])]
    usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": body["max_tokens"]}
    return [*tokens, {"choices": [], "usage": usage}]


def test_vllm_counts_and_the_clock_is_ours(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, asked = serve(vllm)
    # A tick with every look: the measured request begins at 3, its five parts come at 4 to 8, its last token at 7.
    ticks = iter(range(1000))
    monkeypatch.setattr(measure.time, "monotonic", lambda: float(next(ticks)))
    monkeypatch.setattr(measure, "QUICK_PREDICT", 4)
    monkeypatch.setattr(measure, "WARM_UP_PREDICT", 1)
    measured = measure_completion(endpoint(server, "vllm"), 2048, full=False)
    assert measured.prompt_tokens == 512
    assert (measured.ttft_s, measured.prefill_tok_s, measured.decode_tok_s) == (1.0, 512.0, 1.0)
    paths = [path for path, _ in asked]
    assert paths == ["/tokenize", "/v1/completions", "/v1/completions"]
    warm_up, real = asked[1][1], asked[2][1]
    assert len(warm_up["prompt"]) == 16
    assert warm_up["cache_salt"] != real["cache_salt"]
    assert (real["model"], real["ignore_eos"], real["stream_options"]) == ("tiny", True, {"include_usage": True})


def test_an_embedding_model_is_measured_by_its_name(serve: Any) -> None:
    server, asked = serve(vllm)
    assert measure_embedding(endpoint(server, "vllm"), 2048).prompt_tokens == 512
    assert asked[-1][1]["model"] == "tiny"


def test_a_short_context_is_not_exceeded(serve: Any) -> None:
    server, asked = serve(vllm)
    for full in (False, True):
        measure_completion(endpoint(server, "vllm"), 64, full=full)
        assert len(asked[-1][1]["prompt"]) + asked[-1][1]["max_tokens"] <= 64


@pytest.mark.parametrize("parts", [[], [{"choices": [{"text": "a"}]}], [{"choices": []}, {"usage": {"prompt_tokens": "many"}}]])
def test_an_answer_without_counts_is_no_measurement(parts: list[dict[str, Any]]) -> None:
    streamed = Streamed()
    for number, part in enumerate(parts):
        streamed.add(part, float(number), token=dialect_of("vllm", "tiny").has_token(part))
    with pytest.raises(RigtuiError, match="without a token count"):
        dialect_of("vllm", "tiny").measured(streamed)


def test_one_token_has_no_decode_speed() -> None:
    streamed = Streamed()
    streamed.add({"choices": [{"text": "a"}]}, 0.5, token=True)
    streamed.add({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 1}}, 0.6, token=False)
    measured = dialect_of("vllm", "tiny").measured(streamed)
    assert (measured.ttft_s, measured.prefill_tok_s, measured.decode_tok_s) == (0.5, 20.0, None)

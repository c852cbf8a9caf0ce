"""The test question against a server that behaves, refuses, breaks off or never answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rigtui.errors import RigtuiError
from rigtui.runs.measure import Endpoint
from rigtui.tui.chat import Chat
from rigtui.tui.services import Speed, Turn

Answer = Callable[[BaseHTTPRequestHandler, dict], None]


class Server:
    """Answers every POST with a function; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict, dict]] = []
        self.answer: Answer = stream("Hello")
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.asked.append((self.path, dict(self.headers), body))
                server.answer(self, body)

            def log_message(self, *_args) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def stream(*pieces: str, end: bool = True) -> Answer:
    def answer(handler, _body) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        for piece in pieces:
            handler.wfile.write(b"data: " + json.dumps({"choices": [{"delta": {"content": piece}}]}).encode() + b"\n\n")
        if end:
            handler.wfile.write(b"data: [DONE]\n\n")

    return answer


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


def chat(server: Server, **more) -> Chat:
    return Chat(Endpoint("127.0.0.1", server.port), "qwen", (Turn("user", "Who?"),), **more)


def test_the_answer_comes_in_pieces_and_the_question_names_the_model(server):
    server.answer = stream("A ", "good ", "one.")
    assert list(chat(server)) == ["A ", "good ", "one."]
    path, headers, body = server.asked[0]
    assert path == "/v1/chat/completions"
    assert body["model"] == "qwen" and body["messages"] == [{"role": "user", "content": "Who?"}] and body["stream"] is True
    assert "Authorization" not in headers


def test_what_was_said_before_is_sent_along(server):
    turns = (Turn("user", "Hi"), Turn("assistant", "Hello"), Turn("user", "Who?"))
    list(Chat(Endpoint("127.0.0.1", server.port), "qwen", turns))
    assert [message["role"] for message in server.asked[0][2]["messages"]] == ["user", "assistant", "user"]


def ending(handler, last: dict) -> None:
    stream("A ", "good ", "one.", end=False)(handler, {})
    handler.wfile.write(b"data: " + json.dumps(last).encode() + b"\n\ndata: [DONE]\n\n")


def test_the_speed_is_the_engines_own_where_it_says_one_and_the_clocks_otherwise(server):
    ticks = iter([10.0, 12.0, 13.0, 14.0, 16.0])
    server.answer = lambda handler, _body: ending(handler, {"choices": [], "usage": {"completion_tokens": 9}})
    timed = chat(server, clock=lambda: next(ticks))
    list(timed)
    assert timed.speed == Speed(first_s=2.0, tokens=9, tok_s=2.0)
    server.answer = lambda handler, _body: ending(handler, {"usage": {"completion_tokens": 9}, "timings": {"predicted_per_second": 38.25}})
    told = chat(server)
    list(told)
    assert (told.speed.tokens, told.speed.tok_s) == (9, 38.25)
    server.answer = lambda handler, _body: ending(handler, {"usage": None, "timings": {"predicted_per_second": "fast"}})
    silent = chat(server)
    list(silent)
    assert silent.speed.first_s is not None and silent.speed.tok_s is None


def test_an_answer_that_breaks_off_is_told_from_a_whole_one(server):
    server.answer = stream("A ", "good ", end=False)
    pieces: list[str] = []
    with pytest.raises(RigtuiError, match="went away before the answer was whole"):
        for piece in chat(server):
            pieces.append(piece)  # noqa: PERF402 - what came stays
    assert pieces == ["A ", "good "]


def test_a_key_is_sent_when_there_is_one(server):
    list(chat(server, api_key="secret"))
    assert server.asked[0][1]["Authorization"] == "Bearer secret"


def test_thinking_counts_as_an_answer(server):
    def answer(handler, _body) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b'data: {"choices": [{"delta": {"reasoning_content": "hm"}}]}\n\ndata: [DONE]\n\n')

    server.answer = answer
    assert list(chat(server)) == ["hm"]


def test_a_refusal_is_one_sentence_with_the_servers_reason(server):
    def refuse(handler, _body) -> None:
        handler.send_response(401)
        handler.end_headers()
        handler.wfile.write(b'{"error": {"message": "Invalid API Key"}}')

    server.answer = refuse
    with pytest.raises(RigtuiError, match="the engine answered 401: Invalid API Key"):
        list(chat(server))


def test_an_error_in_the_middle_is_told(server):
    def answer(handler, body) -> None:
        stream("so far", end=False)(handler, body)
        handler.wfile.write(b'data: {"error": {"message": "context is full"}}\n\n')

    server.answer = answer
    got = []
    with pytest.raises(RigtuiError, match="context is full"):
        for piece in chat(server):
            got.append(piece)  # noqa: PERF402 - what came before the error is the point
    assert got == ["so far"]


def test_nonsense_between_events_is_skipped(server):
    def answer(handler, _body) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(
            b': ping\n\ndata: not json\n\ndata: []\n\ndata: {"choices": []}\n\ndata: {"choices": [{"delta": {"content": 5}}]}\n\n'
        )
        handler.wfile.write(b"data: " + b"[" * 100_000 + b'\n\ndata: {"usage": [1], "timings": 3}\n\n')
        stream_line = json.dumps({"choices": [{"delta": {"content": "ok"}}]}).encode()
        handler.wfile.write(b"data: " + stream_line + b"\n\ndata: [DONE]\n\n")

    server.answer = answer
    assert list(chat(server)) == ["ok"]


def test_nobody_there_is_one_sentence():
    with pytest.raises(RigtuiError, match="the engine did not answer"):
        list(Chat(Endpoint("127.0.0.1", 9), "m", (Turn("user", "q"),)))


def test_closing_wakes_whoever_waits(server):
    reached, leave = threading.Event(), threading.Event()

    def hang(handler, body) -> None:
        stream("first", end=False)(handler, body)
        handler.wfile.flush()
        reached.set()
        leave.wait(120)

    server.answer = hang
    conversation = chat(server)
    got: list[str] = []
    waiting = threading.Thread(target=lambda: got.extend(conversation))
    waiting.start()
    assert reached.wait(120)
    conversation.close()
    waiting.join(10)
    leave.set()
    assert not waiting.is_alive()
    assert got in ([], ["first"])

"""What an engine says of its work, read from its own pages."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rigtui.engines.live import Live, Sample, live, prometheus
from rigtui.engines.llamacpp.live import sample
from rigtui.runs.live import MISSES, LiveReader
from tui.fakes.runs import run_state as a_state

METRICS = """# HELP llamacpp:tokens_predicted_total Number of generation tokens processed
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total {generated}
llamacpp:prompt_tokens_total {prompt}
llamacpp:prompt_seconds_total {prompt_s}
llamacpp:requests_processing 1
llamacpp:requests_deferred 2
"""


def slot(number: int, *, busy: bool, prompt: int, decoded: int) -> dict:
    return {
        "id": number,
        "n_ctx": 4096,
        "is_processing": busy,
        "n_prompt_tokens": prompt,
        "n_prompt_tokens_processed": prompt - 10,
        "n_prompt_tokens_cache": 10,
        "next_token": [{"n_decoded": decoded}],
    }


def pages(**found: bytes):
    return {f"/{name}": page for name, page in found.items()}.get


def test_prometheus_text_is_read_and_labels_are_added_up():
    text = (
        'vllm:running{engine="0",model_name="a b"} 1.0\nvllm:running{engine="1"} 2.0\n# vllm:no 3\nbroken\nnot_a_number x\nup 1e3 1700000\n'
    )
    assert prometheus(text) == {"vllm:running": 3.0, "up": 1000.0}


def test_speeds_are_taken_over_the_window_and_a_restart_is_not_negative():
    samples = [Sample(at=10.0, generated=100, prompt=1000, prompt_s=2.0), Sample(at=14.0, generated=180, prompt=3000, prompt_s=4.0)]
    assert live(samples).decode_tok_s == 20.0
    assert live(samples).prefill_tok_s == 1000.0
    assert live(samples[::-1]).decode_tok_s is None
    assert live(samples[:1]) == Live()


def test_the_share_of_the_kv_cache_is_the_engines_own_or_tokens_of_the_context():
    assert live([Sample(at=0, kv_tokens=1024)], 4096).kv_share == 0.25
    assert live([Sample(at=0, kv_tokens=9000)], 4096).kv_share == 1.0
    assert live([Sample(at=0, kv_share=0.4, kv_tokens=1)], 4096).kv_share == 0.4
    assert live([Sample(at=0, kv_tokens=1024)]).kv_share is None


def test_llama_servers_tokens_grow_while_a_request_runs_not_only_when_it_ends():
    metrics = METRICS.format(generated=100, prompt=52, prompt_s=0.5).encode()
    slots = [slot(0, busy=True, prompt=40, decoded=7), slot(1, busy=False, prompt=10, decoded=5)]
    found = sample(pages(metrics=metrics, slots=json.dumps(slots).encode()), 3.0)
    assert found == Sample(at=3.0, generated=107, prompt=52, prompt_s=0.5, kv_tokens=62, processing=1, waiting=2)


def test_a_build_that_counts_the_answer_into_the_prompt_is_not_counted_twice():
    grown = slot(0, busy=True, prompt=50, decoded=8) | {"n_prompt_tokens": 58}
    assert sample(pages(slots=json.dumps([grown]).encode()), 0.0).kv_tokens == 58


def test_what_is_missing_is_unknown_and_nonsense_is_nothing():
    assert sample(pages(), 0.0) is None
    assert sample(pages(metrics=b"\xff\xfe", slots=b"[{"), 0.0) is None
    only_slots = sample(pages(slots=b'[{"is_processing":true,"n_prompt_tokens":3,"next_token":{"n_decoded":2}}]'), 0.0)
    assert only_slots == Sample(at=0.0, kv_tokens=3, processing=1)


class Engine:
    """Serves the two pages while `up`; counts what was asked and with which key."""

    def __init__(self) -> None:
        self.up, self.generated, self.keys = True, 0, set()
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                engine.keys.add(self.headers.get("Authorization"))
                body = METRICS.format(generated=engine.generated, prompt=0, prompt_s=0) if self.path == "/metrics" else "[]"
                self.send_response(200 if engine.up else 503)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_args) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def engine() -> Iterator[Engine]:
    running = Engine()
    yield running
    running.close()


def test_a_reader_asks_with_the_key_and_lets_old_figures_go(engine):
    times = iter(range(100))
    reader = LiveReader(a_state(port=engine.port), "secret", clock=lambda: float(next(times)))
    assert reader.read().decode_tok_s is None
    engine.generated = 50
    assert reader.read().decode_tok_s == 50.0
    assert reader.read().waiting == 2
    assert engine.keys == {"Bearer secret"}
    engine.up = False
    for _ in range(MISSES - 1):
        assert reader.read() is not None
    assert reader.read() is None


def test_an_engine_that_is_gone_says_nothing(engine):
    engine.close()
    assert LiveReader(a_state(port=engine.port)).read() is None
    assert LiveReader(a_state(engine="steam")).read() is None

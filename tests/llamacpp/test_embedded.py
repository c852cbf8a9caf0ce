"""The embedded engine is a real llama-server over HTTP: started as one, asked as one, ended as one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rigtui.engines.engine import Build, Event
from rigtui.engines.llamacpp.diagnose import diagnose
from rigtui.engines.llamacpp.reader import Reader
from tools.make_gguf import tiny_llama

pytestmark = pytest.mark.engine

LOGS = Path(__file__).resolve().parents[1] / "logs" / "llamacpp"
DEADLINE_S = 120
BUILD = Build(engine="llama.cpp", label="", version="1", argv=())


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Engine:
    """One embedded engine; its output goes to a file."""

    def __init__(self, folder: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.port = free_port()
        self.output = folder / f"engine-{self.port}.log"
        argv = [sys.executable, "-m", "rigtui.engines.llamacpp.embedded", "--port", str(self.port), *arguments]
        with self.output.open("wb") as stream:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=os.environ | (env or {}))

    def get(self, path: str, body: dict[str, Any] | None = None, key: str | None = None) -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read().decode()
        return json.loads(text) if text.startswith(("{", "[")) else text

    def healthy(self) -> bool:
        try:
            return bool(self.get("/health")["status"] == "ok")
        except (OSError, urllib.error.HTTPError):
            assert self.process.poll() is None, self.output.read_text()
            return False

    def wait(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, self.output.read_text()
            time.sleep(0.02)

    def ended(self) -> int:
        return self.process.wait(DEADLINE_S)

    def events(self) -> list[Event]:
        reader = Reader(BUILD)
        return [event for line in self.output.read_text().split("\n") for event in reader.feed(line)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("models") / "tiny.gguf")


Start = Callable[..., Engine]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    engines: list[Engine] = []

    def begin(*arguments: str, env: dict[str, str] | None = None) -> Engine:
        engines.append(Engine(tmp_path, *arguments, env=env))
        return engines[-1]

    yield begin
    for engine in engines:
        engine.process.kill()
        engine.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_stops_when_it_is_told(start: Start, model: Path, number: signal.Signals) -> None:
    engine = start("-m", str(model), "-lv", "4", "--metrics", "-c", "4096")
    engine.wait(engine.healthy)
    answer = engine.get("/completion", {"prompt": "hello world", "n_predict": 16, "ignore_eos": True})
    assert answer["timings"]["predicted_n"] == 16
    assert "llamacpp:tokens_predicted_total 16" in engine.get("/metrics")
    # The log is written beside the answer, not before it.
    engine.wait(lambda: any(event.kind == "timing" and event.text == "decode" for event in engine.events()))
    events = {event.kind: event for event in engine.events()}
    assert events["context"].value == 4096
    assert events["slots"].value == 4
    assert events["graph_splits"].value == 1
    assert events["listening"].text == f"http://127.0.0.1:{engine.port}"
    assert events["timing"].total == 16
    assert events["flash_attention"].value == 1
    assert [e.device for e in engine.events() if e.buffer == "weights"] == ["CPU_Mapped"]
    engine.process.send_signal(number)
    assert engine.ended() == 0


def test_a_client_that_is_still_reading_does_not_hold_it(start: Start, model: Path) -> None:
    engine = start("-m", str(model))
    engine.wait(engine.healthy)
    body = {"prompt": "hello", "n_predict": 30000, "ignore_eos": True, "stream": True}
    request = urllib.request.Request(
        f"http://127.0.0.1:{engine.port}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as stream:
        stream.readline()
        began = time.monotonic()
        engine.process.terminate()
        assert engine.ended() == 0
        # Destroying the server would wait for the stream's next keep-alive, 30 seconds.
        assert time.monotonic() - began < 25


def test_its_defaults_are_llama_server_s(start: Start, model: Path) -> None:
    engine = start("-m", str(model))
    engine.wait(engine.healthy)
    real = json.loads((LOGS / "tiny_default.props.json").read_text())
    own = engine.get("/props")
    assert own["default_generation_settings"]["params"] == real["default_generation_settings"]["params"]
    for field in ("total_slots", "endpoint_slots", "endpoint_props", "endpoint_metrics", "modalities", "chat_template"):
        assert own[field] == real[field]
    slots = json.loads((LOGS / "tiny_default.slots.json").read_text())
    assert [slot["id"] for slot in engine.get("/slots")] == [slot["id"] for slot in slots]
    # Slots share one cache: each may use the whole of the model's context.
    assert {slot["n_ctx"] for slot in engine.get("/slots")} == {32768}
    with pytest.raises(urllib.error.HTTPError, match="501"):
        engine.get("/metrics")


def test_settings_reach_the_engine(start: Start, model: Path) -> None:
    engine = start(
        *("-m", str(model), "-lv", "4", "-np", "2", "-c", "2048", "-b", "512", "-ub", "256", "-ctk", "q8_0", "-ctv", "q4_0", "-fa", "on"),
        *("-lm", "none", "-t", "1", "--cache-ram", "0", "--no-warmup", "--no-slots", "--alias", "mine", "-dev", "none"),
    )
    engine.wait(engine.healthy)
    text = engine.output.read_text()
    for part in (
        "(load_mode = none)",
        "n_threads = 1 ",
        "K (q8_0)",
        "V (q4_0)",
        "prompt cache is disabled",
        "n_ubatch              = 256",
        "n_batch               = 512",
    ):
        assert part in text
    assert "warming up" not in text
    assert [e.value for e in engine.events() if e.kind == "kv_cells"] == [2048]
    assert engine.get("/v1/models")["data"][0]["id"] == "mine"
    with pytest.raises(urllib.error.HTTPError):
        engine.get("/slots")


def test_a_key_is_asked_for_and_never_logged(start: Start, model: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("verysecret\n")
    for engine in (
        start("-m", str(model), "-lv", "4", "--api-key-file", str(keys)),
        start("-m", str(model), "-lv", "4", env={"LLAMA_API_KEY": "verysecret"}),
    ):
        engine.wait(engine.healthy)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            engine.get("/props")
        assert engine.get("/props", key="verysecret")["total_slots"] == 4
        assert "cret" not in engine.output.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_while_it_loads_it_says_so_and_a_signal_ends_it(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    endless = tmp_path / "endless.gguf"
    os.mkfifo(endless)
    engine = start("-m", str(endless), "-lv", "4")
    engine.wait(lambda: "load_started" in [event.kind for event in engine.events()])
    with pytest.raises(urllib.error.HTTPError, match="503"):
        engine.get("/health")
    engine.process.send_signal(number)
    assert engine.ended() == -number


def test_it_dies_with_the_signal_even_where_a_shell_ignores_it(start: Start, model: Path) -> None:
    """A shell starts background jobs with SIGINT ignored."""
    argv = [sys.executable, "-m", "rigtui.engines.llamacpp.embedded", "-m", str(model), "--port", str(free_port())]
    shell = subprocess.Popen(["sh", "-c", '"$@" 2>/dev/null & echo $!; wait $!; echo $?', "sh", *argv], stdout=subprocess.PIPE, text=True)
    assert shell.stdout is not None
    pid = int(shell.stdout.readline())
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{argv[-1]}/health", timeout=5).close()
            break
        except OSError:
            time.sleep(0.02)
    os.kill(pid, signal.SIGINT)
    # It answers a moment before it waits for signals; in between one ends it as while loading.
    assert shell.stdout.readline().strip() in {"0", str(128 + signal.SIGINT)}
    shell.stdout.close()
    shell.wait(DEADLINE_S)


def _failure(engine: Engine) -> tuple[int, str]:
    code = engine.ended()
    return code, diagnose(engine.events(), engine.output.read_text().split("\n"), code, None, False).code


def test_a_port_that_is_taken(start: Start, model: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        engine = start("-m", str(model), "--port", str(taken.getsockname()[1]))
        assert _failure(engine) == (1, "port_in_use")


def test_files_that_cannot_be_served(start: Start, model: Path, tmp_path: Path) -> None:
    text, short = tmp_path / "text.gguf", tmp_path / "short.gguf"
    text.write_text("not a model at all" * 100)
    short.write_bytes(model.read_bytes()[:200_000])
    for path in (tmp_path / "none.gguf", text, short):
        engine = start("-m", str(path))
        assert _failure(engine) == (1, "model_bad")
        assert "Traceback" not in engine.output.read_text()


def test_a_flag_it_does_not_take(start: Start, model: Path) -> None:
    for flags in (("--rope-scaling", "yarn"), ("-dev", "CUDA7")):
        engine = start("-m", str(model), *flags)
        assert _failure(engine) == (2, "bad_argument")
        assert engine.output.read_text().count("\n") == 1

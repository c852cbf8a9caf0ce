"""The same life with a real engine: llama.cpp's own server from the xllamacpp wheel, on the CPU."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from rigtui.demo.tiny_model import make
from rigtui.engines.engine import Build
from rigtui.engines.llamacpp.builds import find
from rigtui.engines.llamacpp.command import spawn
from rigtui.planning.plan import Plan, PlanModel
from rigtui.runs import identity, launch, watch
from rigtui.runs.live import LiveReader
from rigtui.runs.results import load_results
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.state import RunState
from runs import support
from runs.support import Runs, a_plan, wait_until

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    make(path)
    return path


@pytest.fixture(scope="module")
def build() -> Build:
    return next(build for build in find() if build.embedded)


def the_plan(build: Build, model: Path, *extra: str) -> Plan:
    described = PlanModel(name="tiny", path=str(model), architecture="llama", layers=8, weights_bytes=14 << 20, context_trained=8192)
    command = (*build.argv, "-m", str(model), "-c", "2048", "-np", "1", "-lv", "4", *extra)
    return a_plan(model=described, devices=(), context=2048, context_per_slot=2048, command=command)


def started(runs: Runs, build: Build, plan: Plan, **changes: object) -> RunDirectory:
    launched = launch.launch(support.a_request(plan=plan, build=build, **changes))
    runs.note(launched.state)
    return RunDirectory(launched.directory)


def served(runs: Runs, build: Build, model: Path, **changes: object) -> RunState:
    return runs.wait(started(runs, build, the_plan(build, model), **changes), "ready", measured=True)


def test_a_real_engine_is_measured_and_answers(runs: Runs, build: Build, model: Path) -> None:
    ready = served(runs, build, model)
    assert ready.notes == ()
    measured = ready.measured
    assert measured is not None
    assert measured.decode_tok_s is not None
    assert measured.decode_tok_s > 0
    assert measured.prefill_tok_s is not None
    assert measured.prefill_tok_s > 0
    assert measured.prompt_tokens == 512
    assert measured.context == 2048
    assert measured.kv_tokens == 2048
    assert measured.graph_splits == 1
    assert measured.peak_bytes == {}, "there is no GPU in use"

    body = json.dumps({"model": ready.model_id, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}).encode()
    request = urllib.request.Request(f"{ready.url}/v1/chat/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        assert json.load(response)["usage"]["completion_tokens"] > 0
    assert watch.stop_and_wait(ready).phase == "stopped"
    assert [r.outcome for r in load_results("tiny")] == ["ready"]


def test_a_key_is_asked_for_by_the_engine_and_used_by_the_measurement(runs: Runs, build: Build, model: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("open-sesame\n")
    ready = served(runs, build, model, api_key_file=str(key))
    assert ready.measured is not None
    assert ready.measured.decode_tok_s is not None
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{ready.url}/v1/models/x", timeout=10)


def test_a_full_probe_fills_the_context(runs: Runs, build: Build, model: Path) -> None:
    ready = served(runs, build, model, probe="full")
    assert ready.notes == ()
    assert ready.measured is not None
    assert ready.measured.prompt_tokens == 2048 - 256 - 16


def test_a_killed_supervisor_takes_the_real_engine_with_it(runs: Runs, build: Build, model: Path) -> None:
    ready = served(runs, build, model)
    os.kill(ready.supervisor_pid or 0, signal.SIGKILL)
    wait_until(lambda: not identity.is_running(ready.pid, ready.pid_started), "the engine died")


def test_a_file_that_is_no_model_fails_with_the_engines_line(runs: Runs, build: Build, tmp_path: Path) -> None:
    model = tmp_path / "text.gguf"
    model.write_text("this is text, not a model")
    state = runs.wait(started(runs, build, the_plan(build, model)), "failed")
    assert state.failure is not None
    assert state.failure.line
    assert state.failure.code == "model_bad"


@pytest.mark.parametrize("own", [False, True])
def test_a_port_taken_between_the_check_and_the_start_is_left_for_the_next_unless_it_is_the_users(
    own: bool, runs: Runs, build: Build, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        port = server.getsockname()[1]
        monkeypatch.setattr(launch, "choose_port", lambda *_: port)
        state = runs.wait(started(runs, build, the_plan(build, model), port=port if own else None), "failed" if own else "ready")
    first = state.attempts[0].failure
    assert first is not None
    assert first.code == "port_in_use"
    if own:
        assert state.failure is not None
        assert f"your --port {port}" in state.failure.text
    else:
        assert state.port != port
        assert f"port {port} was taken" in (state.attempts[1].change or "")


def test_the_command_of_a_run_is_that_of_its_plan(runs: Runs, build: Build, model: Path) -> None:
    plan = the_plan(build, model)
    asked = started(runs, build, plan).read_asked()
    assert asked.request.plan == plan
    assert asked.request.build == build
    assert asked.spawn == spawn(plan, build, "127.0.0.1", asked.spawn.port, None)


def test_a_real_engine_tells_how_it_works(runs: Runs, build: Build, model: Path) -> None:
    directory = started(runs, build, the_plan(build, model, "--metrics"))
    ready = runs.wait(directory, "ready", measured=True)
    reader = LiveReader(ready)
    before = reader.read()
    assert before is not None
    assert (before.processing, before.waiting) == (0, 0)
    body = json.dumps({"prompt": "One two three", "n_predict": 40, "ignore_eos": True}).encode()
    request = urllib.request.Request(f"{ready.url}/completion", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        assert json.load(response)["tokens_predicted"] == 40
    after = reader.read()
    assert after is not None
    assert after.decode_tok_s is not None
    assert after.decode_tok_s > 0
    assert after.kv_tokens is not None
    assert 40 <= after.kv_tokens <= 60, "the prompt and its answer lie in the cache"
    assert after.kv_share == after.kv_tokens / 2048

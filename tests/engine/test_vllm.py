"""The real vLLM on the CPU with a model made here: the launch, what is understood of its log, and the ladder, as users meet them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import tiny_checkpoint
from engine.build_vllm import vllm
from engine.vllm_runs import SMALL_CACHE, USE_CASE, VllmRuns, ask, processes_of
from rigtui.engines.engine import Build
from rigtui.engines.vllm import builds
from rigtui.intent.intent import Intent
from rigtui.models.gguf import read_gguf
from rigtui.models.safetensors import read_safetensors
from rigtui.paths import config_dir
from rigtui.rig.sampler import read_rig
from rigtui.runs import memory, ports, watch
from rigtui.runs.builds import installed_builds
from rigtui.runs.results import load_results
from rigtui.runs.rundir import RunDirectory
from runs.support import Runs, first_port
from terminal.conftest import Terminal
from tools.make_gguf import tiny_llama


@pytest.fixture(scope="session")
def vllm_home() -> Path:
    """The environment of the real vLLM; made first if need be."""
    return vllm()


@pytest.fixture(scope="session")
def build(vllm_home: Path) -> Build:
    """It, with what it says that it can do."""
    (found, *_) = builds.survey(str(vllm_home)).builds
    return builds.learn(found)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint.write(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def run(tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch) -> Iterator[VllmRuns]:
    monkeypatch.setattr(ports, "FIRST_PORT", first_port())
    kept = Runs(tmp_path)
    yield VllmRuns(kept, build)
    kept.end()


def events(directory: RunDirectory, kind: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in directory.events.read_text().splitlines()]
    return [event for event in found if event["kind"] == kind]


def left(group: int) -> None:
    """Wait until nothing of an engine is left."""
    deadline = time.monotonic() + 60
    while processes_of(group) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_of(group) == {}


def test_the_build_says_what_it_is(build: Build) -> None:
    assert (build.version, build.label, build.gpu) == ("0.32.0+cpu", "vLLM 0.32.0 (CPU only)", False)
    assert {
        "--max-model-len",
        "--kv-cache-memory-bytes",
        "--enforce-eager",
        "-tp",
        "--pipeline-parallel-size",
        "--device-ids",
    } <= build.options


def test_from_the_command_line_to_tokens(vllm_home: Path, model: Path, home: Path, tmp_path: Path) -> None:
    """`rigtui run FOLDER`: found by its configuration, planned for the CPU, under a key, measured, stopped with all it started."""
    config_dir().mkdir(parents=True, exist_ok=True)
    (config_dir() / "config.toml").write_text(f'[engines]\nvllm = "{vllm_home}"\n')
    key = tmp_path / "key"
    key.write_text("a-secret-of-this-test\n")
    port = first_port() + 300
    command = [sys.executable, "-m", "rigtui", "run", str(model), "--port", str(port), "--api-key-file", str(key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith(("measured", "note", "rigtui:")):
                break
        text = "".join(said)
        assert "asking vLLM 0.32.0 (CPU only) what it can do" in text
        assert "FITS" in text and "on the CPU" in text
        assert f"base URL http://127.0.0.1:{port}/v1, model tiny" in text
        assert re.search(r"first token.*tok/s", said[-1].lower()) or "tok/s" in said[-1], text

        (state,) = watch.live_runs()
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        question = {"model": "tiny", "max_tokens": 12, "ignore_eos": True, "messages": [{"role": "user", "content": "Hello"}]}
        assert ask(url, question)[0] == 401
        status, answer = ask(url, question, key="a-secret-of-this-test")
        assert status == 200
        assert answer["usage"]["completion_tokens"] == 12
        directory = watch.directory_of(state)
        everything = [path for path in directory.path.rglob("*") if path.is_file()]
        assert not [path for path in everything if b"a-secret-of-this-test" in path.read_bytes()]
        assert (state.context, events(directory, "kv_cells")[0]["value"] >= 2048) == (2048, True)
        assert [event["value"] for event in events(directory, "progress")] == sorted(e["value"] for e in events(directory, "progress"))

        group = state.pid
        assert group is not None
        assert len(processes_of(group)) >= 3
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert process.returncode == 130
    left(group)
    (result,) = load_results("tiny")
    assert (result.outcome, result.engine, result.build) == ("ready", "vllm", "vLLM 0.32.0 (CPU only)")
    assert result.attempt[0].kv_tokens and result.attempt[0].decode_tok_s and result.attempt[0].ttft_s


def test_two_workers_in_tensor_parallel_and_the_end_of_one(run: VllmRuns, model: Path) -> None:
    directory = run.launch(model, "--tensor-parallel-size", "2", SMALL_CACHE, env={"VLLM_CPU_OMP_THREADS_BIND": "nobind"})
    ready = run.ready(directory)
    assert ready.measured is not None
    # Half of the two KV heads each: 256 bytes per token and layer, 128 tokens to a block.
    assert ready.measured.kv_tokens == 32 * 1024 * 1024 // (4 * 256 * 128) * 128
    assert ready.pid is not None
    workers = [pid for pid, name in processes_of(ready.pid).items() if "Worker_TP" in name]
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    ended = run.ended(directory)
    assert ended.failure is not None
    assert (ended.phase, ended.failure.code) == ("failed", "killed")
    assert "a worker was killed" in ended.failure.text


def test_a_cache_that_is_too_small_is_mended_by_the_length_that_vllm_names(run: VllmRuns, model: Path) -> None:
    """The ladder, walked for real: 1 MiB holds 512 tokens, of which vLLM grants 384 to one request."""
    directory = run.launch(model, "--kv-cache-memory-bytes=1048576")
    ready = run.ready(directory)
    first, second = ready.attempts
    assert first.failure is not None
    assert (first.failure.code, first.failure.context, first.failure.stage) == ("context_too_long", 384, "kv")
    assert (first.outcome, second.outcome) == ("failed", "ready")
    assert second.change is not None
    assert "384 tokens" in second.change
    assert ready.context == 384
    status, models = ask(f"{ready.url}/v1/models")
    assert (status, models["data"][0]["max_model_len"]) == (200, 384)
    (result,) = load_results("tiny")
    assert [attempt.outcome for attempt in result.attempt] == ["failed", "ready"]
    # Nothing of it outlives a supervisor that is killed, though vLLM's core does not notice that its server is gone.
    assert ready.supervisor_pid is not None
    assert ready.pid is not None
    os.kill(ready.supervisor_pid, signal.SIGKILL)
    left(ready.pid)


@pytest.mark.parametrize(
    ("arguments", "env", "code", "words"),
    [
        (("--max-model-len=99999",), {}, "context_too_long", "made for 2,048; your --max-model-len 99999 leaves no step"),
        (("--tensor-parallel-size=3",), {}, "bad_argument", "4 attention heads cannot be divided over 3 cards"),
        (("--frobnicate",), {}, "bad_argument", "does not know the argument --frobnicate"),
        (
            ("--pipeline-parallel-size=2", SMALL_CACHE),
            {"VLLM_PP_LAYER_PARTITION": "1,2", "VLLM_CPU_OMP_THREADS_BIND": "nobind"},
            "bad_argument",
            "adds up to 3 layers, the model has 4",
        ),
    ],
    ids=["longer than the model takes", "heads not divisible", "unknown argument", "bad partition"],
)
def test_what_vllm_refuses_is_said_in_a_sentence(
    arguments: tuple[str, ...], env: dict[str, str], code: str, words: str, run: VllmRuns, model: Path
) -> None:
    ended = run.ended(run.launch(model, *arguments, env=env))
    assert ended.phase == "failed"
    assert ended.failure is not None
    assert (ended.failure.code, words in ended.failure.text) == (code, True), ended.failure
    assert ended.failure.line is not None
    assert len(ended.attempts) == 1


def test_a_port_that_is_taken_is_left_to_its_owner(run: VllmRuns, model: Path) -> None:
    """Taken after rigtui has looked, before vLLM opens it: the next free one is tried."""
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        directory = run.launch(model, SMALL_CACHE, taken=port)
        again = run.until(directory, lambda state: len(state.attempts) == 2, "tried once more")
    assert again.attempts[0].failure is not None
    assert again.attempts[0].failure.code == "port_in_use"
    assert again.port != port


def test_a_death_after_ready_is_a_crash_though_it_exits_with_0(run: VllmRuns, model: Path) -> None:
    """The CPU runner starts with a pipeline, and its first request, rigtui's own, ends it."""
    env = {"VLLM_PP_LAYER_PARTITION": "1,3", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    directory = run.launch(model, "--pipeline-parallel-size=2", SMALL_CACHE, env=env)
    ended = run.ended(directory)
    assert ended.failure is not None
    assert (ended.phase, ended.failure.code) == ("failed", "crash")
    assert "stopped serving though nobody asked it to" in ended.failure.text
    # The stage of three layers decides: 32 MiB / (3 layers x 512 bytes x 128 tokens), in blocks of 128.
    assert [event["value"] for event in events(directory, "kv_cells")] == [21760]


@pytest.fixture
def unknown(tmp_path: Path) -> Path:
    """A checkpoint whose architecture this vLLM does not know."""
    folder = tiny_checkpoint.write(tmp_path / "models" / "tiny")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["TomorrowsForCausalLM"]}))
    return folder


def test_what_vllm_cannot_load_llamacpp_serves_from_the_gguf_beside_it(run: VllmRuns, build: Build, unknown: Path) -> None:
    beside = tiny_llama(
        unknown.parent / "tiny-F16.gguf",
        layers=tiny_checkpoint.LAYERS,
        embedding=tiny_checkpoint.HIDDEN,
        heads=tiny_checkpoint.HEADS,
        kv_heads=tiny_checkpoint.KV_HEADS,
        feed_forward=tiny_checkpoint.FEED_FORWARD,
        name="tiny",
    )
    tiny_llama(unknown.parent / "other-F16.gguf", layers=2, name="other")
    directory = run.launch(unknown, engine="auto")
    state = run.ready(directory)
    first, second = state.attempts
    assert first.failure is not None
    assert (first.outcome, first.failure.code, second.outcome) == ("failed", "unsupported_model", "ready")
    assert "TomorrowsForCausalLM" in first.failure.text
    assert f"another engine; llama.cpp instead of vllm, with {beside.name}" in (second.change or "")
    assert state.engine == "llama.cpp"
    answer = ask(f"{state.url}/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4})
    assert answer[0] == 200
    (result,) = load_results("tiny")
    assert [attempt.outcome for attempt in result.attempt] == ["failed", "ready"]
    assert result.fingerprint == read_gguf(beside).fingerprint, "what was measured is about the file that was served"
    intent = Intent(use_case=USE_CASE, engine="auto")
    again = memory.derive(read_rig(), read_safetensors(unknown), intent, (build, *installed_builds()))
    assert (again.plan.engine, again.plan.model.path) == ("llama.cpp", str(beside))
    assert "vLLM 0.32.0 (CPU only) could not serve this model here" in again.plan.reasons[0].text


def test_without_another_file_of_the_model_the_ladder_ends_with_what_to_get(run: VllmRuns, unknown: Path) -> None:
    state = run.ended(run.launch(unknown, engine="auto"))
    assert state.failure is not None
    assert len(state.attempts) == 1
    assert "llama.cpp could run it from a GGUF file of the same model, and there is none here" in state.failure.text


def test_from_the_screen(
    vllm_home: Path, model: Path, home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny model is found, planned, launched and stopped with the keyboard alone."""
    shutil.copytree(model, home / "models" / "tiny")
    config_dir().mkdir(parents=True, exist_ok=True)
    (config_dir() / "config.toml").write_text(f'[engines]\nvllm = "{vllm_home}"\n')
    for name in [name for name in os.environ if name.startswith(("TEXTUAL", "TMUX")) or name == "NO_COLOR"]:
        monkeypatch.delenv(name)
    screen = Terminal(tmp_path_factory.mktemp("t") / "s", 160, 48, [sys.executable, "-m", "rigtui"])
    try:
        screen.wait("model     tiny", "vllm")
        screen.keys("l")
        deadline = time.monotonic() + 900
        while not re.search(r"ready.*http://127\.0\.0\.1:\d+", shown := screen.screen(), re.DOTALL):
            assert time.monotonic() < deadline and "✖ failed" not in shown, shown
            time.sleep(0.5)
        screen.wait("tok/s")
        (run,) = watch.live_runs()
        assert (run.engine, run.phase, run.context) == ("vllm", "ready", 2048)
        screen.keys("s")
        screen.wait("Leave it running")
        screen.keys("Enter")
        screen.wait("stopped", gone="ready :")
    finally:
        screen.close()
        for left in watch.live_runs():
            watch.stop_and_wait(left, now=True)

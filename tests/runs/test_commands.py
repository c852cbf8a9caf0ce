"""The commands about runs, as a person and as a script use them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rigtui.cli import run_command
from rigtui.cli.main import main
from rigtui.engines.engine import Build
from rigtui.intent.intent import Intent, UseCase
from rigtui.planning.plan import Reason
from rigtui.rig.rig import Rig
from rigtui.runs import identity, watch
from runs.support import BUILD, FAKE, LOGS, Runs, a_plan, first_port, wait_until

ROW = {
    "run", "profile", "model", "engine", "phase", "attempt", "attempts", "port", "url", "pid", "context", "started", "failure",
}  # fmt: skip


class Target:
    """What the command line was resolved into, without a model file or a rig."""

    def __init__(
        self,
        engine_args: tuple[str, ...] = (),
        *,
        build: Build | None = BUILD,
        profile: str | None = None,
        port: int | None = None,
        **plan: Any,
    ) -> None:
        self.rig = Rig(name="desk", platform="linux")
        self.intent = Intent(use_case=UseCase(name="chat"), port=port)
        self.build = build
        self.builds = (build,) if build else ()
        self.profile = profile
        self.constraints = ()
        self.plan = a_plan(command=(*BUILD.argv, *engine_args), **plan)
        self.model = type("Model", (), {"name": "tiny", "fingerprint": "abc", "embedding_model": False})()
        self.served, self.given_up = self.model, None


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> Callable[[Target], None]:
    return lambda target: monkeypatch.setattr(run_command, "target", lambda _args, **_how: target)


def out_json(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_detached_run_is_listed_read_and_stopped(
    runs: Runs, resolved: Callable[[Target], None], capsys: pytest.CaptureFixture[str]
) -> None:
    resolved(Target(("--log", str(runs.loading_log())), profile="coder"))
    assert main(["run", "coder", "--detach", "--json"]) == 0
    answer = out_json(capsys)
    assert answer.keys() == {"schema", "run", "directory"}
    assert answer["schema"] == "rigtui.run/1"
    assert Path(answer["directory"]).is_dir()
    directory = watch.directory_of(watch.find_run(answer["run"]))
    runs.wait(directory, "ready", measured=True)

    assert main(["ps", "--json"]) == 0
    listed = out_json(capsys)
    assert listed["schema"] == "rigtui.runs/1"
    (row,) = listed["runs"]
    assert row.keys() >= ROW
    assert (row["run"], row["profile"], row["phase"], row["failure"]) == (answer["run"], "coder", "ready", None)
    assert row["attempts"] == [{"outcome": "ready", "failure": None, "line": None, "change": None}]
    with urllib.request.urlopen(row["url"] + "/health", timeout=10) as response:
        assert response.status == 200

    assert main(["ps"]) == 0
    assert "coder: tiny" in capsys.readouterr().out
    assert main(["logs", "coder"]) == 0
    assert "offloaded 33/33 layers to GPU" in capsys.readouterr().out

    assert main(["stop", "coder", "--json"]) == 0
    assert out_json(capsys)["runs"][0]["phase"] == "stopped"
    assert not identity.is_running(row["pid"], identity.start_time(row["pid"]))
    assert main(["ps", "--json"]) == 0
    assert out_json(capsys)["runs"] == []
    assert main(["ps", "--all", "--json"]) == 0
    assert [r["run"] for r in out_json(capsys)["runs"]] == [answer["run"]]

    assert main(["results", "coder", "--json"]) == 0
    results = out_json(capsys)
    assert results["schema"] == "rigtui.results/1"
    assert results["runs"][0]["attempt"][0]["decode_tok_s"] > 0
    assert results["runs"][0]["fingerprint"] == "abc"
    assert main(["results", "coder"]) == 0
    assert "decode 8,549.37 tok/s" in capsys.readouterr().out


def test_a_second_run_of_it_attaches_and_says_so(
    runs: Runs, resolved: Callable[[Target], None], capsys: pytest.CaptureFixture[str]
) -> None:
    resolved(Target(profile="coder"))
    main(["run", "coder", "--detach", "--json"])
    first = out_json(capsys)
    # Beside itself it would not fit; that does not matter to who attaches.
    resolved(Target(profile="coder", status="no_fit"))
    assert main(["run", "coder", "--detach", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == first
    assert "runs already" in captured.err


def test_what_does_not_fit_is_exit_3(resolved: Callable[[Target], None], capsys: pytest.CaptureFixture[str]) -> None:
    resolved(Target(status="no_fit", reasons=(Reason("short", "372 MiB are missing"),)))
    assert main(["run", "tiny"]) == 3
    assert "372 MiB are missing" in capsys.readouterr().err
    assert watch.all_runs() == []


def test_no_engine_is_exit_4_and_says_how_to_get_one(resolved: Callable[[Target], None], capsys: pytest.CaptureFixture[str]) -> None:
    resolved(Target(build=None))
    assert main(["run", "tiny"]) == 4
    assert "pip install 'rigtui[engine]'" in capsys.readouterr().err


def test_dry_run_prints_a_command_for_the_shell_and_launches_nothing(
    resolved: Callable[[Target], None], capsys: pytest.CaptureFixture[str]
) -> None:
    resolved(Target(("-m", "/models/a b.gguf"), env={"CUDA_VISIBLE_DEVICES": "GPU-1,GPU-2"}))
    assert main(["run", "tiny", "--dry-run", "--port", "8123"]) == 0
    words = shlex.split(capsys.readouterr().out)
    assert words[:3] == ["CUDA_VISIBLE_DEVICES=GPU-1,GPU-2", *BUILD.argv]
    assert "/models/a b.gguf" in words
    assert watch.all_runs() == []


@pytest.mark.parametrize(("words", "code", "said"), [("--api-key-file /nowhere/key", 1, "/nowhere/key"), ("--save mine", 2, "mine")])
def test_a_dry_run_looks_at_what_a_launch_would_need(
    words: str, code: int, said: str, tmp_path: Path, resolved: Callable[[Target], None], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text('[profile]\nname = "mine"\nmodel = "a.gguf"\n')
    _, _, key = words.partition("--api-key-file ")
    target = Target()
    target.intent = replace(target.intent, api_key_file=key or None)
    resolved(target)
    assert main(["--profiles-dir", str(tmp_path), "run", "tiny", "--dry-run", *words.split()]) == code
    assert said in capsys.readouterr().err


def test_a_dry_run_names_the_port_that_would_be_taken(resolved: Callable[[Target], None], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        resolved(Target(port=port))
        assert main(["run", "tiny", "--dry-run", "--port", str(port)]) == 1
    assert f"port {port} is in use" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "70000", "http", "-1"])
def test_a_port_that_is_none_is_exit_2(port: str, resolved: Callable[[Target], None], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "tiny", f"--port={port}"])
    assert ended.value.code == 2
    assert "is not a port" in capsys.readouterr().err


def test_a_foreground_run_that_fails_ends_with_the_reason(
    runs: Runs, resolved: Callable[[Target], None], capsys: pytest.CaptureFixture[str]
) -> None:
    resolved(Target(("--log", str(LOGS / "oom_weights.stderr"), "--fail", "1")))
    assert main(["run", "tiny"]) == 1
    said = capsys.readouterr().err
    assert "cudaMalloc failed: out of memory" in said
    assert "rigtui logs" in said
    assert "Traceback" not in said


FOREGROUND = """
import signal, sys
# Whoever started the tests may ignore them, and children inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from runs.test_commands import Target
from rigtui.cli import run_command
from rigtui.cli.main import main
port, *words = sys.argv[1:]
run_command.target = lambda args, **how: Target(tuple(words), port=int(port))
sys.argv = ["rigtui", "run", "tiny"]
sys.exit(main())
"""


@contextmanager
def foreground(*engine_args: str) -> Iterator[subprocess.Popen[str]]:
    """`rigtui run` as a program; one that should have ended and has not holds up nothing."""
    command = [sys.executable, "-c", FOREGROUND, str(first_port() + 300), *engine_args]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=FAKE.parents[1], start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_ctrl_c_in_the_foreground_stops_the_engine(runs: Runs) -> None:
    with foreground() as process:
        state = wait_until(lambda: next((s for s in watch.live_runs() if s.phase == "ready" and not s.measuring), None), "ready")
        runs.note(state)
        assert process.stderr is not None
        said = ""
        while "measured:" not in said:
            said += process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
        said += process.stderr.read()
    assert f"ready: base URL {state.url}/v1, model tiny" in said
    assert f"curl {state.url}/v1/chat/completions" in said
    assert "decode 8,549.4 tok/s" in said
    assert not identity.is_running(state.pid, state.pid_started)
    assert watch.find_run(state.run).phase == "stopped"


def test_sigterm_in_the_foreground_stops_the_engine_even_while_it_starts(runs: Runs) -> None:
    with foreground() as process:
        state = wait_until(lambda: next(iter(watch.live_runs()), None), "a run")
        runs.note(state)
        process.terminate()
        assert process.wait(60) == 143
    ended = watch.find_run(state.run)
    assert ended.phase == "stopped"
    assert not identity.is_running(ended.pid, ended.pid_started)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_whoever_only_attached_leaves_without_the_engine(number: signal.Signals, code: int, runs: Runs) -> None:
    with foreground() as first, foreground() as second:
        launched = {True: [], False: []}  # by whether it attached
        for process in (first, second):
            assert process.stderr is not None
            said = process.stderr.readline()
            launched["runs already as" in said].append(process)
        ([starter], [attached]) = launched[False], launched[True]
        state = wait_until(lambda: next((s for s in watch.live_runs() if s.phase == "ready" and not s.measuring), None), "ready")
        runs.note(state)
        attached.send_signal(number)
        assert attached.wait(60) == code
        assert attached.stderr is not None
        assert f"`rigtui stop {state.run}` stops it" in attached.stderr.read()
        assert watch.find_run(state.run).phase == "ready"
        assert identity.is_running(state.pid, state.pid_started)
        starter.send_signal(number)
        assert starter.wait(60) == code
    assert not identity.is_running(state.pid, state.pid_started)


def test_sighup_in_the_foreground_leaves_the_engine(runs: Runs) -> None:
    with foreground() as process:
        state = wait_until(lambda: next((s for s in watch.live_runs() if s.phase == "ready"), None), "ready")
        runs.note(state)
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == -signal.SIGHUP
    assert watch.find_run(state.run).live
    watch.stop_and_wait(watch.find_run(state.run))


def test_a_second_ctrl_c_kills_at_once(runs: Runs) -> None:
    with foreground("--ignore-sigterm") as process:
        state = wait_until(lambda: next((s for s in watch.live_runs() if s.phase == "ready" and not s.measuring), None), "ready")
        runs.note(state)
        assert process.stderr is not None
        while "measured:" not in process.stderr.readline():
            pass
        os.killpg(process.pid, signal.SIGINT)
        while "Ctrl-C again kills it" not in process.stderr.readline():
            pass
        wait_until(lambda: watch.find_run(state.run).phase == "stopping", "stopping")
        assert identity.is_running(state.pid, state.pid_started), "it ignores the polite signal"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
    assert not identity.is_running(state.pid, state.pid_started)


def test_logs_are_cleaned_unless_raw_and_can_be_followed(runs: Runs, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    log = tmp_path / "coloured.log"
    log.write_bytes(b"0.00.001.000 I \x1b[31mred\x1b[0m \xff title \x1b]0;owned\x07\n")
    directory = runs.launch("--log", log)
    state = runs.wait(directory, "ready", measured=True)
    assert main(["logs", state.run, "--raw"]) == 0
    assert log.read_bytes() in capfdbinary.readouterr().out
    watch.request_stop(state)
    assert main(["logs", state.run[:5], "--follow"]) == 0, "it ends with the run"
    out = capfdbinary.readouterr().out
    assert b"\x1b" not in out
    assert "0.00.001.000 I red � title \n".encode() in out


def test_logs_of_one_attempt(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    directory = runs.launch()
    watch.stop_and_wait(runs.wait(directory, "ready"))
    with open(directory.engine_log, "ab") as stream:
        stream.write(b"=== rigtui attempt 2 now llama-server\nsecond\n")
    assert main(["logs", "tiny", "--attempt", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["second"]
    assert main(["logs", "tiny", "--attempt", "1"]) == 0
    assert "second" not in capsys.readouterr().out
    assert main(["logs", "tiny", "--attempt", "9"]) == 1
    assert "has no attempt 9" in capsys.readouterr().err


def test_stop_needs_a_run_or_all(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stop"]) == 2
    assert main(["stop", "x", "--all"]) == 2
    assert main(["stop", "nonsense"]) == 2
    assert "no run called nonsense" in capsys.readouterr().err
    for name in ("a", "b"):
        runs.launched(name=name)
    assert main(["stop", "--all"]) == 0
    assert watch.live_runs() == []
    assert main(["stop", "a"]) == 0
    assert "had ended already" in capsys.readouterr().err


def test_nothing_is_said_kindly(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ps"]) == 0
    assert "nothing runs" in capsys.readouterr().err
    assert main(["results", "gpt-oss-20b"]) == 0
    assert "nothing was measured for gpt-oss-20b yet" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["results nosuch", "results nosuch --json", "logs nosuch", "stop nosuch", "step nosuch", "forget nosuch"])
def test_a_name_that_there_is_nothing_of_is_exit_2(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "nosuch" in said.err

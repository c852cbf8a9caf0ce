"""The supervisor's life with an engine, seen from the run directory, as every client sees it."""

from __future__ import annotations

import itertools
import json
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from rigtui.engines.engine import Spawn
from rigtui.engines.rooms import room
from rigtui.rig.rig import Rig
from rigtui.runs import identity, watch
from rigtui.runs.results import load_results
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.state import Asked
from rigtui.runs.supervisor import Supervisor
from rigtui.runs.walk import Walker, Way, Ways
from rigtui.runs.when import timestamp
from runs.support import CARD_0, CARD_1, LOGS, Runs, a_request, wait_until


def test_a_run_loads_becomes_ready_is_measured_and_stops(runs: Runs, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    directory = runs.launch("--log", runs.loading_log(), "--gate", gate)
    loading = runs.wait(directory, "loading")
    assert loading.pid is not None
    assert loading.ready_at is None

    gate.touch()
    ready = runs.wait(directory, "ready", measured=True)
    assert ready.url == f"http://127.0.0.1:{ready.port}"
    assert ready.context == 131072, "as the engine says, not as planned"
    # real_llama8b_default.stderr: 2846.41 + 11776.00 + 652.04 and 1557.09 + 4608.00 + 652.04 MiB
    assert {card: round(size / 2**20) for card, size in ready.logged_bytes.items()} == {CARD_0: 15274, CARD_1: 6817}
    assert ready.measured is not None
    assert ready.measured.decode_tok_s == pytest.approx(8549.37)
    assert ready.measured.prefill_tok_s == pytest.approx(1155.58)
    assert (ready.measured.graph_splits, ready.measured.layers, ready.measured.kv_tokens) == (3, 33, 131072)
    assert ready.measured.ttft_s is not None
    assert ready.measured.ttft_s > 0
    assert [r.outcome for r in load_results("tiny")] == ["ready"]

    stopped = watch.stop_and_wait(ready)
    assert stopped.phase == "stopped"
    assert stopped.failure is None
    assert not identity.is_running(ready.pid, ready.pid_started)
    assert stopped.acknowledged, "the request was acknowledged"
    (result,) = load_results("tiny")
    assert result.outcome == "ready"
    assert result.attempt[0].decode_tok_s == pytest.approx(8549.37)


def test_log_and_events_can_be_read_while_it_runs(runs: Runs) -> None:
    log = runs.loading_log()
    directory = runs.launch("--log", log)
    runs.wait(directory, "ready")
    raw = directory.engine_log.read_bytes()
    header, _, rest = raw.partition(b"\n")
    assert header.startswith(b"=== rigtui attempt 1 ")
    assert rest.startswith(log.read_bytes()), "the engine's own bytes, unchanged"
    events = [json.loads(line) for line in directory.events.read_text().splitlines()]
    assert {"kind": "buffer", "device": "CUDA1", "buffer": "kv", "bytes": 4608 << 20, "attempt": 1}.items() <= next(
        e for e in events if e["kind"] == "buffer" and e["device"] == "CUDA1" and e["buffer"] == "kv"
    ).items()


@pytest.mark.parametrize(
    ("log", "code", "line"),
    [
        ("oom_weights", "out_of_vram", "cudaMalloc failed: out of memory"),
        ("oom_kv", "out_of_vram", "cudaMalloc failed: out of memory"),
    ],
)
def test_an_engine_that_dies_while_loading_is_a_failure_with_its_line(runs: Runs, log: str, code: str, line: str) -> None:
    directory = runs.launch("--log", LOGS / f"{log}.stderr", "--fail", "1")
    state = runs.wait(directory, "failed")
    assert state.failure is not None
    assert state.failure.code == code
    assert line in (state.failure.line or "")
    assert state.attempts[-1].outcome == "failed"
    (result,) = load_results("tiny")
    assert (result.outcome, result.attempt[0].failure) == ("failed", code)
    assert result.attempt[0].decode_tok_s is None


def test_a_failure_after_ready_is_written_over_the_good_result(runs: Runs, tmp_path: Path) -> None:
    end = tmp_path / "end"
    directory = runs.launch("--end", end)
    runs.wait(directory, "ready", measured=True)
    end.write_text("abort")
    state = runs.wait(directory, "failed")
    assert state.failure is not None
    assert state.ready_at is not None
    (result,) = load_results("tiny")
    assert result.outcome == "failed"
    assert result.attempt[0].decode_tok_s is not None, "what was measured before stays"


def test_an_engine_that_leaves_by_itself_without_an_error_is_not_called_stopped(runs: Runs, tmp_path: Path) -> None:
    end = tmp_path / "end"
    directory = runs.launch("--end", end)
    runs.wait(directory, "ready", measured=True)
    end.write_text("0")
    failure = runs.wait(directory, "failed").failure
    assert failure is not None
    assert failure.code == "crash"


def test_an_engine_that_stands_still_while_loading_is_a_named_failure(runs: Runs, tmp_path: Path) -> None:
    directory = runs.launch("--gate", tmp_path / "never", "--log", runs.loading_log(), stuck_s=1.0)
    state = runs.wait(directory, "failed")
    assert state.failure is not None
    assert state.failure.code == "timeout"
    assert "said and read nothing for 1 s" in state.failure.text
    assert not identity.is_running(state.pid, state.pid_started)


def test_a_request_nobody_understands_is_noted_and_ignored(runs: Runs) -> None:
    directory = runs.launch()
    runs.wait(directory, "ready")
    (directory.path / "requests" / "1.json").write_text("{ nonsense")
    (directory.path / "requests" / "2.json").write_text('{"action": "explode"}')
    state = wait_until(lambda: (s := directory.view()) and {"1.json", "2.json"} <= set(s.acknowledged) and s, "both acknowledged")
    assert state.phase == "ready"
    assert any("1.json was not understood" in note for note in state.notes)
    assert any("2.json was not understood" in note for note in state.notes)


def test_an_engine_that_is_not_there_is_one_clear_sentence(runs: Runs, tmp_path: Path) -> None:
    state = runs.wait(runs.launch(argv=(str(tmp_path / "llama-server"),)), "failed")
    assert state.failure is not None
    assert state.failure.code == "engine_missing"
    assert str(tmp_path / "llama-server") in state.failure.text


def test_an_engine_that_cannot_be_executed_is_one_clear_sentence(runs: Runs, tmp_path: Path) -> None:
    broken = tmp_path / "llama-server"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o755)
    state = runs.wait(runs.launch(argv=(str(broken),)), "failed")
    assert state.failure is not None
    assert state.failure.code == "engine_missing"
    assert "Exec format error" in state.failure.text


def test_state_is_valid_at_every_moment(runs: Runs) -> None:
    directory = runs.launch("--log", runs.loading_log())
    reads = 0

    def look() -> bool:
        nonlocal reads
        raw = (directory.path / "state.json").read_bytes()
        state = msgspec.json.decode(raw)
        assert state["schema"] == "rigtui.state/1"
        reads += 1
        return state["phase"] == "ready"

    wait_until(look, "ready")
    assert reads > 1


def test_what_a_shell_says_does_not_overrule_the_plan(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"DECIDES": "shell", "KEPT": "shell", "PLANNED": "shell"}.items():
        monkeypatch.setenv(name, value)
    code = "import os; print(*(os.environ.get(name) for name in ('DECIDES', 'KEPT', 'PLANNED')), flush=True); raise SystemExit(1)"
    directory = runs.launch_program(code, env={"PLANNED": "plan"}, not_inherited=("DECIDES", "PLANNED"))
    runs.wait(directory, "failed")
    assert "None shell plan" in directory.engine_log.read_text()


def test_mending_ends_after_half_an_hour_whatever_steps_are_left(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every attempt takes seven minutes by the clock and fails, and there is always one more step."""
    request = a_request(attempts=100)
    spawn = Spawn(argv=(sys.executable, "-c", "raise SystemExit(1)"), host="127.0.0.1", port=1, model_name="tiny", weights_bytes=1)
    asked = Asked(run="0000aaaa", started=timestamp(), spawn=spawn, request=request)
    steps = itertools.count(1)

    def one_more(*_: object, **__: object) -> Ways:
        return Ways(ways=(Way(plan=request.plan, build=request.build, constraints=(), change=f"step {next(steps)}"),))

    monkeypatch.setattr(Walker, "ways", one_more)
    monkeypatch.setattr(room("llama.cpp"), "spawn", lambda *_: spawn)
    # Its handlers must not stay in this process.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    directory = RunDirectory.create(asked)
    Supervisor(directory, lambda _engines: Rig(name="desk", platform="linux"), itertools.count(0, 7 * 60).__next__).run()
    state = directory.read_state()
    assert state is not None
    assert state.failure is not None
    # The first attempt is not yet mending; five more make 35 minutes.
    assert [attempt.change for attempt in state.attempts] == [None, *(f"step {number}" for number in range(1, 6))]
    assert state.failure.text.endswith("it was tried for 30 minutes, which is the limit")
    assert [attempt.outcome for attempt in load_results("tiny")[0].attempt] == ["failed"] * 6

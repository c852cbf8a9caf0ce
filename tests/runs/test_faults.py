"""Killed supervisors, full disks, jumping clocks, two machines with one home: no orphan, no lost result, no wrong process killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from rigtui.engines.engine import Failure
from rigtui.errors import RigtuiError
from rigtui.planning.constraints import Constraint
from rigtui.runs import identity, lost, rundir, watch
from rigtui.runs.results import load_results
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.state import AttemptState, RunState
from runs.support import Runs, first_port, wait_until

FAULTS = Path(__file__).with_name("faults")


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`faulty(node=…, clock=…, disk=…)`: processes started from here on have these faults."""

    def put(**faults: str) -> None:
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAULTS), *filter(None, [os.environ.get("PYTHONPATH")])]))
        for name, value in faults.items():
            monkeypatch.setenv(f"RIGTUI_TEST_{name.upper()}", value)

    return put


def kill_supervisor(state: RunState) -> None:
    assert state.supervisor_pid is not None
    os.kill(state.supervisor_pid, signal.SIGKILL)
    wait_until(lambda: not identity.is_running(state.pid, state.pid_started), "the engine died with its supervisor")


def test_killed_while_stopping_the_engine_goes_with_it_and_the_result_stays(runs: Runs) -> None:
    directory = runs.launch("--ignore-sigterm", stop_grace_s=3600)
    ready = runs.wait(directory, "ready", measured=True)
    watch.request_stop(ready)
    kill_supervisor(runs.wait(directory, "stopping"))
    state = runs.wait(directory, "stopped")
    assert any("while it was stopping" in note for note in state.notes)
    assert [result.outcome for result in load_results("tiny")] == ["ready"]
    assert watch.live_runs() == []


def test_after_a_kill_the_profile_can_be_launched_again_on_the_same_port(runs: Runs) -> None:
    first = runs.wait(runs.launch(profile="coder"), "ready", measured=True)
    kill_supervisor(first)
    again = runs.wait(runs.launch(profile="coder"), "ready", measured=True)
    assert again.run != first.run
    assert again.port == first.port
    assert [(result.run, result.outcome) for result in load_results("coder")] == [(first.run, "ready"), (again.run, "ready")]


def test_a_pid_that_was_given_to_another_program_is_never_killed(runs: Runs) -> None:
    directory = runs.launch()
    ended = watch.stop_and_wait(runs.wait(directory, "ready"))
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    try:
        started = identity.start_time(bystander.pid)
        assert started is not None
        # A state from before: it names this pid for its supervisor and for its engine, started at another time.
        stale = replace(ended, phase="ready", boot_id=identity.boot_id(), supervisor_pid=bystander.pid, pid=bystander.pid)
        stale = replace(stale, supervisor_started=started - 1, pid_started=started - 1)
        directory.write_state(stale)
        assert watch.stop_and_wait(stale, now=True).phase == "failed"
        assert watch.engines_on_this_rig().pids == frozenset()
        rundir.prune(keep=0)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_two_programs_that_launch_one_profile_at_once_share_one_run(runs: Runs, tmp_path: Path) -> None:
    script = tmp_path / "launch.py"
    script.write_text(
        "import json, pathlib, sys, time\n"
        "from rigtui.runs import ports\n"
        "from runs.support import Runs\n"
        "ports.FIRST_PORT = int(sys.argv[2])\n"
        "go = pathlib.Path(sys.argv[1])\n"
        "print('here', flush=True)\n"
        "while not go.exists(): time.sleep(0.001)\n"
        "launched = Runs(go.parent).launched(profile='coder')\n"
        "print(json.dumps([launched.state.run, launched.attached]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(FAULTS.parents[1]), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(script), str(tmp_path / "go"), str(first_port())]
    programs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(3)]
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "here\n"
    (tmp_path / "go").touch()
    answers = [json.loads(program.communicate(timeout=120)[0]) for program in programs]
    assert len({run for run, _ in answers}) == 1
    assert sorted(attached for _, attached in answers) == [False, True, True]
    [state] = watch.live_runs()
    runs.note(state)


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faulty: Callable[..., None]) -> Iterator[Path]:
    """A file system of 700 KiB that state and results lie on; where none may be mounted, one that is full when it is synced."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", folder], capture_output=True, check=False).returncode == 0
    if not mounted:
        faulty(disk=f"{folder}:{700 << 10}")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    yield folder
    if mounted:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_fills_up_during_a_run_ends_it_in_a_clear_state(runs: Runs, small_disk: Path) -> None:
    directory = runs.launch("--chatter", str(2 << 20))
    state = runs.wait(directory, "failed")
    runs.note(state)
    assert state.failure is not None
    assert state.failure.code == "disk_full"
    assert "the disk is full, so the engine was stopped" in state.failure.text
    assert not identity.is_running(state.pid, state.pid_started)
    assert watch.live_runs() == []


def test_what_was_measured_before_the_disk_filled_up_is_kept(runs: Runs, small_disk: Path) -> None:
    directory = runs.launch(profile="coder")
    ready = runs.wait(directory, "ready", measured=True)
    filler = small_disk / "filler"
    with open(filler, "wb", buffering=0) as stream:
        written = 1
        while written and stream.tell() < 1 << 20:
            try:
                written = stream.write(b"\0" * 4096)
            except OSError:
                written = 0
    (directory.path / "requests" / "1.json").touch()  # something to acknowledge: a state to be written
    state = runs.wait(directory, "failed")
    assert state.failure is not None
    assert state.failure.code == "disk_full"
    assert not identity.is_running(ready.pid, ready.pid_started)
    [result] = load_results("coder")
    assert result.attempt[0].decode_tok_s is not None


def test_a_clock_that_jumps_neither_stops_a_run_nor_spoils_what_it_measures(runs: Runs, faulty: Callable[..., None]) -> None:
    faulty(clock="jumps")
    directory = runs.launch("--log", runs.loading_log())
    ready = runs.wait(directory, "ready", measured=True)
    assert ready.measured is not None
    assert ready.measured.load_s is not None
    assert 0 <= ready.measured.load_s < 3600
    assert ready.measured.ttft_s is not None
    assert 0 <= ready.measured.ttft_s < 3600
    assert watch.stop_and_wait(ready).phase == "stopped"
    assert not identity.is_running(ready.pid, ready.pid_started)


def test_two_machines_with_one_home_leave_each_others_runs_alone(
    runs: Runs, faulty: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = runs.wait(runs.launch(profile="coder"), "ready", measured=True)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(identity, "node", lambda: "another-node")
        faulty(node="another-node")
        assert watch.all_runs() == []
        with pytest.raises(RigtuiError, match="no run called"):
            watch.find_run(here.run)
        launched = runs.launched(profile="coder")
        assert not launched.attached
        there = runs.wait(RunDirectory(launched.directory), "ready", measured=True)
        assert there.node == "another-node"
        rundir.prune(keep=0)
        assert watch.stop_and_wait(there).phase == "stopped"
    assert [state.run for state in watch.live_runs()] == [here.run]
    assert {result.run: result.node for result in load_results("coder")} == {here.run: here.node, there.run: "another-node"}
    logs = {path.parent.parent.parent.name for path in rundir.runs_root().parent.rglob("engine.log")}
    assert logs == {here.node, "another-node"}
    assert watch.stop_and_wait(here).phase == "stopped"


def test_files_of_two_machines_are_not_written_through_one_temporary_file(tmp_path: Path, faulty: Callable[..., None]) -> None:
    """Process ids are only unique on one machine."""
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom rigtui import files\n"
        "os.getpid = lambda: 7\n"
        "for n in range(200): files.write_atomic(Path(sys.argv[1]), sys.argv[2].encode() * 20000)\n"
    )
    path = tmp_path / "shared"
    programs = []
    for node in ("one", "two"):
        faulty(node=node)
        programs.append(subprocess.Popen([sys.executable, "-c", code, str(path), node], env=dict(os.environ)))
    assert [program.wait(120) for program in programs] == [0, 0]
    assert path.read_bytes() in (b"one" * 20000, b"two" * 20000)


def test_killed_while_loading_leaves_a_result_with_what_was_known(runs: Runs, tmp_path: Path) -> None:
    directory = runs.launch("--log", runs.loading_log(), "--gate", tmp_path / "never", profile="coder")
    loading = wait_until(lambda: (state := directory.read_state()) and len(state.logged_bytes) == 2 and state, "both cards are said")
    kill_supervisor(loading)
    assert load_results("coder") == [], "nobody has looked yet"
    said = rigtui("results", "coder")
    assert "failed: killed" in said
    [result] = load_results("coder")
    [attempt] = result.attempt
    assert (result.run, result.outcome, attempt.failure) == (loading.run, "failed", "killed")
    assert result.command == directory.read_asked().spawn.argv
    # real_llama8b_default.stderr: 2846.41 + 11776.00 + 652.04 and 1557.09 + 4608.00 + 652.04 MiB
    assert [device.kv_bytes for device in attempt.devices] == [11776 << 20, 4608 << 20]
    assert [round((device.weights_bytes or 0) / 2**20) for device in attempt.devices] == [2846, 1557]
    assert [device.planned_bytes for device in attempt.devices] == [6 << 30, 6 << 30]
    ended = directory.read_state()
    assert ended is not None
    assert (ended.phase, ended.failure and ended.failure.code) == ("failed", "killed")
    assert ended.ended is not None
    rigtui("results", "coder")
    assert load_results("coder") == [result], "once"


def test_killed_before_it_was_measured_it_is_known_that_it_was_ready(runs: Runs, tmp_path: Path) -> None:
    directory = runs.launch("--answer", tmp_path / "never", profile="coder")
    ready = runs.wait(directory, "ready")
    assert ready.measuring
    kill_supervisor(ready)
    rigtui("ps", "--all")
    [result] = load_results("coder")
    assert (result.outcome, result.attempt[0].failure) == ("failed", "killed")
    assert ready.measured is not None
    assert result.attempt[0].load_s == ready.measured.load_s


def test_killed_in_a_later_attempt_the_earlier_one_and_its_lesson_stay(runs: Runs, tmp_path: Path) -> None:
    first = runs.wait(runs.launch(profile="coder"), "ready", measured=True)
    directory = watch.directory_of(first)
    watch.stop_and_wait(first)
    wait_until(lambda: not identity.is_running(first.supervisor_pid, first.supervisor_started), "the supervisor is gone")
    # The run as its supervisor would have left it, killed in a second attempt that was to keep more free.
    asked = directory.read_asked()
    kept = Constraint(kind="headroom", gpu="GPU-a", value=1 << 30, text="headroom 512 → 1024 MiB")
    later = replace(kept, value=3 << 30, text="others took 2048 MiB")
    directory.write_attempt(replace(asked, request=replace(asked.request, constraints=(kept,)), learned=(later,)))
    attempts = (AttemptState(outcome="failed", failure=Failure(code="out_of_vram", text="")), AttemptState(change="more headroom"))
    directory.write_state(replace(first, phase="loading", attempt=2, attempts=attempts, measured=None, ready_at=None))
    lost.keep(watch.all_runs())
    [result] = load_results("coder")
    assert [attempt.failure for attempt in result.attempt] == [None, "killed"]
    assert result.attempt[1].constraints == (kept, later)
    assert result.attempt[1].change == "more headroom"


def test_a_run_that_a_restart_of_the_machine_ended_keeps_its_result_and_the_profile_can_be_launched(runs: Runs, tmp_path: Path) -> None:
    directory = runs.launch("--log", runs.loading_log(), "--gate", tmp_path / "never", profile="coder")
    loading = wait_until(lambda: (state := directory.read_state()) and state.logged_bytes and state, "the engine said what it holds")
    kill_supervisor(loading)
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    try:
        # As it lies on the disk after a restart: by its numbers the processes are there, but they are those of another boot.
        number, started = bystander.pid, identity.start_time(bystander.pid)
        pids = {"supervisor_pid": number, "supervisor_started": started, "pid": number, "pid_started": started}
        directory.write_state(replace(loading, boot_id="another", **pids))
        rigtui("ps", "--all")
        [result] = load_results("coder")
        assert (result.run, result.outcome, result.attempt[0].failure) == (loading.run, "failed", "killed")
        ended = watch.find_run(loading.run)
        assert ended.failure is not None
        assert "restarted" in ended.failure.text
        assert ended.ended is not None
        again = runs.wait(runs.launch(profile="coder"), "ready", measured=True)
        assert again.run != loading.run
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_what_was_measured_stays_though_the_supervisor_is_killed_later(runs: Runs) -> None:
    ready = runs.wait(runs.launch(profile="coder"), "ready", measured=True)
    before = load_results("coder")
    kill_supervisor(ready)
    rigtui("ps")
    assert load_results("coder") == before
    assert watch.find_run(ready.run).phase == "failed"


def test_a_run_that_only_is_looked_at_stays_as_it_is(runs: Runs, tmp_path: Path) -> None:
    directory = runs.launch("--gate", tmp_path / "never", profile="coder")
    kill_supervisor(runs.wait(directory, "starting", "loading"))
    rigtui("--read-only", "ps", "--all")
    assert load_results("coder") == []


def rigtui(*words: str) -> str:
    return subprocess.run([sys.executable, "-m", "rigtui", *words], capture_output=True, text=True, check=True).stdout

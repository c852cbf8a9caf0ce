"""How a run ends: asked to stop, killed, hung up on; no engine and nothing it started outlives its supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rigtui.runs import identity, watch
from rigtui.runs.results import load_results
from rigtui.runs.rundir import RunDirectory
from runs.support import Runs, first_port, wait_until


def test_stop_while_loading(runs: Runs, tmp_path: Path) -> None:
    directory = runs.launch("--gate", tmp_path / "never", "--log", runs.loading_log())
    state = watch.stop_and_wait(runs.wait(directory, "loading"))
    assert (state.phase, state.failure) == ("stopped", None)
    assert load_results("tiny")[0].outcome == "stopped"


def test_an_engine_that_ignores_the_polite_signal_is_killed_after_the_grace(runs: Runs) -> None:
    directory = runs.launch("--ignore-sigterm", stop_grace_s=0.5)
    ready = runs.wait(directory, "ready")
    assert watch.stop_and_wait(ready).phase == "stopped"
    assert not identity.is_running(ready.pid, ready.pid_started)


def test_stop_now_does_not_wait_for_the_grace(runs: Runs) -> None:
    directory = runs.launch("--ignore-sigterm", stop_grace_s=3600)
    ready = runs.wait(directory, "ready")
    assert watch.stop_and_wait(ready, now=True).phase == "stopped"


def test_children_of_the_engine_are_gone_too(runs: Runs, tmp_path: Path) -> None:
    child = tmp_path / "child"
    directory = runs.launch("--child", child, stop_grace_s=0.5)
    ready = runs.wait(directory, "ready")
    pid = int(child.read_text())
    assert pid in watch.engines_on_this_rig().pids
    watch.stop_and_wait(ready)
    wait_until(lambda: identity.start_time(pid) is None, "the engine's child is gone")


@pytest.mark.parametrize("phase", ["loading", "ready"])
def test_the_engine_never_outlives_a_killed_supervisor(runs: Runs, tmp_path: Path, phase: str) -> None:
    gate = [] if phase == "ready" else ["--gate", tmp_path / "never"]
    directory = runs.launch("--log", runs.loading_log(), *gate)
    state = runs.wait(directory, phase)
    assert state.supervisor_pid is not None
    os.kill(state.supervisor_pid, signal.SIGKILL)
    wait_until(lambda: not identity.is_running(state.pid, state.pid_started), "the engine died with its supervisor")
    gone = runs.wait(directory, "failed")
    assert gone.failure is not None
    assert "its supervisor is gone" in gone.failure.text
    assert watch.live_runs() == []


def test_what_the_engine_started_does_not_outlive_a_killed_supervisor(runs: Runs, tmp_path: Path) -> None:
    """A child that ignores polite signals and watches nobody, like the core of a vLLM."""
    child = tmp_path / "child"
    directory = runs.launch("--child", child)
    ready = runs.wait(directory, "ready")
    pid = int(child.read_text())
    assert ready.supervisor_pid is not None
    os.kill(ready.supervisor_pid, signal.SIGKILL)
    wait_until(lambda: identity.start_time(pid) is None, "the engine's child is gone")


def test_a_terminal_that_hangs_up_leaves_the_engine_running(runs: Runs, tmp_path: Path) -> None:
    """The launcher is the leader of a terminal's session; when it ends, the kernel sends SIGHUP to that session's foreground group."""
    script = tmp_path / "launcher.py"
    script.write_text(
        "import os, sys, pathlib, time\n"
        "from rigtui.runs import launch\n"
        "from runs.support import Runs\n"
        "directory = Runs(pathlib.Path(sys.argv[1])).launch(port=int(sys.argv[3]))\n"
        "pathlib.Path(sys.argv[2]).write_text(str(directory.path))\n"
        "time.sleep(3600)\n"
    )
    answer = tmp_path / "answer"
    parent, terminal = os.openpty()
    launcher = subprocess.Popen(
        [sys.executable, "-c", ("import fcntl,signal,termios,runpy,sys; sys.path.insert(0, '.'); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
             # Tests may be run by something that ignores it (nohup), which is inherited.
             "signal.signal(signal.SIGHUP, signal.SIG_DFL); "
         "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])"), script, tmp_path, answer, str(first_port() + 300)],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    os.close(terminal)
    try:
        directory = RunDirectory(Path(wait_until(lambda: answer.exists() and answer.read_text(), "the launcher's answer")))
        ready = runs.wait(directory, "ready", measured=True)
    finally:
        os.close(parent)  # the terminal hangs up
    assert launcher.wait(120) == -signal.SIGHUP
    assert identity.is_running(ready.pid, ready.pid_started)
    assert identity.is_running(ready.supervisor_pid, ready.supervisor_started)
    os.kill(ready.supervisor_pid or 0, signal.SIGHUP)
    assert watch.stop_and_wait(ready).phase == "stopped", "it was still there to be asked"


def test_sigterm_to_the_supervisor_stops_the_engine_properly(runs: Runs) -> None:
    directory = runs.launch()
    ready = runs.wait(directory, "ready")
    os.kill(ready.supervisor_pid or 0, signal.SIGTERM)
    assert runs.wait(directory, "stopped").failure is None

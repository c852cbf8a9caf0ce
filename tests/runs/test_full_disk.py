"""A run where nothing more can be written, or an engine writes without end."""

from __future__ import annotations

import errno
import io
import os
import resource
import sys
from pathlib import Path

import pytest

from rigtui import files
from rigtui.runs import identity, launch, watch
from rigtui.runs.keeper import StateKeeper
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.state import RunState
from runs.support import Runs, wait_until


def test_a_line_without_end_does_not_fill_the_memory(runs: Runs) -> None:
    directory = runs.launch("--chatter", str(64 << 20))
    state = runs.wait(directory, "ready")
    peak = next(line for line in Path(f"/proc/{state.supervisor_pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    assert int(peak.split()[1]) < 64 << 10, f"the supervisor's memory: {peak}"
    assert directory.engine_log.stat().st_size > 64 << 20, "all of it is in the log"


def test_a_log_that_can_grow_no_more_is_noted_and_the_engine_goes_on(runs: Runs) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))  # the supervisor inherits it: a write beyond is refused
    try:
        directory = runs.launch("--chatter", str(2 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    state = runs.wait(directory, "ready", measured=True)
    assert any("the engine's log is incomplete: File too large" in note for note in state.notes)


def test_a_full_disk_at_the_start_is_one_clear_sentence(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    start = launch._start_supervisor

    def with_full_log(directory: RunDirectory) -> RunState:
        directory.engine_log.symlink_to("/dev/full")  # answers every write with "no space left on device"
        return start(directory)

    monkeypatch.setattr(launch, "_start_supervisor", with_full_log)
    state = runs.wait(runs.launch(), "failed")
    assert state.failure is not None
    assert state.failure.code == "disk_full"
    assert "No space left on device" in state.failure.text


class FullDisk(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_the_last_state_gets_its_place_on_a_full_disk(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = runs.launch()
    state = watch.stop_and_wait(runs.wait(directory, "ready"))
    reserve = directory.path / ".reserve"
    write = files.os.fsync

    def fsync(descriptor: int) -> None:
        if reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        write(descriptor)

    monkeypatch.setattr(files.os, "fsync", fsync)
    monkeypatch.setattr(sys, "stderr", FullDisk())  # where the supervisor's own words go
    keeper = StateKeeper(directory, state)
    keeper.write()
    failure = keeper.failure()
    assert failure is not None
    assert failure.code == "disk_full"
    keeper.update(now=True, phase="failed", failure=failure)
    last = directory.read_state()
    assert last is not None
    assert last.failure == failure


def test_a_state_that_cannot_be_written_stops_the_engine(runs: Runs) -> None:
    directory = runs.launch()
    ready = runs.wait(directory, "ready", measured=True)
    # Every write goes through a new file in the run's folder, and a folder can take its place no more than a full disk can hold it.
    blocked = directory.path / f".state.json.{os.uname().nodename}.{ready.supervisor_pid}.tmp"
    blocked.mkdir()
    (directory.path / "requests" / "1.json").write_text('{"action": "nonsense"}')  # makes it write
    wait_until(lambda: not identity.is_running(ready.pid, ready.pid_started), "the engine was stopped")
    blocked.rmdir()
    said = wait_until(directory.supervisor_log.read_text, "a sentence in the supervisor's log")
    assert "cannot write" in said

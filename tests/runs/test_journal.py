"""The log of an engine on disk: its bytes unchanged and within bounds, findable by attempt and by time, whoever reads meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigtui.runs import journal, watch
from rigtui.runs.journal import Journal
from rigtui.runs.rundir import RunDirectory
from runs.support import Runs

HEADER = "=== rigtui attempt 1 now engine"


def marks(log: Path, *pairs: tuple[int, int]) -> None:
    journal.times_of(log).write_text("".join(f"{at} {offset}\n" for at, offset in pairs))


def text(log: Path, since: float | None = None) -> str:
    return b"".join(journal.read(log, since)).decode()


def test_a_log_that_is_full_goes_on_in_a_new_file_and_the_one_before_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    log = folder / "engine.log"
    writer = Journal(log, HEADER, most_bytes=1000)
    for number in range(100):
        writer.write(f"line {number:03} {'x' * 40}\n".encode())
    writer.close()
    files = [log, journal.older_of(log)]
    assert all(path.stat().st_size < 1100 for path in files)
    assert sorted(path.name for path in folder.iterdir()) == ["engine.log", "engine.log.1", "engine.times", "engine.times.1"]
    said = text(log).splitlines()
    numbers = [int(line.split()[1]) for line in said if line.startswith("line")]
    assert numbers == list(range(numbers[0], 100)), "the newest, none missing, none twice"
    assert len(numbers) > 18
    assert said[0] == f"{HEADER} (continued)", "which attempt it is stands in every file"


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=30), st.integers(50, 500))
def test_a_follower_gets_every_byte_once_also_when_the_log_is_full_in_between(pieces: list[bytes], most: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        directory = RunDirectory(Path(folder))
        writer, follower = Journal(directory.engine_log, HEADER, most_bytes=most), watch.Follower(directory)
        got, put = b"", b""
        for piece in pieces:
            writer.write(piece)
            put += piece
            while change := follower.poll():
                got += change.log
        writer.close()
    for header in (f"{HEADER} (continued)\n".encode(), f"{HEADER}\n".encode()):
        got = got.replace(header, b"")
    assert got == put


def test_only_what_came_since_in_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("first\nsecond\nthird\n")
    marks(log, (100, 0), (200, 8), (300, 13))  # the second mark lies within a line
    assert text(log) == "first\nsecond\nthird\n"
    assert text(log, 50) == "first\nsecond\nthird\n"
    assert text(log, 150) == "third\n"
    assert text(log, 250) == "third\n"
    assert text(log, 301) == ""


def test_a_clock_that_went_back_hides_nothing_that_came_later(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("a\nb\nc\n")
    marks(log, (1000, 0), (500, 2), (600, 4))
    assert text(log, 550) == "c\n"
    assert text(log, 400) == "a\nb\nc\n"


def test_a_log_without_times_is_shown_whole(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("a\nb\n")
    assert text(log, 10**12) == "a\nb\n"


def logs(*words: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from rigtui.cli.main import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", code, "logs", *words], capture_output=True, text=True, check=False)


def test_the_command_takes_times_and_refuses_what_is_none(runs: Runs) -> None:
    state = watch.stop_and_wait(runs.wait(runs.launch("--log", runs.loading_log()), "ready"))
    everything = logs(state.run).stdout
    assert "load_tensors" in everything
    assert logs(state.run, "--since", "1h").stdout == everything
    assert logs(state.run, "--since", "2999-01-01").stdout == ""
    assert logs(state.run, "--since", "1999-01-01T00:00Z").stdout == everything
    refused = logs(state.run, "--since", "yesterday")
    assert refused.returncode == 2
    assert "'yesterday' is no time; write 10m for ten minutes ago" in refused.stderr


def test_runs_of_two_machines_write_logs_of_their_own(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    first = runs.launch()
    runs.wait(first, "ready")  # its port is taken
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).with_name("faults")), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("RIGTUI_TEST_NODE", "another-node")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("rigtui.runs.identity.node", lambda: "another-node")
        second = runs.launch()
        assert second.path.parent.parent.name == "another-node"
        watch.stop_and_wait(runs.wait(second, "ready"))
    assert first.path.parent.name == second.path.parent.name == "tiny", "by node and model"
    watch.stop_and_wait(runs.wait(first, "ready"))

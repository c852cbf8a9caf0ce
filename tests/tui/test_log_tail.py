"""The end of a growing log: bounded, cleaned, honest about what is left out."""

from __future__ import annotations

from pathlib import Path

from rigtui.engines.llamacpp.loglines import readable
from rigtui.runs.rundir import RunDirectory
from rigtui.tui.log_tail import FIRST_BYTES, MAX_WIDTH, MOST_LINES, LogTail


def tail(folder: Path, data: bytes = b"") -> tuple[LogTail, Path]:
    log = RunDirectory(folder).engine_log
    log.write_bytes(data)
    return LogTail(RunDirectory(folder), readable), log


def add(log: Path, data: bytes) -> None:
    with log.open("ab") as stream:
        stream.write(data)


def test_new_lines_come_once_and_only_when_they_are_whole(tmp_path):
    reader, log = tail(tmp_path, b"one\ntwo\nthr")
    assert reader.read().lines == ("one", "two")
    assert reader.read().lines == ()
    add(log, b"ee\nfour\n")
    assert reader.read().lines == ("three", "four")


def test_control_sequences_and_progress_lines_are_made_plain(tmp_path):
    reader, _ = tail(tmp_path, b"10%\r20%\rdone\n\x1b[31mred\x1b[0m \x1b]0;title\x07end\n\xff\xfe bytes\n")
    assert reader.read().lines == ("done", "red end", "\ufffd\ufffd bytes")


def test_a_flood_keeps_the_newest_lines_and_counts_the_rest(tmp_path):
    reader, log = tail(tmp_path)
    add(log, b"".join(b"line %d\n" % at for at in range(1000)))
    chunk = reader.read()
    assert chunk.lines[-1] == "line 999" and len(chunk.lines) == MOST_LINES
    assert chunk.dropped == 1000 - MOST_LINES


def test_an_old_log_is_read_from_near_its_end(tmp_path):
    reader, _ = tail(tmp_path, b"x" * 99 + b"\n" + b"".join(b"%099d\n" % at for at in range(2 * FIRST_BYTES // 100)))
    chunk = reader.read()
    assert len(chunk.lines) + chunk.dropped <= FIRST_BYTES // 100
    assert all(len(line) == 99 for line in chunk.lines)


def test_a_line_without_end_stays_bounded(tmp_path):
    reader, log = tail(tmp_path)
    for _ in range(5):
        add(log, b"y" * 300_000)
        assert reader.read().lines == ()
    add(log, b"\n")
    (line,) = reader.read().lines
    assert len(line) == MAX_WIDTH


def test_no_log_yet_is_no_line(tmp_path):
    reader = LogTail(RunDirectory(tmp_path), readable)
    assert reader.read().lines == ()

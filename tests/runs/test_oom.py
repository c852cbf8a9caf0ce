"""A SIGKILL that nobody sent for rigtui: the kernel's own counter says whether RAM ran out."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigtui.engines.engine import Failure
from rigtui.runs.oom import OomKills

KILLED = Failure(code="killed", text="the engine was killed (SIGKILL)", line="the last line")


@pytest.mark.parametrize(
    ("before", "after", "code", "words"),
    [
        ("pgfault 7\noom_kill 3\n", "pgfault 9\noom_kill 4\n", "oom_killed", "the system ran out of RAM and killed the engine"),
        ("oom_kill 3\n", "oom_kill 3\n", "killed", "another program killed the engine"),
        ("pgfault 7\n", "pgfault 9\n", "oom_killed", "probably"),
    ],
)
def test_the_counter_decides(before: str, after: str, code: str, words: str, tmp_path: Path) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text(before)
    kills = OomKills(vmstat)
    vmstat.write_text(after)
    failure = kills.explain(KILLED, 9)
    assert (failure.code, failure.line) == (code, KILLED.line)
    assert words in failure.text


def test_other_ends_are_left_as_they_are(tmp_path: Path) -> None:
    kills = OomKills(tmp_path / "not there")
    assert kills.explain(KILLED, None) == KILLED
    assert kills.explain(KILLED, 15) == KILLED

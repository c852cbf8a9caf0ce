"""`make soak`: many runs with faults drawn by chance, every one of which ends ready or in a named failure and leaves nothing behind."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.soak import Soak, draw
from engine.virtual_rig import Card, VirtualRig
from rigtui.runs import ports
from rigtui.runs.state import RunState
from runs.support import Runs, first_port

RUNS = int(os.environ.get("RIGTUI_SOAK_RUNS", "20"))
SEED = int(os.environ.get("RIGTUI_SOAK_SEED", "1"))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    monkeypatch.setattr(ports, "FIRST_PORT", first_port())
    kept = Runs(tmp_path)
    yield kept
    kept.end()


def _story(state: RunState) -> str:
    """Its attempts and its end."""
    changes = "; ".join(attempt.change for attempt in state.attempts if attempt.change)
    return f"{state.attempt}  {changes} {state.failure.text if state.failure else ''}".rstrip()


def test_every_run_ends_ready_or_in_a_named_failure_and_leaves_nothing(
    runs: Runs, virtual_rig: Callable[..., VirtualRig], tmp_path: Path
) -> None:
    rig = virtual_rig([Card(name="A", total_mib=2048, free_mib=1900), Card(name="B", total_mib=2048, free_mib=1900)])
    soak, ends, attempts = Soak(rig, tmp_path, runs.note), Counter[str](), Counter[int]()
    for number in range(RUNS):
        drawn = draw(random.Random(f"{SEED}.{number}"))
        state = soak.run(drawn)
        end = "did not fit" if state is None else state.failure.code if state.failure else "ready" if state.ready_at else "stopped early"
        ends[f"{drawn.fault}: {end}"] += 1
        attempts[0 if state is None else state.attempt] += 1
        print(f"{number:4}  {drawn.fault:16} {end:14} {'' if state is None else _story(state)}", flush=True)
    print(f"{RUNS} runs with seed {SEED}; attempts {dict(sorted(attempts.items()))}")
    for end, count in sorted(ends.items()):
        print(f"  {count:4}  {end}")
    assert sum(ends.values()) == RUNS
    assert any(end.endswith(": ready") for end in ends)

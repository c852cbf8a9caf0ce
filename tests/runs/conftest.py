"""Fixtures of the tests about runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rigtui.runs import ports
from runs.support import Runs, first_port


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    # Workers that look for the next free port at the same time, each with a state of its own, would find the same one.
    monkeypatch.setattr(ports, "FIRST_PORT", first_port())
    kept = Runs(tmp_path)
    yield kept
    kept.end()

"""Fixtures of the tests about runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runs.support import Runs


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    kept = Runs(tmp_path)
    yield kept
    kept.end()

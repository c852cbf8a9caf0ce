"""Remembers which of the first steps were taken: `first_steps.json` beside the runs. Losing it costs a few hints, so no error is raised."""

from __future__ import annotations

import contextlib
import json

from rigtui import files
from rigtui.errors import RigtuiError
from rigtui.paths import state_dir
from rigtui.tui.tips import TIPS

FILE = "first_steps.json"


def read() -> frozenset[str]:
    """The steps that were taken, by id."""
    try:
        taken = json.loads(files.read_text(state_dir() / FILE))
    except (RigtuiError, ValueError, RecursionError):
        return frozenset()
    return frozenset(tip for tip in TIPS if tip in taken) if isinstance(taken, list) else frozenset()


def keep(taken: frozenset[str]) -> None:
    """Remember them."""
    with contextlib.suppress(RigtuiError):
        files.write_atomic(state_dir() / FILE, json.dumps([tip for tip in TIPS if tip in taken]).encode())

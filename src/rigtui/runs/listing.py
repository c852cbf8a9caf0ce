"""Runs as the JSON contract `rigtui.runs/1` has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rigtui.runs.state import RunState

RUNS_SCHEMA = "rigtui.runs/1"


def runs_json(states: Iterable[RunState]) -> dict[str, Any]:
    """`rigtui ps --json`. `failure` is a code, `message` its sentence."""
    return {"schema": RUNS_SCHEMA, "runs": [_run(state) for state in states]}


def _run(state: RunState) -> dict[str, Any]:
    return {
        "run": state.run,
        "profile": state.profile,
        "model": state.model,
        "engine": state.engine,
        "build": state.build,
        "phase": state.phase,
        "progress": state.progress,
        "attempt": state.attempt,
        "attempts": [
            {
                "outcome": attempt.outcome,
                "failure": attempt.failure.code if attempt.failure else None,
                "line": attempt.failure.line if attempt.failure else None,
                "change": attempt.change,
            }
            for attempt in state.attempts
        ],
        "port": state.port,
        "url": state.url,
        "pid": state.pid,
        "context": state.context,
        "started": state.started,
        "failure": state.failure.code if state.failure else None,
        "message": state.failure.text if state.failure else None,
        "simulated": state.simulated,
    }

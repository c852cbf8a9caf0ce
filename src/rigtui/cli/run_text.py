"""What a foreground `rigtui run` says as the run goes on."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from itertools import pairwise

from rigtui.planning.plan import Plan
from rigtui.runs.state import AttemptState, RunState
from rigtui.text import clean, mib

_STEP = 0.1
_QUESTION = "In one sentence: what is a good use for a model that runs at home?"


class Progress:
    """Turns states into lines, each said once."""

    def __init__(self, plan: Plan) -> None:
        self._names = {d.uuid or d.device: f"{d.device} {clean(d.name)}" for d in plan.devices}
        self._shown = -_STEP
        self._attempt = 1
        self._said: set[str] = set()

    def lines(self, state: RunState) -> list[str]:
        """What is new in `state`, for people."""
        lines = []
        for number, (before, after) in enumerate(pairwise(state.attempts), start=2):
            lines += self._once(f"attempt {number}", _next_attempt(number, state.attempts_most, before, after))
        if state.attempt != self._attempt:
            self._attempt, self._shown = state.attempt, -_STEP
        if state.phase == "loading" and state.progress is not None and state.progress >= self._shown + _STEP:
            self._shown = state.progress
            lines.append(f"loading {state.progress:.0%}")
        if state.ready_at is not None:
            lines += self._once(f"ready {state.attempt}", ready_lines(state, self._names))
            if not state.measuring and state.measured is not None:
                lines += self._once(f"measured {state.attempt}", measured_lines(state, self._names))
        for text in state.notes:
            lines += self._once(text, [f"note: {clean(text)}"])
        return lines

    def _once(self, key: str, lines: list[str]) -> list[str]:
        if key in self._said:
            return []
        self._said.add(key)
        return lines


def _next_attempt(number: int, most: int, before: AttemptState, after: AttemptState) -> list[str]:
    """Why the attempt before ended, and what is different now."""
    failure = before.failure
    said = [f"attempt {number - 1} failed: {clean(failure.text)}"] if failure is not None else []
    said += [f"  the engine said: {clean(failure.line)}"] if failure is not None and failure.line else []
    return [*said, f"attempt {number} of {most}: {clean(after.change or 'the next step')}"]


def ready_lines(state: RunState, names: Mapping[str, str]) -> list[str]:
    """Where it answers, and a command to copy."""
    body = json.dumps({"model": state.model_id, "messages": [{"role": "user", "content": _QUESTION}]}, ensure_ascii=False)
    url = f"{state.url}/v1"
    # The engine's own log knows nothing of what its process takes besides.
    planned = {card: size - state.runtime_bytes.get(card, 0) for card, size in state.planned_bytes.items()}
    held = _beside_the_plan(state.logged_bytes, planned, names)
    return [
        *([f"buffers: {held}"] if held else []),
        f"ready: base URL {url}, model {clean(state.model_id)}",
        f"  curl {url}/chat/completions -H 'Content-Type: application/json' -d {shlex.quote(body)}",
    ]


def measured_lines(state: RunState, names: Mapping[str, str]) -> list[str]:
    """What the run's own measurement gave."""
    measured = state.measured
    if measured is None:
        return []
    parts = [
        (measured.decode_tok_s, "decode {:,.1f} tok/s"),
        (measured.prefill_tok_s, "prefill {:,.0f} tok/s"),
        (measured.ttft_s, "first token after {:.2f} s"),
        (measured.load_s, "loaded in {:.1f} s"),
    ]
    speeds = ", ".join(text.format(value) for value, text in parts if value is not None)
    peaks = _beside_the_plan(measured.peak_bytes, state.planned_bytes, names)
    return [*([f"measured: {speeds}"] if speeds else []), *([f"peak VRAM: {peaks}"] if peaks else [])]


def _beside_the_plan(held: Mapping[str, int], planned: Mapping[str, int], names: Mapping[str, str]) -> str:
    """What each card holds, of what was planned for it."""
    return ", ".join(
        f"{names.get(card, card)} {mib(size)}" + (f" of {mib(planned[card])} planned" if card in planned else "")
        for card, size in held.items()
    )

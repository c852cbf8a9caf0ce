"""Runs made by hand, and what they say: their logs, how they work, their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rigtui.engines.engine import Failure
from rigtui.engines.live import Live
from rigtui.runs.state import AttemptState, Measured, RunState
from rigtui.tui.services import LineChunk, LogChunk, LogLine, Speed
from tui.fakes.models import MODELS


def run_state(run: str = "4f1c", phase: str = "ready", **more: Any) -> RunState:
    """A run of the first model."""
    values: dict[str, Any] = {
        "run": run,
        "node": "here",
        "boot_id": "b",
        "host": "127.0.0.1",
        "port": 8080,
        "url": "http://127.0.0.1:8080",
        "model": MODELS[0].name,
        "model_id": "qwen3-coder-30b",
        "model_path": MODELS[0].path,
        "engine": "llama.cpp",
        "build": "b6500",
        "context": 65536,
        "started": "2026-03-01T19:20:21Z",
        "heartbeat": 0.0,
        "phase": phase,
    }
    if phase == "ready":
        values["measured"] = Measured(load_s=7.4, ttft_s=0.21, prefill_tok_s=1204.0, decode_tok_s=38.2)
    if phase == "loading":
        values["progress"] = 0.42
    if phase == "failed":
        failure = Failure(
            code="out_of_vram",
            text="GPU 1 ran out of memory while the KV cache was made: 372 MiB were missing",
            line="ggml_backend_cuda_buffer_type_alloc_buffer: cudaMalloc failed: out of memory",
        )
        values.update(failure=failure, attempts=(AttemptState(outcome="failed", failure=failure),))
    return RunState(**(values | more))


class FakeLog:
    """A log that has lines once."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        self._lines = lines

    def read(self) -> LogChunk:
        lines, self._lines = self._lines, ()
        return LogChunk(lines)


class FakeLines:
    """A log that gives what was added since."""

    def __init__(self, lines: list[LogLine]) -> None:
        self._lines, self._given = lines, 0

    def read_lines(self) -> LineChunk:
        new, self._given = tuple(self._lines[self._given :]), len(self._lines)
        return LineChunk(new)


class FakeLive:
    """How an engine works, as the world says."""

    def __init__(self, read: Callable[[], Live | None]) -> None:
        self.read = read


class FakeAnswer:
    """An answer in three pieces."""

    speed = Speed(first_s=0.21, tokens=43, tok_s=38.2)

    def __iter__(self) -> Iterator[str]:
        yield from ("A home ", "assistant that ", "never phones home.")

    def close(self) -> None:
        """Nothing to stop."""

"""vLLM's log taken apart: which of its processes said it, how serious it is, and what.

vLLM 0.33, logger.py: `(PROCESS pid=N) LEVEL MM-DD HH:MM:SS [file.py:line] text`; up to 0.9 without the process, or as
`(VllmWorker rank=0 pid=85)`. Tracebacks repeat the head on every line, or (uncaught exceptions, uvicorn, progress bars) have none.
"""

from __future__ import annotations

import re

from msgspec import Struct

from rigtui.text import clean

MAX_LINE = 1 << 14
_HEAD = re.compile(
    r"(?:\((?P<process>[A-Za-z][\w-]{0,60})(?: rank=(?P<rank>\d{1,4}))? pid=\d{1,10}\) ?)?"
    r"(?:(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d{1,6})? \[[^\]]{1,200}\] ?"
    r"|(?P<uvicorn>INFO|WARNING|ERROR|CRITICAL): {1,10})?",
    re.ASCII,
)
_LEVELS = {"DEBUG": "debug", "INFO": "info", "WARNING": "warn", "ERROR": "error", "CRITICAL": "error"}
_WORKER = re.compile(r"(?:Vllm)?Worker(?:Process)?")
_RANKS = re.compile(r"(?P<group>PP|TP)(?P<rank>\d{1,4})", re.ASCII)
_NUMBER = re.compile(r"-(?P<rank>\d{1,4})", re.ASCII)


class Message(Struct, frozen=True, kw_only=True):
    """One line of output."""

    process: str | None
    """`APIServer`, `EngineCore`, `Worker_PP1_TP0`; None where the log does not say."""
    level: str | None
    """`INFO`, `ERROR`, …; None for what is not logged but printed."""
    text: str
    line: str
    """The cleaned text without its head, to show."""


def message(line: str) -> Message:
    """The parts of one line of output, at most 16 KiB of it. Never raises."""
    line = clean(line[:MAX_LINE])
    head = _HEAD.match(line)
    assert head is not None  # everything in it is optional
    process, text = head["process"], line[head.end() :]
    if process is not None and head["rank"] is not None:
        process = f"{process}-{head['rank']}"
    return Message(process=process, level=head["level"] or head["uvicorn"], text=text, line=text.strip())


def readable(line: str) -> list[tuple[str | None, str]]:
    """One line of output as people read it, with its level where the line says one."""
    text = clean(line[:MAX_LINE])
    return [(_LEVELS.get(message(line).level or ""), text)]


def rank_of(process: str | None, tensor_parallel: int) -> int | None:
    """The global rank of a worker by its name, which is also the place of its card among the visible ones; None: not a worker.

    vLLM 0.33, config/model.py:1715: ranks are laid out DP x PP x TP. With one card the engine core is the worker.
    """
    if process is None:
        return None
    if process.startswith("EngineCore"):
        return 0
    if not _WORKER.match(process):
        return None
    if number := _NUMBER.search(process):
        return int(number["rank"])
    groups = {found["group"]: int(found["rank"]) for found in _RANKS.finditer(process)}
    return groups.get("PP", 0) * tensor_parallel + groups.get("TP", 0)

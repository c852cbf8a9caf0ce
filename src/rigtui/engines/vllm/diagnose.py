"""Why a vLLM ended: one stable code, one sentence, and the line of its log that shows it. Pure.

The root cause is the first error of a worker or the engine core; what the API server says last ("Engine core initialization failed. See
root cause above") only follows from it. After a start-up failure vLLM exits with 1, after a death while serving with 0 (0.32).
"""

from __future__ import annotations

import re
import signal as signals
from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.endings import STOPPED_FROM_OUTSIDE, ended_by, known_cause, status_of
from rigtui.engines.engine import Event, Failure
from rigtui.engines.vllm.causes import CAUSES
from rigtui.engines.vllm.loglines import message, rank_of
from rigtui.engines.vllm.memory_errors import Said, memory_failure
from rigtui.text import clean

_MAX_TEXT = 2048
# What follows from the error that counts.
_FOLLOWS = re.compile(
    r"Engine core initialization failed|WorkerProc initialization failed|WorkerProc (?:failed to start|hit an exception)"
    r"|EngineCore (?:failed to start|encountered a fatal error)|EngineDeadError|Executor failed|output_handler failed"
    r"|^KeyError: 'cmpl-|CancelledError|^\s*(?:subprocess|concurrent)\.|Process EngineCore"
)
_EXCEPTION = re.compile(r"(?:[A-Za-z_]\w{0,60}\.){0,8}[A-Za-z_]\w{0,60}(?:Error|Exception|Interrupt)(?:: |$)")
# v1/executor/multiproc_executor.py; the exit code of a process that was just killed may not be known yet.
_WORKER_DIED = re.compile(r"Worker proc (?P<worker>[\w-]{1,60}) died unexpectedly(?: \(exit code: (?P<code>-?\d{1,4}|None)\))?", re.ASCII)
_MARKS = re.compile(r"[\s~^]*$")
_FRAME = re.compile(r"\s*File \"[^\"]{1,300}\", line \d{1,7}, in (?P<function>[\w<>.]{1,120})", re.ASCII)


def diagnose(events: Iterable[Event], tail_lines: Sequence[str], exit_code: int | None, signal: int | None, asked_to_stop: bool) -> Failure:
    """Why the engine ended.

    `events` and `tail_lines` are what it said (all events, the last lines of its output, raw or cleaned), `exit_code` or
    `signal` how it ended (the other is None), `asked_to_stop` whether rigtui had asked it to.
    """
    exit_code, signal = status_of(exit_code, signal)
    if asked_to_stop and (exit_code == 0 or signal in STOPPED_FROM_OUTSIDE):
        return Failure(code="exited", text="the engine stopped when it was asked to")
    events = list(events)
    said = _errors(events, tail_lines)
    if signal not in {signals.SIGKILL, signals.SIGTERM, signals.SIGINT}:
        cpu = any(event.device == "CPU" for event in events)
        failure = memory_failure(said, cpu=cpu) or _worker_died(said, cpu=cpu) or known_cause(CAUSES, said)
        if failure is not None:
            return failure
    root = _root(said)
    line = root.shown if root else None
    if signal is not None:
        return ended_by(signal, line, asked_to_stop=asked_to_stop)
    shown = f": {line}" if line else ""
    if exit_code == 0:
        # Its API server ends in good order when the engine behind it has died.
        return Failure(code="crash", text=f"the engine stopped serving though nobody asked it to{shown}", line=line)
    return Failure(code="exited", text=f"the engine ended with exit status {exit_code}{shown}", line=line)


class _Traceback(Struct):
    """What the traceback of one process has come to."""

    functions: tuple[str, ...] = ()
    source: str = ""
    """The last line of code in it."""


def _errors(events: Iterable[Event], tail_lines: Sequence[str]) -> list[Said]:
    """Every error, oldest first; those that are only in the events are older than the tail."""
    late: list[Said] = []
    tracebacks: dict[str | None, _Traceback] = {}
    for raw in tail_lines:
        one = message(raw[:_MAX_TEXT])
        if one.level in {"DEBUG", "INFO", "WARNING"} or not one.text.strip():
            continue
        traceback = tracebacks.setdefault(one.process, _Traceback())
        if one.text.startswith("Traceback (most recent call last)"):
            tracebacks[one.process] = _Traceback()
        elif frame := _FRAME.match(one.text):
            traceback.functions = (*traceback.functions[-40:], frame["function"])
        elif one.text.startswith("    ") and not _MARKS.match(one.text):
            traceback.source = one.text.strip()
        else:
            logged = one.level is not None
            late.append(Said(text=one.text, line=one.line, logged=logged, functions=traceback.functions, source=traceback.source))
    devices: dict[str, str | None] = {}
    early = []
    for event in events:
        if event.kind == "error" and event.text is not None:
            text = clean(event.text)[:_MAX_TEXT]
            devices.setdefault(text, event.device)
            early.append(Said(text=text, line=clean(event.line or text)[:_MAX_TEXT], device=event.device))
    known = {one.text for one in late}
    late = [replace(one, device=devices.get(one.text)) for one in late]
    return [one for one in early if one.text not in known] + late


def _root(said: Sequence[Said]) -> Said | None:
    """The first exception that does not follow from another one, else the first error."""
    telling = [one for one in said if not _FOLLOWS.search(one.text)]
    errors = [one for one in telling if _EXCEPTION.match(one.text)] or [one for one in telling if one.logged]
    return errors[0] if errors else None


def _worker_died(said: Sequence[Said], *, cpu: bool) -> Failure | None:
    """A worker that is gone without a word of its own."""
    for one in said:
        found = _WORKER_DIED.search(one.text)
        if found is None:
            continue
        code = found["code"]
        if code is not None and code != "None" and int(code) >= 0:
            return None  # it ended by itself: its own error says why
        rank = rank_of(found["worker"], 1)
        device = "CPU" if cpu else None if rank is None else f"CUDA{rank}"
        where = "a worker" if cpu or device is None else f"the worker of {device}"
        number = -int(code) if code not in (None, "None") else None
        if number is not None and number != signals.SIGKILL:
            return replace(ended_by(number, one.line, asked_to_stop=False), text=f"{where} was ended by signal {number}", device=device)
        text = (
            f"{where} was killed from outside: probably the system ran out of memory; look at dmesg, and choose a smaller context or model"
        )
        return Failure(code="killed", text=text, line=one.line, device=device)
    return None

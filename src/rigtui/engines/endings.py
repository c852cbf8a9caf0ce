"""How an engine's process ended and what a line of its log means: the same for every engine. Pure."""

from __future__ import annotations

import re
import signal as signals
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from rigtui.engines.engine import Failure

STOPPED_FROM_OUTSIDE = frozenset({signals.SIGTERM, signals.SIGINT, signals.SIGHUP, signals.SIGQUIT})


class Cause(NamedTuple):
    """A line in which `pattern` is found means `code`; `{x}` in the sentence is what the pattern's first group found."""

    code: str
    pattern: re.Pattern[str]
    sentence: str


class Said(Protocol):
    """A line of the log."""

    @property
    def text(self) -> str:
        """To search."""

    @property
    def line(self) -> str:
        """To show."""


def cause(code: str, pattern: str, sentence: str) -> Cause:
    """A cause whose pattern is given as text."""
    return Cause(code, re.compile(pattern), sentence)


def known_cause(causes: Iterable[Cause], said: Sequence[Said]) -> Failure | None:
    """What the first of `causes` that is found in any line says, or None."""
    for each in causes:
        for message in said:
            if match := each.pattern.search(message.text):
                groups = {name: value for name, value in match.groupdict().items() if value}
                found = next(iter(groups.values()), "")
                return Failure(code=each.code, text=each.sentence.format_map({"x": found} | groups), line=message.line)
    return None


def status_of(exit_code: int | None, signal: int | None) -> tuple[int | None, int | None]:
    """Exit code or signal, one of them None: a shell or a wrapper between says 128 + the signal."""
    return (None, exit_code - 128) if exit_code is not None and 128 < exit_code < 160 else (exit_code, signal)


def ended_by(signal: int, last: str | None, *, asked_to_stop: bool) -> Failure:
    """What a signal means when the log gives no reason; `last` is the last error in it."""
    try:
        name = signals.Signals(signal).name
    except ValueError:
        name = f"signal {signal}"
    if asked_to_stop:
        return Failure(code="killed", text=f"the engine was ended by {name} while it was stopping", line=last)
    if signal == signals.SIGKILL:
        text = (
            "the engine was killed (SIGKILL): probably the system ran out of memory; look at dmesg, and choose a smaller context or model"
        )
        return Failure(code="killed", text=text, line=last)
    if signal in STOPPED_FROM_OUTSIDE:
        return Failure(code="killed", text=f"another program ended the engine ({name})", line=last)
    return Failure(code="crash", text=f"the engine crashed ({name})" + (f": {last}" if last else ""), line=last)

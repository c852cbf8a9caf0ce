"""`rigtui logs`: what a run's engine said."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from datetime import time as datetime_time
from functools import partial
from pathlib import Path

from rigtui.engines.rooms import room
from rigtui.errors import EXIT_DONE, RigtuiError
from rigtui.runs import journal
from rigtui.runs.watch import directory_of, find_run, follow

_CHUNK = 1 << 20
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("name", metavar="RUN", help="the beginning of a run's id, or its profile or model")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as the engine speaks, until it ends")
    parser.add_argument("--attempt", type=int, metavar="N", help="only the N-th attempt")
    parser.add_argument("--since", type=_moment, metavar="T", help="only what came since: 90s, 10m, 2h, 1d ago, or a time such as 09:30")
    parser.add_argument("--raw", action="store_true", help="the very bytes, control sequences included")


def _moment(text: str) -> float:
    """Seconds since the epoch of a time ago, a time of today, or a date and time (ISO 8601; without a zone this machine's)."""
    if (ago := re.fullmatch(r"(\d{1,9})([smhd])", text)) is not None:
        return time.time() - int(ago[1]) * _UNITS[ago[2]]
    try:
        if re.fullmatch(r"\d{1,2}:\d\d(:\d\d)?", text):
            return datetime.combine(datetime.now().astimezone().date(), datetime_time.fromisoformat(text.rjust(5, "0"))).timestamp()
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no time; write 10m for ten minutes ago, 09:30, or 2026-03-01T19:20") from None


def run(args: argparse.Namespace) -> int:
    """Print the log."""
    state = find_run(args.name)
    directory = directory_of(state)
    log = directory.engine_log
    show = _raw if args.raw else partial(_cleaned, room(state.engine).readable)
    chunks = (change.log for change in follow(directory, log_offset=_offset(log, args.since))) if args.follow else _read(log, args.since)
    lines = _lines(chunks)
    shown = 0
    for line in lines if args.attempt is None else _of_attempt(lines, args.attempt):
        show(line)
        shown += 1
        if args.follow:
            sys.stdout.flush()
    if args.attempt is not None and not shown:
        raise RigtuiError(f"the run {args.name} has no attempt {args.attempt}")
    return EXIT_DONE


def _offset(log: Path, since: float | None) -> int:
    try:
        return journal.offset_since(log, since)
    except OSError:
        return 0


def _read(log: Path, since: float | None) -> Iterator[bytes]:
    try:
        yield from journal.read(log, since)
    except OSError as error:
        raise RigtuiError(f"cannot read {log}: {error.strerror or error}") from error


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines with their ends; a line that is longer than a chunk comes in pieces."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
        if len(rest) > _CHUNK:
            yield rest
            rest = b""
    if rest:
        yield rest


def _of_attempt(lines: Iterator[bytes], number: int) -> Iterator[bytes]:
    wanted = False
    for line in lines:
        if (header := journal.HEADER.match(line)) is not None:
            wanted = int(header[1]) == number
        if wanted:
            yield line


def _raw(line: bytes) -> None:
    sys.stdout.buffer.write(line)


def _cleaned(readable: Callable[[str], list[tuple[str | None, str]]], line: bytes) -> None:
    for _, text in readable(line.decode("utf-8", errors="replace")):
        print(text)

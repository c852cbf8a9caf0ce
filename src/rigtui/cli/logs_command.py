"""`rigtui logs`: what a run's engine said."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from rigtui.engines.llamacpp.loglines import readable
from rigtui.errors import EXIT_DONE, RigtuiError
from rigtui.runs.watch import directory_of, find_run, follow

_HEADER = re.compile(rb"=== rigtui attempt (\d+) ")
_CHUNK = 1 << 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("name", metavar="RUN", help="the beginning of a run's id, or its profile or model")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as the engine speaks, until it ends")
    parser.add_argument("--attempt", type=int, metavar="N", help="only the N-th attempt")
    parser.add_argument("--raw", action="store_true", help="the very bytes, control sequences included")


def run(args: argparse.Namespace) -> int:
    """Print the log."""
    directory = directory_of(find_run(args.name))
    show = _raw if args.raw else _cleaned
    chunks = (change.log for change in follow(directory)) if args.follow else _read(directory.engine_log)
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


def _read(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
    except FileNotFoundError:
        return
    except OSError as error:
        raise RigtuiError(f"cannot read {path}: {error.strerror or error}") from error


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
        if (header := _HEADER.match(line)) is not None:
            wanted = int(header[1]) == number
        if wanted:
            yield line


def _raw(line: bytes) -> None:
    sys.stdout.buffer.write(line)


def _cleaned(line: bytes) -> None:
    for _, text in readable(line.decode("utf-8", errors="replace")):
        print(text)

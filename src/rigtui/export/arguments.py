"""llama-server arguments taken apart, whichever way they are spelled (llama.cpp 0.5.0-dev, common/arg.cpp). The last one wins, as there."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rigtui.engines.llamacpp.arguments import OPTIONS

EMBEDDED = "rigtui.engines.llamacpp.embedded"

ALIASES: dict[str, tuple[str, ...]] = {
    **OPTIONS,
    "host": ("--host",),
    "port": ("--port",),
    "alias": ("-a", "--alias"),
    "verbosity": ("-lv", "--verbosity", "--log-verbosity"),
    "load_mode": ("-lm", "--load-mode"),
}
"""Those that decide memory, and those that rigtui adds to launch and watch an engine."""

BARE = frozenset({"--log-jsonl", "--metrics", "--no-mmap"})
"""Options without a value that rigtui adds for its own sake: to watch the engine, or to read the file without a race."""


_FLAG = re.compile(r"--?[A-Za-z]")


def after_program(command: Iterable[str]) -> list[str]:
    """The arguments of a command: what follows the program, or `python -m <the embedded engine>`."""
    words = list(command)
    return words[3:] if words[1:3] == ["-m", EMBEDDED] else words[1:]


def take(args: list[str], name: str) -> tuple[str | None, list[str]]:
    """The value of the option `name` (a key of ALIASES), None when it is not given, and the arguments without it."""
    value, rest, at = None, [], 0
    while at < len(args):
        if args[at] in ALIASES[name] and at + 1 < len(args) and not _FLAG.match(args[at + 1]):
            value = args[at + 1]
            at += 2
        else:
            rest.append(args[at])
            at += 1
    return value, rest

"""What the system knows of a process beyond its name: whose it is, since when it runs, and the file it was told to load."""

from __future__ import annotations

from itertools import pairwise

from msgspec import Struct


class ProcessFacts(Struct, frozen=True, kw_only=True):
    """One process; what cannot be read is None."""

    user: str | None = None
    mine: bool | None = None
    """It belongs to the user who asks."""
    started: float | None = None
    """Seconds since the epoch."""
    model_file: str | None = None
    """The file after `--model`, of Ollama's runners only: other command lines may hold secrets and are not read."""


def process_facts(pid: int) -> ProcessFacts:
    """The facts of `pid`; those of a process that is gone, or in another container, are all None."""
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            name, started = process.name(), process.create_time()
    except (psutil.Error, OSError, ValueError, OverflowError):
        return ProcessFacts()
    try:
        user: str | None = process.username()
        mine: bool | None = process.uids().real == psutil.Process().uids().real
    except (psutil.Error, OSError, KeyError):
        user, mine = None, None
    return ProcessFacts(user=user, mine=mine, started=started, model_file=_model_file(process) if name.startswith("ollama") else None)


def _model_file(process: object) -> str | None:
    import psutil

    assert isinstance(process, psutil.Process)
    try:
        words = process.cmdline()
    except (psutil.Error, OSError):
        return None
    return next((after for word, after in pairwise(words) if word == "--model"), None)

"""Which machine this is, and whether a process is still the one that was meant (Linux `/proc`)."""

from __future__ import annotations

import os
import re
from pathlib import Path

_PROC = Path("/proc")


def node() -> str:
    """This machine's name, fit for a folder."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", os.uname().nodename).strip(".-")
    return name or "localhost"


def boot_id() -> str:
    """Differs after every start of the machine; empty where the kernel does not say."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _stat(pid: int) -> list[str] | None:
    # proc(5): the name in brackets may hold spaces and brackets, so the fields are counted from the last one.
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when there is none, or only its remains (a zombie)."""
    fields = _stat(pid)
    if fields is None or len(fields) < 20 or fields[0] in "ZX":
        return None
    return int(fields[19])


def is_running(pid: int | None, started: int | None) -> bool:
    """Whether the process of this pid and start time (same boot) still runs; a pid that was given to another one is not it."""
    return pid is not None and started is not None and start_time(pid) == started


def with_children(pids: set[int]) -> set[int]:
    """`pids` and all their descendants."""
    parents: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) and len(fields) > 1:
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(parents.get(pid, ()))
    return found

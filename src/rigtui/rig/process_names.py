"""What a person calls a process: its program, and for an interpreter the script it runs."""

from __future__ import annotations

import re
from pathlib import PurePath

from rigtui.text import clean

_INTERPRETER = re.compile(r"(python|pypy|node|ruby|perl)[\d.]*$")
_LONGEST = 60


def describe(name: str, command: list[str]) -> str:
    """`name`, with the script or module after an interpreter's: `python3 ComfyUI/main.py`, `python3 -m vllm`.

    Nothing else of the command line is shown: arguments may hold secrets.
    """
    if _INTERPRETER.match(name):
        words = iter(command[1:])
        for word in words:
            if word == "-m":
                name = f"{name} -m {next(words, '')}"
                break
            if not word.startswith("-"):
                name = f"{name} {'/'.join(PurePath(word).parts[-2:])}"
                break
            if word == "-c":
                break
    return clean(name)[:_LONGEST].strip()


class ProcessNames:
    """Names of processes by pid, each looked up once while it lives in the list."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def name(self, pid: int) -> str:
        """The name of `pid`; `process <pid>` when it cannot be read (gone, or in another container)."""
        known = self._names.get(pid)
        if known is None:
            known = self._names[pid] = _look_up(pid) or f"process {pid}"
        return known

    def keep_only(self, pids: set[int]) -> None:
        """Forget all others: a pid can come back as another program."""
        self._names = {pid: name for pid, name in self._names.items() if pid in pids}


def _look_up(pid: int) -> str:
    import psutil

    try:
        process = psutil.Process(pid)
        name = process.name()
        return describe(name, process.cmdline() if _INTERPRETER.match(name) else [])
    except (psutil.Error, OSError, ValueError, OverflowError):
        return ""

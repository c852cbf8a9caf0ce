"""The machine around the cards: platform, RAM and CPU."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from rigtui.rig.rig import Platform
from rigtui.text import clean

T = TypeVar("T")

ROOT = Path("/")
_WSL_LIBRARIES = "usr/lib/wsl/lib"


class Host(Struct, frozen=True, kw_only=True):
    """RAM, CPU and platform at one moment. What is unknown is None."""

    name: str
    platform: Platform
    ram_total_bytes: int | None = None
    ram_free_bytes: int | None = None
    """What programs can still take without swapping (the kernel's MemAvailable)."""
    cpu_name: str | None = None
    cpu_cores: int | None = None
    """Physical cores."""
    cpu_percent: float | None = None
    """Busy share of all cores since the reading before; None at the first reading."""


def recognise_platform(system: str, release: str, root: Path = ROOT) -> Platform:
    """The platform, from `sys.platform`, the kernel's release string and what lies under `root`.

    WSL 2 kernels call themselves `…-microsoft-standard-WSL2`; a kernel the user built himself may not, but Windows still
    mounts its driver libraries at /usr/lib/wsl/lib and its GPU as /dev/dxg.
    """
    if system == "darwin":
        return "macos"
    if system.startswith("win"):
        return "windows"
    if re.search("microsoft|wsl", release, re.IGNORECASE):
        return "wsl2"
    return "wsl2" if (root / _WSL_LIBRARIES).is_dir() and (root / "dev/dxg").exists() else "linux"


def this_platform(root: Path = ROOT) -> Platform:
    """The platform rigtui runs on."""
    return recognise_platform(sys.platform, os.uname().release if hasattr(os, "uname") else "", root)


class HostReader:
    """Reads the host again and again; what does not change is read once."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._platform = this_platform(root)
        self._name = clean(os.uname().nodename) if hasattr(os, "uname") else "localhost"
        self._cpu_name = _cpu_name(root)
        self._cores: int | None = None
        self._read_before = False

    @property
    def platform(self) -> Platform:
        """Known before the first reading."""
        return self._platform

    def read(self) -> Host:
        """The host now. What psutil cannot tell here is None."""
        import psutil

        memory = _or_none(psutil.virtual_memory)
        percent = _or_none(psutil.cpu_percent)
        if not self._read_before:
            self._cores = _or_none(lambda: psutil.cpu_count(logical=False))
            percent = None  # psutil compares with the call before; the first has none and says 0
            self._read_before = True
        return Host(
            name=self._name or "localhost",
            platform=self._platform,
            ram_total_bytes=memory.total if memory else None,
            ram_free_bytes=memory.available if memory else None,
            cpu_name=self._cpu_name,
            cpu_cores=self._cores,
            cpu_percent=percent,
        )


def _cpu_name(root: Path) -> str | None:
    found = re.search(r"^model name\s*:\s*(.+)$", read_text(root / "proc/cpuinfo"), re.MULTILINE)
    return clean(found.group(1)).strip() or None if found else None


def read_text(path: Path) -> str:
    """The first 64 KiB of one of the kernel's text files; empty when it is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(1 << 16).strip()
    except OSError:
        return ""


def _or_none(query: Callable[[], T]) -> T | None:
    """What `query` says; None where this kernel, container or permission does not let it."""
    try:
        return query()
    except (OSError, RuntimeError, ValueError, KeyError, NotImplementedError):
        return None

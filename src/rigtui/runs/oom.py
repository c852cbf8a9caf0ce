"""Whether the kernel's OOM killer ended a process, from the counters it keeps.

`oom_kill` in /proc/vmstat (Linux 4.13) counts every process that was killed on this machine, also by the limit of a cgroup; no privilege is
needed, other than for the kernel's log.
"""

from __future__ import annotations

import signal
from pathlib import Path

from msgspec.structs import replace

from rigtui.engines.engine import Failure

_VMSTAT = Path("/proc/vmstat")


class OomKills:
    """The counter now, to be compared at the end."""

    def __init__(self, vmstat: Path = _VMSTAT) -> None:
        self._vmstat = vmstat
        self._before = self._count()

    def _count(self) -> int | None:
        try:
            lines = self._vmstat.read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)

    def explain(self, failure: Failure, ended_by: int | None) -> Failure:
        """`failure` of an engine that the signal `ended_by` ended, with what the counter says of a SIGKILL that nobody sent for rigtui."""
        if ended_by != signal.SIGKILL:
            return failure
        now = self._count()
        if self._before is None or now is None:
            text = "the engine was killed (SIGKILL): probably the system ran out of RAM; choose a smaller context or model"
            return replace(failure, code="oom_killed", text=text)
        if now > self._before:
            text = "the system ran out of RAM and killed the engine; choose a smaller context or model, or free memory"
            return replace(failure, code="oom_killed", text=text)
        return replace(failure, code="killed", text="another program killed the engine (SIGKILL); the system did not run out of RAM")

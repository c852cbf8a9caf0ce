"""The engine as a process: started in a group of its own, tied to its supervisor's life, its output kept and read."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from rigtui import exec_engine
from rigtui.runs import identity
from rigtui.runs.journal import Journal

MAX_LINE_BYTES = 1 << 16
TAIL_LINES = 400
_CHUNK = 1 << 16


class LogPump(threading.Thread):
    """Copies the engine's output to the log, byte by byte, and hands on each line (at most 64 KiB of it).

    It never stops reading before the end, whatever happens to the log: an engine with a full pipe would hang.
    """

    def __init__(self, source: IO[bytes], log: Journal, on_line: Callable[[str], None]) -> None:
        super().__init__(name="log-pump", daemon=True)
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.log_problem: str | None = None
        """Why the log is incomplete, or None."""
        self.line_problem: str | None = None
        """Why some lines were not understood, or None."""
        self.taken = 0
        """Bytes read so far."""
        self._source = source
        self._log = log
        self._on_line = on_line

    def run(self) -> None:
        """Read until the engine and its children have closed their output."""
        rest = b""
        while chunk := os.read(self._source.fileno(), _CHUNK):
            self.taken += len(chunk)
            self._keep(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._hand_on(line)
            rest = rest[:MAX_LINE_BYTES]
        if rest:
            self._hand_on(rest)

    def _keep(self, chunk: bytes) -> None:
        if self.log_problem is not None:
            return
        try:
            self._log.write(chunk)
        except OSError as error:
            self.log_problem = f"the engine's log is incomplete: {error.strerror or error}"

    def _hand_on(self, line: bytes) -> None:
        text = line[:MAX_LINE_BYTES].decode("utf-8", errors="replace")
        self.tail.append(text)
        try:
            self._on_line(text)
        except Exception as error:  # noqa: BLE001 a line nobody expected must not stop the reading
            self.line_problem = f"a line of the engine's log could not be understood: {error!r}"


class EngineProcess:
    """A running engine. Create it from the main thread: the engine dies with the *thread* that started it (prctl(2))."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], journal: Journal, on_line: Callable[[str], None]) -> None:
        """`env`: all of its environment. `journal` is closed when the engine has ended, or could not be started."""
        self._log = journal
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", exec_engine.__file__, str(os.getpid()), *argv],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        except OSError:
            self._log.close()
            raise
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self.started = identity.start_time(self.pid)
        self.pump = LogPump(self._process.stdout, self._log, on_line)
        self.pump.start()

    def poll(self) -> int | None:
        """The exit code (negative: the signal that ended it), or None while it runs."""
        if self._process.returncode is not None:
            return self._process.returncode
        # Left unreaped until `finish`: as long as the leader is there, its pid and group cannot become another process's.
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the engine and whatever it started."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def finish(self) -> None:
        """Kill what is left of the group, read what was still said, close the log."""
        self.signal(signal.SIGKILL)
        self._process.wait()
        self.pump.join(5)
        if not self.pump.is_alive():
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._log.close()

    def read_bytes(self) -> int | None:
        """Bytes it has read so far, from files or through the page cache; None when the kernel does not say.

        proc(5), /proc/<pid>/io: `rchar` counts read calls, `read_bytes` what came from the disk (also for mapped files).
        """
        try:
            text = Path(f"/proc/{self.pid}/io").read_text()
        except OSError:
            return None
        values = dict(line.split(": ") for line in text.splitlines() if ": " in line)
        return max(int(values.get("rchar", 0)), int(values.get("read_bytes", 0)))

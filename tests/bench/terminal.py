"""A program in a terminal of its own: what it writes is counted and drawn, keys are sent to it, its CPU time and memory are read."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.vt import Screen

DEADLINE_S = 120.0
TICKS = os.sysconf("SC_CLK_TCK")


class Terminal:
    """`command` on a pseudo terminal of `width` x `height` cells."""

    def __init__(self, command: list[str], env: dict[str, str], width: int = 120, height: int = 40) -> None:
        self.started = time.monotonic()
        self.bytes = 0
        self.first_byte: float | None = None
        self._screen = Screen(width, height)
        self._lock = threading.Condition()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
            os.execvpe(command[0], command, env)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            try:
                select.select([self._fd], [], [])
                data = os.read(self._fd, 1 << 16)
            except OSError:
                return
            if not data:
                return
            with self._lock:
                self.bytes += len(data)
                self._screen.feed(decoder.decode(data))
                self._lock.notify_all()

    @property
    def text(self) -> str:
        """What stands on the screen."""
        with self._lock:
            return "\n".join(self._screen.lines)

    def wait(self, shown: Callable[[str], object], what: str) -> float:
        """Wait until the screen is so; returns how many seconds that took, to the write that made it so."""
        began = time.monotonic()
        with self._lock:
            while not shown("\n".join(self._screen.lines)):
                left = began + DEADLINE_S - time.monotonic()
                if left <= 0 or not self._lock.wait(left):
                    raise SystemExit(f"never came: {what}\n" + "\n".join(self._screen.lines))
        return time.monotonic() - began

    def keys(self, text: str) -> None:
        """Press keys, as the characters a terminal sends."""
        os.write(self._fd, text.encode())

    def cpu_s(self) -> float:
        """Seconds of CPU time so far, all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_bytes(self) -> int:
        """Memory held now."""
        line = next(line for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) << 10

    def close(self) -> None:
        """End the program, which is a session of its own."""
        os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.02)
        self._reader.join()  # the end of the program ends it: it must not read on from the next terminal, which may get this number
        os.close(self._fd)

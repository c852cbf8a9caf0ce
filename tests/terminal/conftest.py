"""A real terminal: rigtui in tmux, driven by keys."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rigtui.errors import RigtuiError
from rigtui.runs import watch

DEADLINE_S = 120.0
"""Only a broken program needs it all: engines load on a machine that does other things, too."""


class Terminal:
    """One tmux server with one window."""

    def __init__(self, socket: Path, width: int, height: int, command: list[str]) -> None:
        self._socket = socket
        self.size = (width, height)
        # The shell stays after the program has left, so that its last words can be read.
        line = f"{shlex.join(command)}; echo LEFT; exec sleep 600"
        self._tmux("-f", "/dev/null", "new-session", "-d", "-s", "main", "-x", str(width), "-y", str(height), line)

    def _tmux(self, *arguments: str) -> str:
        # readline, which pytest loads, sets COLUMNS and LINES behind Python's back, for its workers too: rigtui would be that large.
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        command = ["tmux", "-S", str(self._socket), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, env=environment)
        return done.stdout

    def screen(self) -> str:
        """What stands in the window."""
        return self._tmux("capture-pane", "-p", "-t", "main")

    def keys(self, *names: str) -> None:
        """Press keys, by tmux's names."""
        self._tmux("send-keys", "-t", "main", *names)

    def text(self, words: str) -> None:
        """Type."""
        self._tmux("send-keys", "-t", "main", "-l", words)

    def resize(self, width: int, height: int) -> None:
        """Another size, as if the window was dragged."""
        self._tmux("resize-window", "-t", "main", "-x", str(width), "-y", str(height))
        self.size = (width, height)

    def wait(self, *words: str, gone: str | None = None, fault: Callable[[str], str] = lambda _: "") -> str:
        """Wait until all of `words` are on the screen (and `gone` is not), without a `fault`, and return it.

        A fault is waited out, too: a capture may show a screen that is only half painted.
        """
        deadline = time.monotonic() + DEADLINE_S
        while True:
            screen = self.screen()
            there = all(word in screen for word in words) and (gone is None or gone not in screen)
            wrong = fault(screen) if there else ""
            if there and not wrong:
                return screen
            if time.monotonic() > deadline:
                raise AssertionError(f"never came: {words} (gone: {gone}) {wrong}\n{screen}")
            time.sleep(0.1)

    def close(self) -> None:
        """The terminal is gone: its programs get SIGHUP."""
        subprocess.run(["tmux", "-S", str(self._socket), "kill-server"], capture_output=True, check=False, timeout=30)


@pytest.fixture
def terminal(tmp_path_factory: pytest.TempPathFactory, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Terminal]]:
    """`terminal(80, 24, *arguments)`: rigtui in a new terminal of this size. Every run it leaves is stopped at the end."""
    for name in [name for name in os.environ if name.startswith(("TEXTUAL", "TMUX")) or name == "NO_COLOR"]:
        monkeypatch.delenv(name)
    # A short path: sockets have room for about a hundred characters.
    folder = tmp_path_factory.mktemp("t")
    opened: list[Terminal] = []

    def start(width: int, height: int, *arguments: str) -> Terminal:
        one = Terminal(folder / f"s{len(opened)}", width, height, [sys.executable, "-m", "rigtui", *arguments])
        opened.append(one)
        return one

    yield start
    for one in opened:
        one.close()
    for run in watch.live_runs():
        try:
            watch.stop_and_wait(run, now=True)
        except RigtuiError as error:
            print(error)

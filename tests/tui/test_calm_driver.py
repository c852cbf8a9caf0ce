"""Keys as a terminal sends them, on a driver that sleeps between them."""

from __future__ import annotations

import asyncio
import os
import pty
import queue
import sys
import threading
import tty
from collections.abc import Callable

import pytest
from textual.app import App
from textual.events import Key

from rigtui.tui.calm_driver import CalmDriver

DEADLINE_S = 120


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch):
    """Run a check with a function that types bytes and says which keys came of them; the driver is then told to end."""
    master, slave = pty.openpty()
    tty.setraw(slave)

    async def run(check: Callable[[Callable[..., list[str]]], None]) -> None:
        with os.fdopen(slave, "rb", buffering=0, closefd=False) as stdin:
            monkeypatch.setattr(sys, "__stdin__", stdin)
            driver = CalmDriver(App(), mouse=False)
        keys: queue.Queue[str] = queue.Queue()
        monkeypatch.setattr(driver, "process_message", lambda event: keys.put(event.key) if isinstance(event, Key) else None)
        driver._key_thread = threading.Thread(target=driver.run_input_thread, daemon=True)
        driver._key_thread.start()

        def type_(*pieces: bytes, count: int) -> list[str]:
            for piece in pieces:
                os.write(master, piece)
            return [keys.get(timeout=DEADLINE_S) for _ in range(count)]

        check(type_)
        ended = threading.Thread(target=driver.disable_input, daemon=True)
        ended.start()
        ended.join(DEADLINE_S)
        assert not ended.is_alive() and not driver._key_thread.is_alive(), "nothing is typed any more, and it ends all the same"
        driver.close()

    yield lambda check: asyncio.run(run(check))
    os.close(master)
    os.close(slave)


def test_it_ends_without_a_key(typed, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    typed(lambda _type: None)


def test_keys_come_as_they_are_typed(typed, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def check(type_):
        assert type_(b"a\x1b[Bq", count=3) == ["a", "down", "q"]
        assert type_(b"\x1b", count=1) == ["escape"], "alone, when nothing follows"
        assert type_(b"\xc3", b"\xa9", count=1) == ["é"], "a character in two pieces"

    typed(check)


def test_it_ends_where_the_terminal_is_gone(monkeypatch):
    async def check() -> None:
        gone, end = os.pipe()
        with os.fdopen(gone, "rb", buffering=0) as stdin:
            monkeypatch.setattr(sys, "__stdin__", stdin)
            driver = CalmDriver(App(), mouse=False)
            os.close(end)
            reader = threading.Thread(target=driver.run_input_thread, daemon=True)
            reader.start()
            reader.join(DEADLINE_S)
            assert not reader.is_alive()
            driver.close()

    asyncio.run(check())

"""Keys from the terminal without looking for them: the thread that reads them sleeps until there is one.

Textual 8.2.8 (drivers/linux_driver.py) looks ten times a second, which costs a resting screen as much as reading eight cards does.
"""

from __future__ import annotations

import os
import selectors
from codecs import getincrementaldecoder

from textual._xterm_parser import XTermParser
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver

ESCAPE_LOOK_S = 0.1
"""How often it is looked whether Escape was pressed alone, while what follows it may still come."""
MOST_BYTES = 4096
"""Read at once."""


class CalmDriver(LinuxDriver):
    """A driver that wakes up for keys only."""

    def __init__(self, app: App[object], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        # Open as long as the program runs: `close` is no end, an editor may have the terminal for a while.
        self._woken, self._waker = os.pipe()

    def disable_input(self) -> None:
        """Wake the thread up, so that it sees that it is to end."""
        os.write(self._waker, b"\0")
        super().disable_input()
        os.read(self._woken, 1)

    def run_input_thread(self) -> None:
        """Pass on what is typed, until `disable_input`."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                ready = selector.select(None if parser._timeout_time is None else ESCAPE_LOOK_S)
                if any(key.fd == self.fileno for key, _ in ready):
                    data = os.read(self.fileno, MOST_BYTES)
                    if not data:
                        break  # the terminal is gone, and would be ready with nothing for ever
                    text = decode(data)
                    # To the parser no text is the end of all of it; here it may be half of a character.
                    for message in parser.feed(text) if text else ():
                        self.process_message(message)
                for message in parser.tick():
                    self.process_message(message)

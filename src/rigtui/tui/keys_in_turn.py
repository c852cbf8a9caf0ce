"""One key after the other: what a key does is done before the next one is looked at.

Textual 8.2.8 hands every key to the widget that has the focus at once; a key that no widget takes then travels from queue to queue up to
the app, which looks for its binding. Of keys that arrive together (over SSH, from a paste, from a macro) the later ones overtake the
earlier: `/` and a word would act as commands, and Backspace would delete what was typed after it.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any

from textual.app import App
from textual.events import Event, Key
from textual.message_pump import MessagePump
from textual.screen import Screen

PATIENCE_S = 1.0
"""A key whose widget went away before it was done holds up the others no longer than this."""


class KeysInTurn(App[None]):
    """An app that takes keys in turn."""

    def __init__(self, *, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self._waiting: deque[Key] = deque()
        self._turn = 0
        self._under_way = False
        self._on: Screen[Any] | None = None
        """The screen the key under way was for."""
        self._target: MessagePump | None = None
        """The widget the key under way was handed to."""
        self._acted = False
        """The binding of the key under way has run: what it sent from the widget (a line that is entered) still travels up."""

    async def on_event(self, event: Event) -> None:
        """Keys wait in line; everything else passes."""
        if not isinstance(event, Key) or event.is_forwarded:
            await super().on_event(event)
            return
        self._waiting.append(event)
        await self._next_key()

    async def _next_key(self) -> None:
        if self._under_way or not self._waiting:
            return
        self._turn += 1
        self._under_way = True
        self.set_timer(PATIENCE_S, partial(self._done, self._turn, patient=False))
        self._on, self._acted = self._top(), False
        self._target = self.focused or self._on
        await super().on_event(self._waiting.popleft())
        self._follow(self._target, self._turn)

    def _top(self) -> Screen[Any] | None:
        """The screen that is shown; None while the app ends."""
        return self.screen_stack[-1] if self.is_running and self.screen_stack else None

    def _follow(self, pump: MessagePump | None, turn: int) -> None:
        """Stand in the same queues behind the key, from widget to parent, until the app has seen it."""
        while pump is not None and pump is not self:
            if pump.call_later(self._follow, pump._parent, turn):
                return
            pump = pump._parent
        self.call_later(self._done, turn)

    async def _done(self, turn: int, *, patient: bool = True) -> None:
        if turn != self._turn or not self._under_way:
            return
        top = self._top()
        if patient and top is not None and top is not self._on:
            # The key opened a dialog or a page: the next ones belong into the field that will have the focus there.
            self._on = top
            top.call_after_refresh(self._follow, top, turn)
            return
        if patient and not self._acted:
            self._acted = True
            self._follow(self._target, turn)
            return
        self._under_way = False
        await self._next_key()

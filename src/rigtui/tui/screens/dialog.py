"""What every dialog is: a box over what was there before; what it was opened for is tried while it stands there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from textual.screen import ModalScreen, ScreenResultType

from rigtui.errors import RigtuiError
from rigtui.text import clean
from rigtui.tui.messages import Noted
from rigtui.tui.screens.reporting import Reporting

Given = TypeVar("Given")


class Dialog(ModalScreen[ScreenResultType], Reporting[ScreenResultType]):
    """Gives an answer when it is closed. Its parts stand in a container with the class `box`."""

    CSS_PATH = "above.tcss"
    DEFAULT_CLASSES = "dialog"
    _trying = False

    def attempt(
        self, title: str, work: Callable[[], Given], done: Callable[[Given], object], refused: Callable[[RigtuiError], object]
    ) -> None:
        """Do `work` on a thread, one at a time; then `done` gets what it gives, or `refused` why it could not be done.

        Where the dialog was closed meanwhile, a refusal is told under `title`.
        """
        if self._trying:
            return
        self._trying, program = True, self.app

        def over(then: Callable[[], object]) -> None:
            self._trying = False
            if self.is_attached:
                then()

        def run() -> None:
            try:
                given = work()
            except RigtuiError as error:
                why = error
                if self.is_attached:
                    self.call_later(over, lambda: refused(why))
                else:
                    program.screen_stack[0].post_message(Noted(clean(str(why)), title=title, failed=True))
            else:
                self.call_later(over, lambda: done(given))

        self.background(title, run)

    def faulted(self, group: str, text: str) -> None:  # noqa: ARG002 - told by every screen
        """It may be tried again."""
        self._trying = False

"""What every dialog is: a box over what was there before."""

from __future__ import annotations

from textual.screen import ModalScreen, ScreenResultType

from rigtui.tui.screens.reporting import Reporting


class Dialog(ModalScreen[ScreenResultType], Reporting[ScreenResultType]):
    """Gives an answer when it is closed. Its parts stand in a container with the class `box`."""

    CSS_PATH = "above.tcss"
    DEFAULT_CLASSES = "dialog"

"""What every page over the cockpit has: its keys from the registry, the hint line, and a way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual.app import ComposeResult
from textual.widgets import OptionList

from rigtui.text import clean
from rigtui.tui.actions import ACTIONS, called
from rigtui.tui.bindings import offered
from rigtui.tui.frugal import FrugalScreen
from rigtui.tui.notes import let_go
from rigtui.tui.rows import middle
from rigtui.tui.screens.reporting import Reporting
from rigtui.tui.widgets.lines import HintLine

if TYPE_CHECKING:
    from rigtui.tui.services import Services
    from rigtui.tui.state import Cockpit

Row = TypeVar("Row")
COPIED_CELLS = 50
"""Of what was copied, to recognise it by."""


class Page(FrugalScreen, Reporting[None]):
    """A full screen with its own keys; Escape leads back to the cockpit. Its bindings are `bindings(PLACE, "page")`."""

    PLACE: ClassVar[str]
    CSS_PATH = "above.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - an instance variable by Textual's types

    def __init__(self, services: Services) -> None:
        super().__init__(classes="page")
        self.services = services

    def compose(self) -> ComposeResult:
        """The page's parts, and the keys."""
        yield from self.parts()
        yield HintLine()

    def parts(self) -> ComposeResult:
        """Everything but the hint line."""
        raise NotImplementedError

    def useful(self) -> tuple[str, ...]:
        """Ids of this page's actions that do something now."""
        raise NotImplementedError

    def show(self, state: Cockpit) -> None:
        """The cockpit knows more; a page that shows none of that does nothing."""

    def show_hints(self) -> None:
        """Offer what works now."""
        self.query_one(HintLine).show((*offered(self, self.useful()), "page.close", "app.help"))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys whose action does nothing now are dead."""
        call = called(action, parameters)
        known = next((entry for entry in ACTIONS if entry.screen == self.PLACE and entry.method == call), None)
        return True if known is None or known.id in offered(self, self.useful()) else None

    def copy(self, text: str) -> None:
        """Put it on the clipboard (the terminal's, by OSC 52) and say so."""
        self.app.copy_to_clipboard(text)
        self.notify(middle(clean(text), COPIED_CELLS), title="copied", markup=False)

    def under_cursor(self, rows: Sequence[Row]) -> Row | None:
        """Of the `rows` that the page's list shows, the one under the cursor."""
        listed = self.query_one_optional(OptionList)
        at = listed.highlighted if listed is not None else None
        return rows[at] if at is not None and at < len(rows) else None

    def action_close(self) -> None:
        """Back to the cockpit."""
        let_go(self.app)
        self.dismiss(None)

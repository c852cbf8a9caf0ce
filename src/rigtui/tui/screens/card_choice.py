"""Which cards may be used, in which order, and how much stays free on each."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from rigtui.rig.rig import Gpu
from rigtui.text import gib
from rigtui.tui.bindings import bindings, close_line, keys_of
from rigtui.tui.rows import middle, padded
from rigtui.tui.screens.dialog import Dialog
from rigtui.tui.segments import short_name
from rigtui.tui.whatif import HEADROOM_STEP_MIB, MOST_HEADROOM_MIB

Chosen = tuple[tuple[Gpu, ...], tuple[int, ...]]
NAME = 22


class CardChoice(Dialog[Chosen | None]):
    """Gives the cards in their order and the MiB to leave free on each; None when it was closed."""

    BINDINGS = bindings("card_choice", "dialog")

    def __init__(self, cards: tuple[Gpu, ...], used: frozenset[int], headroom: tuple[int, ...]) -> None:
        """All usable cards in their present order, the indices of those in use, and MiB of headroom for each card."""
        super().__init__()
        self._cards, self._used = list(cards), set(used)
        self._headroom = dict(zip((card.index for card in cards), headroom, strict=True))

    def compose(self) -> ComposeResult:
        """The cards."""
        with Vertical(classes="box") as box:
            box.border_title = "Cards, their order and their headroom"
            box.border_subtitle = close_line(self, "dialog.close", "Enter takes it")
            take, up, down, less, more = (keys_of(self).shown(f"card_choice.{key}") for key in ("take", "earlier", "later", "less", "more"))
            text = f"{take} takes a card in or out · {up} and {down} move it · {less} and {more} change its headroom"
            yield Static(text, markup=False, classes="quiet")
            yield OptionList(markup=False)
            yield Static("", markup=False, id="wrong")

    def on_mount(self) -> None:
        """The first card."""
        self._show(0)
        self.query_one(OptionList).focus()

    def _show(self, at: int) -> None:
        rows = self.query_one(OptionList)
        rows.set_options(Option(self._row(card)) for card in self._cards)
        rows.highlighted = at

    def _row(self, card: Gpu) -> Content:
        used = card.index in self._used
        name = padded(middle(f"{card.index} {short_name(card.name)}", NAME), NAME)
        free, left = f"{gib(card.free_bytes):>9} free", f"headroom {self._headroom[card.index]:>6,} MiB"
        return Content.assemble(
            (" in  " if used else " out ", "$success bold" if used else "$foreground-muted"),
            (name, "" if used else "$foreground-muted"),
            (f" {free}  ", "$foreground-muted"),
            left if used else "",
        )

    @property
    def _at(self) -> int:
        return self.query_one(OptionList).highlighted or 0

    def action_take(self) -> None:
        """In or out."""
        self._used ^= {self._cards[self._at].index}
        self.query_one("#wrong", Static).update("" if self._used else "one card at least has to stay in")
        self._show(self._at)

    def action_move(self, step: int) -> None:
        """Earlier or later in the order."""
        at, to = self._at, self._at + step
        if 0 <= to < len(self._cards):
            self._cards[at], self._cards[to] = self._cards[to], self._cards[at]
            self._show(to)

    def action_headroom(self, step: int) -> None:
        """Leave less or more free on this card."""
        index = self._cards[self._at].index
        self._headroom[index] = max(0, min(MOST_HEADROOM_MIB, self._headroom[index] + step * HEADROOM_STEP_MIB))
        self._show(self._at)

    @on(OptionList.OptionSelected)
    def _entered(self) -> None:
        if self._used:
            cards = tuple(card for card in self._cards if card.index in self._used)
            self.dismiss((cards, tuple(self._headroom[card.index] for card in cards)))

    def action_close(self) -> None:
        """As it was."""
        self.dismiss(None)

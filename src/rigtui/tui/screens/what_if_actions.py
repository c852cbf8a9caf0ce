"""What the keys of the further choices do: slots, cards, headroom, micro-batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace
from textual import on

from rigtui.tui import whatif
from rigtui.tui.screens.base import CockpitBase
from rigtui.tui.widgets.choices import Choices

if TYPE_CHECKING:
    from rigtui.tui.screens.card_choice import Chosen
    from rigtui.tui.state import Cockpit

STEPS: dict[str, Callable[[Cockpit, int], Cockpit]] = {
    "engine": whatif.cycle_engine,
    "slots": whatif.step_slots,
    "cards": whatif.cycle_cards,
    "headroom": whatif.step_headroom,
    "ubatch": whatif.step_ubatch,
}
TYPED = {
    "slots": ("parallel", "Slots", "Requests served at the same time. Empty: as the use case wants.", 1, 1024),
    "ubatch": ("ubatch", "Micro-batch", "Prompt tokens computed at once. Empty: as the use case wants.", whatif.LEAST_UBATCH, 1 << 16),
}
"""Row -> override, title, text, least and most."""


class WhatIfActions(CockpitBase):
    """The part of the cockpit that tries things out."""

    def action_what_if(self) -> None:
        """Go to the further choices."""
        choices = self.query_one(Choices)
        choices.focus()
        choices.show_more()

    @on(Choices.Turned)
    def _tried(self, event: Choices.Turned) -> None:
        step = STEPS.get(event.name)
        if step is None:
            return
        if event.step:
            self.change(step(self.state, event.step), plan=True)
        elif event.name in TYPED:
            self._type(event.name)
        elif event.name == "engine":
            self.change(step(self.state, 1), plan=True)
        else:
            self._choose_cards()

    @on(Choices.GivenBack)
    def _given_back(self, event: Choices.GivenBack) -> None:
        self.change(whatif.give_back(self.state, event.name), plan=True)

    def _type(self, name: str) -> None:
        from rigtui.tui import typed
        from rigtui.tui.screens.dialogs import LineScreen

        override, title, text, least, most = TYPED[name]
        own = getattr(self.state.overrides, override)

        def entered(line: str | None) -> None:
            if line is not None:
                self.change(replace(self.state, overrides=replace(self.state.overrides, **{override: typed.number(line)})), plan=True)

        def wrong(line: str) -> str | None:
            return typed.number_problem(line, least, most)

        self.app.push_screen(LineScreen(title, text, str(own) if own else "", wrong), entered)

    def _choose_cards(self) -> None:
        from rigtui.tui.screens.card_choice import CardChoice

        rig, used = self.state.rig, whatif.cards_now(self.state)
        if rig is None or not used:
            return
        cards = (*used, *(card for card in rig.usable_gpus if card not in used))
        dialog = CardChoice(cards, frozenset(card.index for card in used), whatif.headroom_now(self.state, cards))
        self.app.push_screen(dialog, self._cards_chosen)

    def _cards_chosen(self, chosen: Chosen | None) -> None:
        if chosen is not None:
            self.change(whatif.with_cards_and_headroom(self.state, *chosen), plan=True)

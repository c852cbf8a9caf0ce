"""What the key of the rig does: another rig in the place of this machine's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual import on

from rigtui.tui import rig_swap, tasks
from rigtui.tui.messages import Noted, RigsRead, RigTried
from rigtui.tui.screens.base import CockpitBase

if TYPE_CHECKING:
    from rigtui.rig.rig import Rig

ADD = "A card by its name, with its size where several were sold: RTX 4090, 3060 12, RTX A6000."
FILE = "A rig file; `rigtui rig save FILE` writes one on another machine."
SAVE = "A name; the rig is kept in the folder rigs beside config.toml."


class RigActions(CockpitBase):
    """The part of the cockpit that tries other rigs."""

    def action_other_rig(self) -> None:
        """Choose another rig."""
        if self.state.rig is not None:
            self.background("rigs", partial(tasks.read_rigs, self.services, self.post_message))

    @on(RigsRead)
    def _rigs_read(self, event: RigsRead) -> None:
        from rigtui.rig.imagined import without_card
        from rigtui.tui.screens.rig_choice import RigChoice

        rig = self.state.rig
        if rig is None:
            return
        dialog = RigChoice(rig, event.rigs, tried=rig_swap.tried(self.state))

        def chosen(answer: str | None) -> None:
            what, _, which = (answer or "").partition(" ")
            if what == "load" and (saved := event.rigs[int(which)].rig) is not None:
                self._try(saved)
            elif what == "remove":
                self._imagine(lambda: without_card(rig, int(which)))
            elif what == "back":
                self._try(None)
            elif what:
                self._ask_for(what, rig)

        self.app.push_screen(dialog, chosen)

    def _ask_for(self, what: str, rig: Rig) -> None:
        """Type a card, a file or a name."""
        from rigtui.rig.imagined import with_card
        from rigtui.tui.screens.dialogs import LineScreen

        def follow(text: str) -> None:
            if what == "add":
                self.post_message(RigTried(with_card(rig, text)))
            elif what == "file":
                self.post_message(RigTried(self.services.load_rig(text)))
            else:
                self.post_message(Noted(f"saved in {self.services.save_rig(text, rig)}", title="rig"))

        title, text, value, example = {
            "add": ("Add a card", ADD, "", "such as RTX 3060 12"),
            "file": ("Load a rig file", FILE, "", "such as ~/rigs/desk.toml"),
            "save": ("Save the rig", SAVE, rig.name, ""),
        }[what]

        def wrong(line: str) -> str | None:
            return None if line.strip() else "type something"

        self.app.push_screen(LineScreen(title, text, value, wrong, follow=follow, example=example))

    def _imagine(self, make: Callable[[], Rig]) -> None:
        self.background("rigs", partial(tasks.imagine, self.post_message, make))

    @on(RigTried)
    def _rig_made(self, event: RigTried) -> None:
        self._try(event.rig)

    def _try(self, rig: Rig | None) -> None:
        state = rig_swap.back(self.state) if rig is None else rig_swap.swap(self.state, rig)
        self.change(state, plan=True)
        if rig is not None and rig_swap.waits(state):
            self.post_message(Noted("your choice of cards and headroom waits until this machine is back", title="rig"))

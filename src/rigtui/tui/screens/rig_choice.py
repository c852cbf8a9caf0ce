"""Which rig to plan for: this machine, a saved rig, a file, or this rig with a card more or less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from rigtui.text import clean
from rigtui.tui.bindings import bindings, close_line, keys_of
from rigtui.tui.rows import middle
from rigtui.tui.screens.dialog import Dialog
from rigtui.tui.segments import short_name

if TYPE_CHECKING:
    from rigtui.rig.rig import Rig
    from rigtui.tui.services import SavedRig

TEXT = "A rig that is tried is simulated: its bars are hatched, nothing is launched on it, and {key} leads back to this machine."


class RigChoice(Dialog[str | None]):
    """Gives `back`, `add`, `file`, `save`, `remove N` or `load N`; None when it was closed."""

    BINDINGS = bindings("dialog")

    def __init__(self, rig: Rig, saved: tuple[SavedRig, ...], *, tried: bool) -> None:
        super().__init__()
        self._rig, self._saved, self._tried = rig, saved, tried

    def compose(self) -> ComposeResult:
        """The ways."""
        with Vertical(classes="box") as box:
            box.border_title = "What if it were another rig?"
            box.border_subtitle = close_line(self, "dialog.close", "Enter chooses")
            yield Static(TEXT.format(key=keys_of(self).shown("rig.other")), markup=False, classes="say")
            yield OptionList(*self._options(), markup=False)

    def _options(self) -> list[Option]:
        found = [Option(Content.styled("Back to this machine", "bold"), id="back")] if self._tried else []
        found.append(Option(Content("Add a card …"), id="add"))
        cards = [gpu for gpu in self._rig.gpus if gpu.error is None]
        found += [Option(Content(f"Without GPU {gpu.index}, {short_name(gpu.name)}"), id=f"remove {gpu.index}") for gpu in cards]
        for at, one in enumerate(self._saved):
            text = f"{middle(clean(one.name), 30)}: {clean(one.problem) if one.problem else one.summary}"
            found.append(Option(Content(text), id=f"load {at}", disabled=one.rig is None))
        found.append(Option(Content("Load a rig file …"), id="file"))
        return [*found, Option(Content("Save the rig that is shown …"), id="save")]

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    def action_close(self) -> None:
        """As it is."""
        self.dismiss(None)

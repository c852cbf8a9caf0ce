"""The top line and the hint line: one row each, fitted to the width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace
from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from rigtui.text import clean
from rigtui.tui.bindings import keys_of
from rigtui.tui.keys import hints
from rigtui.tui.rows import middle
from rigtui.tui.run_text import headline
from rigtui.tui.state import Cockpit
from rigtui.tui.tip_text import next_tip, tip_line

if TYPE_CHECKING:
    from rigtui.rig.rig import Rig
    from rigtui.runs.state import RunState

NAME_CELLS = 32
"""Cells of the rig's name."""
SCOPES = {"app": "app", "choices": "focused", "models": "focused"}
"""Whose method an action is, where it is not the screen's."""
PLATFORMS = {"linux": "Linux", "wsl2": "WSL2", "macos": "macOS", "windows": "Windows"}


class TopLine(Widget):
    """Rig, platform, driver, CUDA, and on the right what the engine does."""

    DEFAULT_CSS = "TopLine { height: 1; width: 100%; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._facts: tuple[str, ...] = ()
        self._simulated = False
        self._engine: tuple[RunState | None, bool, int] = (None, False, 0)

    def show(self, rig: Rig | None, run: RunState | None, *, launching: bool, others: int = 0) -> None:
        """Show this rig, the engine's state and how many other runs are live; nothing is painted when nothing changed."""
        # The heartbeat is written again and again and is not shown.
        engine = (replace(run, heartbeat=0.0) if run else None, launching, others)
        new = (rig_facts(rig), bool(rig and rig.simulated), engine)
        if new != (self._facts, self._simulated, self._engine):
            self._facts, self._simulated, self._engine = new
            self.refresh()

    def render(self) -> Content:
        """What fits: the engine's state first, then as many facts as there is room for."""
        badge = Content.styled(" simulated rig ", "$background on $warning") if self._simulated else Content("")
        run, launching, others = self._engine
        engine = headline(run, self.size.width // 2 - 2, launching=launching, others=others)
        head = Content.assemble(" ", ("rigtui", "bold $accent"), "  ", badge, " " if self._simulated else "")
        room = self.size.width - head.cell_length - engine.cell_length - 3
        text = ""
        for fact in self._facts:
            more = f"{text} · {fact}" if text else fact
            if len(more) > room:
                break
            text = more
        gap = max(1, self.size.width - head.cell_length - len(text) - engine.cell_length - 1)
        return Content.assemble(head, text, " " * gap, engine)


def rig_facts(rig: Rig | None) -> tuple[str, ...]:
    """The rig in a few words each, the most important first."""
    if rig is None:
        return ("reading the rig",)
    facts = [middle(clean(rig.name), NAME_CELLS), PLATFORMS[rig.platform]]
    facts += [f"driver {clean(rig.driver)}"] if rig.driver else []
    facts += [f"CUDA {clean(rig.cuda)}"] if rig.cuda else []
    facts += [clean(rig.cpu_name)] if rig.cpu_name and not rig.gpus else []
    return tuple(facts)


class TipLine(Widget):
    """The next of the first steps; gone once they are taken."""

    DEFAULT_CSS = "TipLine { height: 1; width: 100%; display: none; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._state = Cockpit()

    def show(self, state: Cockpit) -> None:
        """Show what comes next; nothing is painted when that is what is shown already."""
        if (state.learned, bool(state.candidates)) != (self._state.learned, bool(self._state.candidates)):
            self._state = state
            self.display = next_tip(state) is not None
            self.refresh()

    def render(self) -> Content:
        """The step, and how to be rid of them."""
        return tip_line(self._state, self.size.width)


class HintLine(Widget):
    """The keys that do something now; each can be clicked."""

    DEFAULT_CSS = "HintLine { height: 1; width: 100%; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._allowed: tuple[str, ...] = ()

    def show(self, allowed: Sequence[str]) -> None:
        """Offer the actions with these ids."""
        if tuple(allowed) != self._allowed:
            self._allowed = tuple(allowed)
            self.refresh()

    def render(self) -> Content:
        """As many hints as fit, the most needed ones first."""
        shows_only = bool(getattr(self.app, "read_only", False))
        parts = [Content.styled(" shows only ", "$background on $warning") + Content("  ") if shows_only else Content(" ")]
        keys = keys_of(self)
        for action in hints(self._allowed, self.size.width - parts[0].cell_length + 1, keys):
            target = action.method if "(" in action.method else f"{action.method}()"
            scope = SCOPES.get(action.screen, "screen")
            click = Style.from_meta({"@click": f"{scope}.{target}"})
            text = Content.assemble((keys.shown(action.id), "$accent bold"), (f" {action.hint}", "$foreground-muted"))
            parts.append(text.stylize(click))
            parts.append(Content("  "))
        return Content("").join(parts)

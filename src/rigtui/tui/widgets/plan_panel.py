"""The plan panel: follows every choice, scrolls when it is long."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from rigtui.planning.plan import Plan
from rigtui.rig.rig import Rig
from rigtui.tui.plan_text import STATUS_WORDS, Marks, plan_lines


class PlanPanel(VerticalScroll):
    """Shows a plan, or the text of what is to be done first."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.border_title = "Plan"
        self._shown: tuple[object, ...] | None = None
        self._what: Plan | Content | None = None
        self._rig: Rig | None = None
        self._marks = Marks()

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static(id="plan-text", markup=False)

    def show(self, what: Plan | Content | None, rig: Rig | None = None, marks: Marks | None = None) -> None:
        """Show a plan (or a text in its place)."""
        self._what, self._rig, self._marks = what, rig, marks or Marks()
        self._draw()

    def on_resize(self) -> None:
        """Text follows the width."""
        self._draw()

    def _draw(self) -> None:
        width = self.scrollable_content_region.width
        names = tuple((gpu.index, gpu.uuid, gpu.name) for gpu in self._rig.gpus) if self._rig else ()
        key = (self._what, names, self._marks, width)
        if width <= 0 or key == self._shown:
            return
        self._shown = key
        if isinstance(self._what, Plan):
            self.border_subtitle = STATUS_WORDS[self._what.status].lower()
            text = Content("\n").join(plan_lines(self._what, self._rig, width, self._marks))
        else:
            self.border_subtitle = ""
            text = self._what or Content("")
        self.query_one("#plan-text", Static).update(text)

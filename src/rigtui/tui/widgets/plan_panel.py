"""The plan panel: follows every choice, scrolls when it is long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from rigtui.planning.plan import Plan
from rigtui.tui.bindings import keys_of
from rigtui.tui.guide import guide
from rigtui.tui.plan_text import Marks, plan_lines
from rigtui.tui.rows import literal, middle
from rigtui.tui.view import basis, profile_of

if TYPE_CHECKING:
    from rigtui.rig.rig import Rig
    from rigtui.tui.state import Cockpit


class PlanPanel(VerticalScroll):
    """Shows a plan, or the text of what is to be done first."""

    DEFAULT_CLASSES = "panel"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.border_title = self._titled = "Plan"
        self._shown: tuple[object, ...] | None = None
        self._lines = 0
        self._of: tuple[object, ...] = ()
        self._what: Plan | Cockpit | None = None
        self._rig: Rig | None = None
        self._marks = Marks()
        self._profile: tuple[str, bool] = ("", False)

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static(id="plan-text", markup=False)

    def show(self, state: Cockpit) -> None:
        """Show the plan, or what is to be done before there is one."""
        own = state.planned_for
        of = (state.selected, state.use_case, state.rig.name if state.rig else "")
        if of != self._of:
            # Another model's plan, or for another use or rig, is read from its verdict on.
            self._of = of
            self.scroll_home(animate=False)
        self._what, self._rig = state.plan or state, state.rig
        self._marks = Marks(context=own.context, kv_type=own.kv_type is not None, basis=basis(state))
        self._profile = profile_of(state)
        self._draw()

    def on_resize(self) -> None:
        """Text follows the width."""
        self._draw()

    def _draw(self) -> None:
        width, what = self.scrollable_content_region.width, self._what
        if width <= 0 or what is None:
            return
        # The rig matters only for the names of its cards; its figures change every second.
        names = tuple((gpu.index, gpu.uuid, gpu.name) for gpu in self._rig.gpus) if self._rig else ()
        guided = [] if isinstance(what, Plan) else guide(what, width)
        key = (what, names, self._marks, width) if isinstance(what, Plan) else (tuple(guided), width)
        if key != self._shown:
            self._shown = key
            lines = plan_lines(what, self._rig, width, self._marks) if isinstance(what, Plan) else guided
            self._lines = len(lines)
            self.query_one("#plan-text", Static).update(Content("\n").join(lines))
        self._title()

    def _title(self) -> None:
        """Whose the choices are, and which key shows more, where there is more."""
        more, keys = self._lines - self.scrollable_content_region.height, keys_of(self)
        onward = f"{keys.shown('plan.scroll')} more" if self.scroll_y < more else f"{keys.shown('plan.scroll_back')} back"
        title = f"Plan · {onward}" if more > 0 else "Plan"
        name, changed = self._profile
        if name:
            before, after = "Plan · profile ", f"{', changed' if changed else ''}{title.removeprefix('Plan')}"
            title = literal(f"{before}{middle(name, max(8, self.size.width - len(before + after) - 4))}{after}")
        # What it was set to, not what it is read as: where a name has brackets these differ.
        if title != self._titled:
            self.border_title = self._titled = title

    def read_on(self, step: int) -> None:
        """A screenful on, or back, with a line of the one before."""
        self.scroll_relative(y=step * max(1, self.scrollable_content_region.height - 1), animate=False)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """The title tells whether there is more."""
        super().watch_scroll_y(old_value, new_value)
        self._title()

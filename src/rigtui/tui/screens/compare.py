"""The page that puts plans side by side: the present one, kept ones, and what would work instead."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Click
from textual.widgets import Static

from rigtui.errors import UsageError
from rigtui.tui import comparing as cmp
from rigtui.tui import state as st
from rigtui.tui import tasks
from rigtui.tui.bindings import bindings
from rigtui.tui.messages import OthersDerived
from rigtui.tui.screens.page import Page
from rigtui.tui.taking import take

if TYPE_CHECKING:
    from rigtui.planning.plan import Plan
    from rigtui.tui.services import Services
    from rigtui.tui.state import Cockpit


class ComparePage(Page):
    """Columns of plans; left and right choose one."""

    PLACE = "compare"
    BINDINGS = bindings("compare", "page")

    def __init__(self, services: Services, state: Cockpit, change: Callable[[Cockpit], object], choose: Callable[[Plan], object]) -> None:
        """`change` is told of a state with other kept plans, or with the choice of one; `choose` of a plan that would work instead."""
        super().__init__(services)
        self._state, self._change, self._choose = state, change, choose
        self._others: tuple[Plan, ...] = ()
        self._at = 0

    def parts(self) -> ComposeResult:
        """The table."""
        with VerticalScroll(id="compare", classes="panel") as table:
            table.border_title = "Compare · ≠ marks what differs"
            yield Static("", id="compare-text", classes="details-text", markup=False)

    def on_mount(self) -> None:
        """Show what there is, and derive what would work instead."""
        self.query_one("#compare").focus()
        self.show(self._state)
        if (asked := st.derivation(self._state)) is not None:
            self.background("others", partial(tasks.derive_others, self.services, self.post_message, *asked))

    def on_resize(self) -> None:
        """Columns follow the width."""
        self.call_after_refresh(self._draw)

    @on(OthersDerived)
    def _derived(self, event: OthersDerived) -> None:
        self._others = event.plans
        self._draw()

    def show(self, state: Cockpit) -> None:
        """The plans as they are now."""
        if (state.plan, state.pinned) != (self._state.plan, self._state.pinned) or state is self._state:
            self._state = state
            self._draw()

    @property
    def _columns(self) -> tuple[cmp.Column, ...]:
        return cmp.columns(self._state, self._others)

    def _draw(self) -> None:
        shown = self._columns
        self._at = max(0, min(self._at, len(shown) - 1))
        lines = cmp.table(shown, self._at, max(40, self.query_one("#compare").scrollable_content_region.width))
        self.query_one("#compare-text", Static).update(Content("\n").join(lines))
        self.show_hints()

    @property
    def _here(self) -> cmp.Column | None:
        shown = self._columns
        return shown[self._at] if self._at < len(shown) else None

    def useful(self) -> tuple[str, ...]:
        """Keep the present plan; let go or take what is kept."""
        found = ["compare.left", "compare.right"] if len(self._columns) > 1 else []
        found += ["compare.keep"] if self._state.plan is not None else []
        here = self._here
        if here is not None and here.pinned is not None:
            return (*found, "compare.take", "compare.drop")
        return (*found, *(("compare.take",) if here is not None and here.plan is not self._state.plan else ()))

    def action_column(self, step: int) -> None:
        """Another column."""
        self._at = (self._at + step) % max(1, len(self._columns))
        self._draw()

    def action_keep(self) -> None:
        """Keep the present plan."""
        self._change(cmp.pin(self._state))
        self.notify("kept; change something in the cockpit, then compare again", title="compare", markup=False)

    def action_drop(self) -> None:
        """Keep this one no more."""
        here = self._here
        if here is not None and here.pinned is not None:
            self._change(cmp.unpin(self._state, here.pinned))

    def action_take(self) -> None:
        """Choose again what was chosen for this plan, or what gives one that would work instead."""
        here = self._here
        if here is None or here.plan is self._state.plan:
            return
        if here.pinned is not None:
            self._change(cmp.restore(self._state, here.pinned))
        else:
            try:
                take(self._state, here.plan)
            except UsageError as error:
                self.notify(str(error), title="compare", severity="error", markup=False)
                return
            self._choose(here.plan)
        self.dismiss(None)

    def on_click(self, event: Click) -> None:
        """A click chooses the column; a second one takes its plan."""
        shown, table = self._columns, self.query_one("#compare-text")
        at = event.get_content_offset(table)
        if at is None or at.x < cmp.LABEL + 2 or not shown:
            return
        column = (at.x - cmp.LABEL - 2) // (cmp.column_room(len(shown), table.size.width) + 1)
        if column == self._at:
            self.action_take()
        elif column < len(shown):
            self._at = column
            self._draw()

"""The page of the cards: the processes that hold VRAM, and what frees it."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from rigtui.tui import tasks
from rigtui.tui.bindings import bindings
from rigtui.tui.holder_text import Holder, holder_lines, holder_row, holders
from rigtui.tui.messages import ProcessesRead
from rigtui.tui.screens.page import Page

if TYPE_CHECKING:
    from rigtui.rig.process_facts import ProcessFacts
    from rigtui.tui.services import Services
    from rigtui.tui.state import Cockpit


class CardsPage(Page):
    """Cards and their processes in a list; below it the one under the cursor."""

    PLACE = "cards"
    BINDINGS = bindings("cards", "page")

    def __init__(self, services: Services, state: Cockpit) -> None:
        super().__init__(services)
        self._state = state
        self._facts: dict[int, ProcessFacts] = {}
        self._asked: set[int] = set()
        self._rows: tuple[Holder, ...] = ()
        self._prompts: list[Content] = []

    def parts(self) -> ComposeResult:
        """List and details."""
        rows = OptionList(id="holders", classes="panel list", markup=False)
        rows.border_title = "Who holds the VRAM"
        yield rows
        with VerticalScroll(id="holder", classes="panel details", can_focus=False) as details:
            details.border_title = "What frees it"
            yield Static("", id="holder-text", classes="details-text", markup=False)

    def on_mount(self) -> None:
        """Show what is known."""
        self.show(self._state)
        self.query_one(OptionList).focus()

    def on_resize(self) -> None:
        """Names are shortened to the width."""
        self.call_after_refresh(self.show, self._state)

    def show(self, state: Cockpit) -> None:
        """Show the cards of this state; nothing is painted when nothing changed."""
        self._state = state
        listed = self.query_one_optional(OptionList)
        # Readings arrive before the first layout, too.
        if listed is None or (width := listed.scrollable_content_region.width - 2) <= 0:
            return
        self._look_at_new()
        before, rows = [row.id for row in self._rows], holders(state, self._facts)
        prompts = [holder_row(row, width, self._now()) for row in rows]
        changed = rows != self._rows
        self._rows = rows
        if before != [row.id for row in rows]:
            self._list_anew(listed, prompts, before)
        else:
            for at, (old, new) in enumerate(zip(self._prompts, prompts, strict=True)):
                if old != new:
                    listed.replace_option_prompt_at_index(at, new)
        self._prompts = prompts
        if changed:
            self._show_details()

    def _list_anew(self, listed: OptionList, prompts: list[Content], before: list[str]) -> None:
        here = before[listed.highlighted] if listed.highlighted is not None and listed.highlighted < len(before) else None
        ids = [row.id for row in self._rows]
        listed.set_options(Option(prompt, id=row) for prompt, row in zip(prompts, ids, strict=True))
        first = next((at for at, row in enumerate(self._rows) if row.process is not None), 0)
        listed.highlighted = ids.index(here) if here in ids else first if ids else None

    def _look_at_new(self) -> None:
        pids = {process.pid for gpu in (self._state.rig.gpus if self._state.rig else ()) for process in gpu.processes or ()}
        new = pids - self._asked
        # A pid can come back as another program.
        self._asked = pids
        self._facts = {pid: facts for pid, facts in self._facts.items() if pid in pids}
        if new:
            self.background("processes", partial(tasks.read_processes, self.services, self.post_message, sorted(new)))

    @on(ProcessesRead)
    def _processes_read(self, event: ProcessesRead) -> None:
        self._facts |= event.facts
        self.show(self._state)

    def _now(self) -> datetime:
        return datetime.now().astimezone()

    @property
    def _here(self) -> Holder | None:
        return self.under_cursor(self._rows)

    @on(OptionList.OptionHighlighted)
    def _show_details(self) -> None:
        row, text = self._here, self.query_one("#holder-text", Static)
        rig = self._state.rig
        if row is not None and rig is not None:
            text.update(Content("\n").join(holder_lines(row, rig, max(20, self.size.width - 6), self._now())))
        self.show_hints()

    def useful(self) -> tuple[str, ...]:
        """Copy, where there is a command."""
        row = self._here
        return ("cards.copy",) if row is not None and row.freeing is not None and row.freeing.command else ()

    def action_copy(self) -> None:
        """Copy the command that frees this."""
        row = self._here
        if row is not None and row.freeing is not None and row.freeing.command:
            self.copy(row.freeing.command)

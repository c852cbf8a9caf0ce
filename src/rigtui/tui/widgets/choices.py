"""What can be turned: use case, context, KV type. The arrows change the row under the cursor; what the user set is marked as theirs."""

from __future__ import annotations

from msgspec import Struct
from rich.cells import cell_len
from textual.content import Content
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget

from rigtui.tui.bindings import bindings, keys_of

ROOMY = 44
"""Terminals of this height show every row."""

VALUE_AT = 14
"""Column at which a row's value begins, behind its left arrow."""
YOURS = "*"
"""Before a row that the user set, where `(yours)` has no place behind its value."""


class ChoiceRow(Struct, frozen=True, kw_only=True):
    """One thing that can be turned."""

    name: str
    label: str
    value: str
    note: str = ""
    """What the value means, shown where there is room."""
    yours: bool = False
    """Set by the user, not by rigtui."""
    keys: str = ""
    more: bool = False
    """Less needed: shown where there is room, when the user set it, and when it is asked for."""


class Choices(Widget, can_focus=True):
    """Rows with a value each. Left and right change the one under the cursor."""

    DEFAULT_CLASSES = "panel"
    PLACE = "choices"
    BINDINGS = bindings("choices")

    class Turned(Message):
        """A row is to change by one step; step 0 asks for an exact value."""

        def __init__(self, name: str, step: int) -> None:
            super().__init__()
            self.name = name
            self.step = step

    class GivenBack(Message):
        """Rigtui is to decide this row again."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._rows: tuple[ChoiceRow, ...] = ()
        self._cursor = ""
        self._expanded = False
        self._live = True
        """There is something that the rows are for."""

    def show(self, rows: tuple[ChoiceRow, ...], *, live: bool = True) -> None:
        """Show these rows; nothing is painted when they are what is shown already. Not `live`: no model that they could be turned for."""
        if (rows, live) != (self._rows, self._live):
            before = len(self._visible())
            self._rows, self._live = rows, live
            self._title()
            self.refresh(layout=len(self._visible()) != before)

    def show_more(self, expanded: bool = True) -> None:
        """Show every row, with the cursor on the first of the less needed ones; or only the usual ones again."""
        if expanded == self._expanded:
            return
        self._expanded = expanded
        if expanded:
            self._cursor = next((row.name for row in self._rows if row.more), self._cursor)
        self._title()
        self.refresh(layout=True)

    def _title(self) -> None:
        more = self._live and len(self._visible()) < len(self._rows)
        title = f"Choices · {keys_of(self).shown('plan.what_if')} more" if more else "Choices"
        if any(row.yours and self._value(row) == row.value for row in self._visible()):
            title = f"{title} · {YOURS} yours"
        if title != self.border_title:
            self.border_title = title

    def _visible(self) -> tuple[ChoiceRow, ...]:
        everything = self._expanded or self.app.size.height >= ROOMY
        return tuple(row for row in self._rows if everything or not row.more or row.yours)

    @property
    def _at(self) -> int:
        return next((at for at, row in enumerate(self._visible()) if row.name == self._cursor), 0)

    def _first(self) -> int:
        """The first row that is drawn: where not all fit, those around the cursor."""
        height = max(1, self.size.height)
        return max(0, min(self._at - height // 2, len(self._visible()) - height))

    def useful(self) -> tuple[str, ...]:
        """Ids of the actions that do something with the row under the cursor, and of those that lead away."""
        if not self._live:
            return ("choices.back", "app.help")
        yours = bool(self._rows) and self._visible()[self._at].yours
        return ("choices.less", "choices.more", "choices.type", *(("choices.give_back",) if yours else ()), "choices.back", "app.help")

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's signature
        """A line for each row."""
        return len(self._visible())

    def on_resize(self) -> None:
        """More rows where there is room."""
        self._title()
        self.refresh(layout=True)

    def render(self) -> Content:
        """The rows."""
        first, here = self._first(), self._at
        rows = list(enumerate(self._visible()))[first : first + max(1, self.size.height)]
        return Content("\n").join(self._line(row, here=self.has_focus and at == here) for at, row in rows)

    def _line(self, row: ChoiceRow, *, here: bool) -> Content:
        value = self._value(row)
        room = self.size.width - VALUE_AT - cell_len(value) - 2
        right = row.keys if self._live and len(row.keys) + 1 <= room else ""
        note = row.note if len(row.note) + len(right) + 3 <= room else ""
        pad = max(0, room - len(note) - len(right) - (1 if note else 0))
        return Content.assemble(
            ("▸" if here else " ", "$accent bold"),
            (YOURS if row.yours and value == row.value else " ", "$warning bold"),
            (f"{row.label:<9} ", "bold" if here else "$foreground-muted"),
            ("‹ ", "$accent" if here else "$foreground-muted"),
            (value, "$warning bold" if row.yours else "bold"),
            (" ›", "$accent" if here else "$foreground-muted"),
            (f" {note}" if note else "", "$foreground-muted"),
            (" " * pad + right, "$foreground-muted"),
        )

    def watch_has_focus(self, has_focus: bool) -> None:
        """The cursor shows only where the keys go."""
        if not has_focus:
            self.show_more(False)
        self.refresh()

    def action_cursor(self, step: int) -> None:
        """Another row."""
        rows, to = self._visible(), self._at + step
        if to >= len(rows) < len(self._rows):
            self.show_more()
        elif rows:
            self._cursor = rows[max(0, min(len(rows) - 1, to))].name
            self.refresh()

    def action_turn(self, step: int) -> None:
        """Change the row under the cursor."""
        if self._rows and self._live:
            self.post_message(self.Turned(self._visible()[self._at].name, step))

    def action_give_back(self) -> None:
        """Let rigtui decide the row under the cursor again."""
        if self._rows and self._live and self._visible()[self._at].yours:
            self.post_message(self.GivenBack(self._visible()[self._at].name))

    def action_back(self) -> None:
        """Back to what stands before."""
        self.screen.focus_previous()

    def action_open(self) -> None:
        """Type a value for the row under the cursor."""
        self.action_turn(0)

    def on_click(self, event: Click) -> None:
        """A click on one of a row's arrows means less or more, anywhere else it chooses the row."""
        at, rows = event.get_content_offset(self), self._visible()
        if at is None or self._first() + at.y >= len(rows):
            return
        row = rows[self._first() + at.y]
        self._cursor = row.name
        end = VALUE_AT + cell_len(self._value(row))
        if VALUE_AT - 3 <= at.x < VALUE_AT:
            self.action_turn(-1)
        elif end <= at.x < end + 3:
            self.action_turn(1)
        self.refresh()

    def _value(self, row: ChoiceRow) -> str:
        """The value and that it is the user's, where the row's keys have their place beside that; else a mark stands before the row."""
        if not row.yours:
            return row.value
        long = f"{row.value} (yours)"
        keys = len(row.keys) + 1 if row.keys else 0
        return long if VALUE_AT + cell_len(long) + 2 + keys <= self.size.width else row.value

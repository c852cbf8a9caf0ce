"""What can be turned: use case, context, KV type. The arrows change the row under the cursor; what the user set is marked as theirs."""

from __future__ import annotations

from msgspec import Struct
from textual.binding import Binding
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widget import Widget


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


class Choices(Widget, can_focus=True):
    """Rows with a value each. Left and right change the one under the cursor."""

    BINDINGS = [  # noqa: RUF012 - Textual reads it as a class variable
        Binding("up", "cursor(-1)", "up", show=False),
        Binding("down", "cursor(1)", "down", show=False),
        Binding("left", "turn(-1)", "less", show=False),
        Binding("right,space", "turn(1)", "more", show=False),
        Binding("enter", "open", "type a value", show=False),
    ]

    class Turned(Message):
        """A row is to change by one step; step 0 asks for an exact value."""

        def __init__(self, name: str, step: int) -> None:
            super().__init__()
            self.name = name
            self.step = step

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.border_title = "Choices"
        self._rows: tuple[ChoiceRow, ...] = ()
        self._cursor = 0

    def show(self, rows: tuple[ChoiceRow, ...]) -> None:
        """Show these rows; nothing is painted when they are what is shown already."""
        if rows != self._rows:
            changed = len(rows) != len(self._rows)
            self._rows = rows
            self.refresh(layout=changed)

    def render(self) -> Content:
        """The rows."""
        return Content("\n").join(self._line(at, row) for at, row in enumerate(self._rows))

    def _line(self, at: int, row: ChoiceRow) -> Content:
        here = self.has_focus and at == self._cursor
        value = f"{row.value}{' (yours)' if row.yours else ''}"
        room = self.size.width - 12 - len(value) - 4
        right = row.keys if len(row.keys) + 1 <= room else ""
        note = row.note if len(row.note) + len(right) + 3 <= room else ""
        pad = max(0, room - len(note) - len(right) - (1 if note else 0))
        return Content.assemble(
            ("▸ " if here else "  ", "$accent bold"),
            (f"{row.label:<9} ", "bold" if here else "$foreground-muted"),
            ("‹ ", "$accent" if here else "$foreground-muted"),
            (value, "$warning bold" if row.yours else "bold"),
            (" ›", "$accent" if here else "$foreground-muted"),
            (f" {note}" if note else "", "$foreground-muted"),
            (" " * pad + right, "$foreground-muted"),
        )

    def watch_has_focus(self, _has_focus: bool) -> None:
        """The cursor shows only where the keys go."""
        self.refresh()

    def action_cursor(self, step: int) -> None:
        """Another row."""
        if self._rows:
            self._cursor = max(0, min(len(self._rows) - 1, self._cursor + step))
            self.refresh()

    def action_turn(self, step: int) -> None:
        """Change the row under the cursor."""
        if self._rows:
            self.post_message(self.Turned(self._rows[self._cursor].name, step))

    def action_open(self) -> None:
        """Type a value for the row under the cursor."""
        self.action_turn(0)

    def on_click(self, event: Click) -> None:
        """A click on the left half of a row means less, on the right half more."""
        at = event.get_content_offset(self)
        if at is not None and at.y < len(self._rows):
            self._cursor = at.y
            self.action_turn(-1 if at.x < 15 else 1)
            self.refresh()

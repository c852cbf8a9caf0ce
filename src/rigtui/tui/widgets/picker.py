"""The model picker: a list with a filter that works as you type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Key
from textual.message import Message
from textual.widgets import Input, Static

from rigtui.text import clean
from rigtui.tui.widgets.model_list import ModelList, items_of
from rigtui.tui.widgets.model_rows import ModelRow

if TYPE_CHECKING:
    from rigtui.tui.shelf import Sort

Groups = Sequence[tuple[str, Sequence[ModelRow]]]
"""Titles and the rows below them."""


def matches(row: ModelRow, words: str) -> bool:
    """Every word of the filter is somewhere in the name, quantization, architecture or path."""
    return all(word in row.search for word in words.lower().split())


class ModelPicker(Vertical):
    """Pick a model. Give it sections of rows with `show`."""

    DEFAULT_CLASSES = "panel"

    class Picked(Message):
        """The cursor is on another model."""

        def __init__(self, path: str) -> None:
            super().__init__()
            self.path = path

    class Emptied(Message):
        """The filter hides every model, or no more."""

        def __init__(self, empty: bool) -> None:
            super().__init__()
            self.empty = empty

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.border_title = "Models"
        self._groups: Groups = ()
        self._selected: str | None = None
        self._unanswered: str | None = None
        """A pick whose answer is still to come: what is shown before it does not move the cursor back."""
        self._filter: Input | None = None
        """The line to type into, once it was asked for."""
        self._sort: Sort = "used"

    def compose(self) -> ComposeResult:
        """The list, and what is said in its place when the filter leaves nothing of it."""
        nothing = Static("", markup=False, id="model-none")
        nothing.display = False
        yield nothing
        yield ModelList(id="model-list")

    @property
    def _list(self) -> ModelList:
        return self.query_one(ModelList)

    @property
    def _none(self) -> Static:
        return self.query_one("#model-none", Static)

    @property
    def _words(self) -> str:
        return self._filter.value if self._filter is not None else ""

    def show(self, groups: Groups, selected: str | None, sort: Sort, title: str, subtitle: str = "") -> None:
        """Show these models with the cursor on `selected`; `title` and `subtitle` stand in the border."""
        self._groups, self._sort = groups, sort
        if self._unanswered in (None, selected):
            self._selected, self._unanswered = selected, None
        if not self._list.roomy and sort != "size" and any(rows for _, rows in groups):
            # There is no room for the unit in the rows.
            title = f"{title} · tok/s"
        # Setting it repaints the border, whether or not it is another text.
        if title != self.border_title:
            self.border_title = title
        if subtitle != self.border_subtitle:
            self.border_subtitle = subtitle
        self._draw()

    def open_filter(self) -> None:
        """Show the filter line and type into it: what is typed right behind the key belongs there."""
        if self._filter is None:
            # Not an Entry: the list is to be laid out with every letter, it gets wider when its scroll bar goes.
            self._filter = Input(placeholder="filter: name, quantization, family", id="model-filter", select_on_focus=False)
            self.mount(self._filter, before=0)
        self._filter.display = True
        self.screen.set_focus(self._filter)

    def close_filter(self) -> None:
        """All models again."""
        if self._filter is not None:
            self._filter.value = ""
            self._filter.display = False
        self.screen.set_focus(self._list)

    def _draw(self) -> None:
        words = self._words
        groups = [(title, [row for row in rows if matches(row, words)]) for title, rows in self._groups]
        self._list.show(items_of([group for group in groups if group[1]]), self._selected, self._sort)
        none = bool(words) and not self._list.rows
        if none:
            self._none.update(f"no model matches '{clean(words)}'; Esc clears")
        if none != self._none.display:
            self._none.display, self._list.display = none, not none
            self.post_message(self.Emptied(none))

    @on(ModelList.Moved)
    def _moved(self, event: ModelList.Moved) -> None:
        event.stop()
        self._pick(event.path)

    def _pick(self, path: str) -> None:
        self._selected = self._unanswered = path
        self.post_message(self.Picked(path))

    @on(Input.Changed, "#model-filter")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._draw()
        usable = [row.path for row in self._list.rows if row.problem is None]
        if usable and self._selected not in usable:
            self._pick(usable[0])
            self._draw()

    @on(Input.Submitted, "#model-filter")
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        if self._list.display:
            self.screen.set_focus(self._list)

    def on_key(self, event: Key) -> None:
        """Escape leaves the filter, the arrows walk the list while typing."""
        if self._filter is None:
            return
        if event.key == "escape" and self._filter.display:
            event.stop()
            self.close_filter()
        elif event.key in ("down", "up") and self._filter.has_focus:
            event.stop()
            self._list.action_cursor(1 if event.key == "down" else -1)

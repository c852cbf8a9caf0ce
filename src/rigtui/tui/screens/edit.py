"""A profile's text, to be changed here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static, TextArea

from rigtui.errors import RigtuiError
from rigtui.text import clean
from rigtui.tui.bindings import bindings, close_line, key_words
from rigtui.tui.rows import literal
from rigtui.tui.screens.dialog import Dialog
from rigtui.tui.screens.dialogs import Answer, QuestionScreen


class EditScreen(Dialog[str | None]):
    """Gives what storing said once the text could be stored; None when it was closed."""

    BINDINGS = bindings("edit", "line")

    def __init__(self, title: str, text: str, store: Callable[[str], str]) -> None:
        """`store` keeps a text and says where; it raises RigtuiError for one that is not valid."""
        super().__init__()
        self._title, self._text, self._store = title, text, store

    def compose(self) -> ComposeResult:
        """Text, and what is wrong with it."""
        with Vertical(classes="box tall") as box:
            box.border_title = literal(self._title)
            box.border_subtitle = close_line(self, "line.close", key_words(self, "edit.store", "stores it"))
            yield TextArea(self._text, soft_wrap=True, show_line_numbers=True, tab_behavior="focus")
            yield Static("", markup=False, id="wrong")

    def on_mount(self) -> None:
        """A caret that stands still."""
        area = self.query_one(TextArea)
        area.cursor_blink = False
        area.focus()

    @on(TextArea.Changed)
    def _changed(self) -> None:
        self.query_one("#wrong", Static).update("")

    def action_store(self) -> None:
        """Keep it, if it is valid."""
        self.attempt(self._title, partial(self._store, self.query_one(TextArea).text), self.dismiss, self._refused)

    def _refused(self, error: RigtuiError) -> None:
        self.query_one("#wrong", Static).update(clean(str(error)))

    def action_close(self) -> None:
        """Nothing is changed; what was typed is not thrown away unasked."""
        if self.query_one(TextArea).text == self._text:
            self.dismiss(None)
            return
        answers = (Answer("stay", "Go on editing"), Answer("discard", "Discard them"))
        self.app.push_screen(QuestionScreen(self._title, "Discard your changes?", answers), self._close_answered)

    def _close_answered(self, answer: str | None) -> None:
        if answer == "discard":
            self.dismiss(None)

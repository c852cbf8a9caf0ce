"""A profile's text, to be changed here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static, TextArea

from rigtui.text import clean
from rigtui.tui.bindings import bindings, close_line, key_words
from rigtui.tui.rows import literal
from rigtui.tui.screens.dialog import Dialog
from rigtui.tui.screens.dialogs import Answer, QuestionScreen


class EditScreen(Dialog[str | None]):
    """Gives what storing said once the text could be stored; None when it was closed before."""

    BINDINGS = bindings("edit", "line")

    def __init__(self, title: str, text: str, store: Callable[[str], str]) -> None:
        """`store` keeps a text and says where; it raises RigtuiError for one that is not valid."""
        super().__init__()
        self._title, self._text, self._store = title, text, store
        self._where: str | None = None

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
        self._say("")

    def action_store(self) -> None:
        """Keep it, if it is valid."""
        text = self.query_one(TextArea).text
        self.attempt(self._title, partial(self._store, text), partial(self._stored, text), lambda error: self._say(clean(str(error))))

    def _stored(self, text: str, where: str) -> None:
        self._text, self._where = text, where
        if self.query_one(TextArea).text == text:
            self.dismiss(where)
        else:
            self._say(f"stored in {where}, without what was typed since")

    def _say(self, text: str) -> None:
        self.query_one("#wrong", Static).update(text)

    def action_close(self) -> None:
        """Nothing more is changed; what was typed is not thrown away unasked."""
        if self.query_one(TextArea).text == self._text:
            self.dismiss(self._where)
            return
        answers = (Answer("stay", "Go on editing"), Answer("discard", "Discard them"))
        self.app.push_screen(QuestionScreen(self._title, "Discard your changes?", answers), self._close_answered)

    def _close_answered(self, answer: str | None) -> None:
        if answer == "discard":
            self.dismiss(self._where)

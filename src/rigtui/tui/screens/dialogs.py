"""Small dialogs: a question with answers, a line to type, a text to read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec import Struct
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from rigtui.errors import ExistsError, RigtuiError
from rigtui.text import clean
from rigtui.tui.bindings import bindings, clickable, close_line, key_words
from rigtui.tui.rows import literal
from rigtui.tui.screens.dialog import Dialog
from rigtui.tui.widgets.entry import Entry


class Answer(Struct, frozen=True):
    """One answer to a question."""

    name: str
    text: str


class QuestionScreen(Dialog[str | None]):
    """Asks, and gives the chosen answer's name; None when it was closed."""

    BINDINGS = bindings("dialog")

    def __init__(self, title: str, text: str, answers: tuple[Answer, ...]) -> None:
        super().__init__()
        self._title, self._text, self._answers = title, text, answers

    def compose(self) -> ComposeResult:
        """Text and answers."""
        with Vertical(classes="box") as box:
            box.border_title = literal(self._title)
            box.border_subtitle = close_line(self, "dialog.close", "Enter chooses")
            yield Static(self._text, markup=False, classes="say")
            yield OptionList(*(Option(Content(answer.text), id=answer.name) for answer in self._answers), markup=False)

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    def action_close(self) -> None:
        """No answer."""
        self.dismiss(None)


class LineScreen(Dialog[str | None]):
    """Asks for one line, and stays with what was typed until that can be followed."""

    BINDINGS = bindings("line")

    def __init__(
        self,
        title: str,
        text: str,
        value: str,
        check: Callable[[str], str | None],
        *,
        follow: Callable[[str], object] | None = None,
        replace: Callable[[str], object] | None = None,
        example: str = "",
    ) -> None:
        """`check` returns what is wrong with a line, or None; `follow` does what it asks for, on a thread, and raises RigtuiError where
        that cannot be done; `replace`: what does it all the same where that was an ExistsError and the user wants it. `example` is shown
        while nothing stands there."""
        super().__init__()
        self._title, self._text, self._value, self._check = title, text, value, check
        self._follow, self._replace, self._example = follow, replace, example

    def compose(self) -> ComposeResult:
        """Text, line, and what is wrong with it."""
        with Vertical(classes="box") as box:
            box.border_title = literal(self._title)
            box.border_subtitle = close_line(self, "line.close", clickable("take", "Enter takes it"))
            yield Static(self._text, markup=False, classes="say")
            yield Entry(self._value, placeholder=self._example)
            yield Static("", markup=False, id="wrong")

    def on_mount(self) -> None:
        """A caret that stands still."""
        self.query_one(Input).cursor_blink = False

    def action_take(self) -> None:
        """Take what stands there."""
        # Later: a message that is sent while the box handles a click does not come further up than to the box.
        self.call_later(self.query_one(Input).action_submit)

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        line = event.value.strip()
        wrong = self._check(event.value)
        if wrong is not None:
            self._say(wrong)
        elif self._follow is None:
            self.dismiss(line)
        else:
            self._try(self._follow, line, partial(self._refused, line))

    def _try(self, follow: Callable[[str], object], line: str, refused: Callable[[RigtuiError], object]) -> None:
        self.attempt(self._title, partial(follow, line), lambda _: self.dismiss(line), refused)

    def _refused(self, line: str, error: RigtuiError) -> None:
        self._say(clean(str(error)))
        if self._replace is not None and isinstance(error, ExistsError):
            answers = (Answer("replace", "Replace it"), Answer("keep", "Keep it"))
            self.app.push_screen(QuestionScreen(self._title, clean(f"{error.there}."), answers), partial(self._answered, line))

    def _answered(self, line: str, answer: str | None) -> None:
        if answer == "replace" and self._replace is not None:
            self._try(self._replace, line, lambda error: self._say(clean(str(error))))

    def _say(self, wrong: str) -> None:
        self.query_one("#wrong", Static).update(wrong)

    def action_close(self) -> None:
        """Nothing typed."""
        self.dismiss(None)


class TextScreen(Dialog[None]):
    """A text to read, and to copy where it is worth it."""

    BINDINGS = bindings("text", "dialog")

    def __init__(self, title: str, text: Content, copy: str | None = None) -> None:
        super().__init__()
        self._title, self._text, self._copy = title, text, copy

    def compose(self) -> ComposeResult:
        """The text, which scrolls."""
        with VerticalScroll(classes="box tall") as box:
            box.border_title = literal(self._title)
            box.border_subtitle = close_line(self, "dialog.close", *([key_words(self, "text.copy", "copies")] if self._copy else []))
            yield Static(self._text, markup=False)

    def on_mount(self) -> None:
        """Keys scroll at once."""
        self.query_one(VerticalScroll).focus()

    def action_copy(self) -> None:
        """Put it on the clipboard (the terminal's, by OSC 52)."""
        if self._copy:
            self.app.copy_to_clipboard(self._copy)
            self.notify("copied", title=self._title)

    def action_close(self) -> None:
        """Done reading."""
        self.dismiss(None)

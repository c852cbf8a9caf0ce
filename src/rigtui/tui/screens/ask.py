"""One test question to the running model; the answer is shown as it arrives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from rigtui.runs.state import RunState
from rigtui.text import clean
from rigtui.tui import tasks
from rigtui.tui.bindings import bindings, close_line
from rigtui.tui.messages import Answered
from rigtui.tui.run_text import QUESTION, base_url
from rigtui.tui.services import Conversation

MAX_ANSWER = 20_000
"""Characters kept of an answer: this is a test, not a chat."""


class AskScreen(ModalScreen[None]):
    """A question, and the answer below it."""

    BINDINGS = bindings("line")

    def __init__(self, run: RunState, ask: Callable[[RunState, str], Conversation]) -> None:
        super().__init__(classes="dialog")
        self._served, self._ask = run, ask
        self._conversation: Conversation | None = None
        self._answer = ""
        self._waiting = False

    def compose(self) -> ComposeResult:
        """Question and answer."""
        with Vertical(classes="box tall") as box:
            box.border_title = f"Ask {clean(self._served.model)}"
            box.border_subtitle = close_line(self, "line.close", "Enter asks")
            yield Static(f"POST {base_url(self._served)}/chat/completions", markup=False, classes="quiet")
            yield Input(QUESTION, id="question")
            with VerticalScroll(id="answer-box"):
                yield Static("", markup=False, id="answer")

    def on_mount(self) -> None:
        """A caret that stands still."""
        self.query_one(Input).cursor_blink = False

    @on(Input.Submitted)
    def _asked(self, event: Input.Submitted) -> None:
        question = event.value.strip()
        if question and not self._waiting:
            self._waiting, self._answer = True, ""
            self.query_one("#answer", Static).update("…")
            self._conversation = conversation = self._ask(self._served, question)
            self.run_worker(partial(tasks.listen, conversation, self.post_message), thread=True, group="ask")

    @on(Answered)
    def _arrived(self, event: Answered) -> None:
        if event.failed:
            self._answer += f"\n[{event.text}]"
        elif len(self._answer) < MAX_ANSWER:
            self._answer += event.text
        if event.done:
            self._waiting = False
        shown = "\n".join(clean(line) for line in self._answer.split("\n")) if self._answer else "…"
        if event.done and not self._answer:
            shown = "(the answer is empty)"
        self.query_one("#answer", Static).update(shown)
        self.query_one("#answer-box", VerticalScroll).scroll_end(animate=False)

    def _stop(self) -> None:
        if self._conversation is not None:
            self._conversation.close()

    def on_unmount(self) -> None:
        """Nothing waits for an answer that nobody will read."""
        self._stop()

    def action_close(self) -> None:
        """Leave; an answer that is still arriving is dropped."""
        self.dismiss(None)

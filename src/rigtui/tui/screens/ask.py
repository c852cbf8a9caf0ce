"""A short conversation with the running model: each answer is shown as it arrives, with what it cost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from rigtui.text import clean
from rigtui.tui import tasks
from rigtui.tui.bindings import bindings, clickable, close_line
from rigtui.tui.messages import Answered
from rigtui.tui.rows import joined, literal
from rigtui.tui.run_text import QUESTION, base_url
from rigtui.tui.screens.dialog import Dialog
from rigtui.tui.services import Conversation, Speed, Turn
from rigtui.tui.widgets.entry import Entry

if TYPE_CHECKING:
    from rigtui.runs.state import RunState

MAX_ANSWER = 20_000
"""Characters kept of an answer: this is a test."""
TURNS = 20
"""Parts of the conversation that are sent along."""


def speed_text(speed: Speed) -> str:
    """What an answer cost, in a few words."""
    parts = (
        f"first token {speed.first_s:.2f} s" if speed.first_s is not None else "",
        f"{speed.tok_s:,.1f} tok/s" if speed.tok_s is not None else "",
        f"{speed.tokens:,} tokens" if speed.tokens is not None else "",
    )
    return joined(parts, 60)


class AskScreen(Dialog[None]):
    """What was said, and a line for the next question."""

    BINDINGS = bindings("line")

    def __init__(self, run: RunState, ask: Callable[[RunState, tuple[Turn, ...]], Conversation]) -> None:
        super().__init__()
        self._served, self._ask = run, ask
        self._conversation: Conversation | None = None
        self._turns: tuple[Turn, ...] = ()
        self._told: list[Content] = []
        """What stands above the answer that arrives."""
        self._answer = ""
        self._waiting = False

    def compose(self) -> ComposeResult:
        """Question and answers."""
        with Vertical(classes="box tall") as box:
            box.border_title = literal(f"Ask {clean(self._served.model)}")
            box.border_subtitle = close_line(self, "line.close", clickable("ask", "Enter asks"))
            yield Static(f"POST {base_url(self._served)}/chat/completions", markup=False, classes="quiet")
            yield Entry(QUESTION, id="question")
            with VerticalScroll(id="answer-box"):
                yield Static("", markup=False, id="answer")

    def on_mount(self) -> None:
        """A caret that stands still."""
        self.query_one(Input).cursor_blink = False

    def action_ask(self) -> None:
        """Ask what stands there."""
        self.call_later(self.query_one("#question", Input).action_submit)

    @on(Input.Submitted)
    def _asked(self, event: Input.Submitted) -> None:
        question = event.value.strip()
        if question and not self._waiting:
            self._waiting, self._answer = True, ""
            self._turns = (*self._turns, Turn("user", question))[-TURNS:]
            self._told.append(Content.styled(clean(question), "$accent bold"))
            event.input.value = ""
            event.input.placeholder = "the next question"
            self._conversation = conversation = self._ask(self._served, self._turns)
            self._draw("…")
            self.background("ask", partial(tasks.listen, conversation, self.post_message))

    @on(Answered)
    def _arrived(self, event: Answered) -> None:
        if event.failed:
            self._answer += f"\n[{event.text}]"
        elif len(self._answer) < MAX_ANSWER:
            self._answer += event.text
        shown = "\n".join(clean(line) for line in self._answer.split("\n")) if self._answer else "…"
        if not event.done:
            self._draw(shown)
            return
        self._waiting = False
        # A question without an answer is not said again.
        said = self._turns[:-1] if event.failed or not self._answer else (*self._turns, Turn("assistant", self._answer))
        self._turns = said
        self._told.append(Content(shown if self._answer else "(the answer is empty)"))
        cost = speed_text(event.speed) if event.speed is not None else ""
        self._told += [Content.styled(cost, "$foreground-muted"), Content("")] if cost else [Content("")]
        self._draw("")

    def _draw(self, arriving: str) -> None:
        parts = [*self._told, *([Content(arriving)] if arriving else [])]
        self.query_one("#answer", Static).update(Content("\n").join(parts))
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

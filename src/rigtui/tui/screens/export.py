"""An export as it would be written: read it, copy it, or write it to a file that is named."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from textual import on
from textual.content import Content

from rigtui.errors import RigtuiError, UsageError
from rigtui.text import clean
from rigtui.tui.bindings import bindings, close_line, keys_of
from rigtui.tui.messages import Noted
from rigtui.tui.screens.dialogs import Answer, LineScreen, QuestionScreen, TextScreen

WHERE = "The file to write; one that is there is not replaced without asking."
DEFAULT = "~/models.conf"


class ExportScreen(TextScreen):
    """The text of the file first, then where it goes."""

    BINDINGS = bindings("export", "text", "dialog")

    def __init__(self, title: str, text: str, write: Callable[[str, str, bool], str]) -> None:
        """`write` keeps a text in a file (the flag: in place of one that is there) and says which; UsageError: it is there."""
        super().__init__(title, Content(text), copy=text)
        self._export, self._write = text, write

    def on_mount(self) -> None:
        """The keys."""
        super().on_mount()
        keys = keys_of(self)
        says = (f"{keys.shown('export.write')} writes a file", f"{keys.shown('text.copy')} copies")
        self.query_one(".box").border_subtitle = close_line(self, "dialog.close", *says)

    def action_write(self) -> None:
        """Ask where."""
        self.app.push_screen(
            LineScreen("Write the export", WHERE, DEFAULT, lambda line: None if line.strip() else "type a file"), self._named
        )

    def _named(self, path: str | None) -> None:
        if path:
            self._keep(path, replaces=False)

    def _keep(self, path: str, *, replaces: bool) -> None:
        def work() -> None:
            try:
                self.post_message(Noted(f"written to {self._write(path, self._export, replaces)}", title="export"))
            except UsageError as error:
                self.app.call_from_thread(self._there, path, str(error))
            except RigtuiError as error:
                self.post_message(Noted(str(error), title="export", failed=True))

        self.run_worker(work, thread=True, group="export", exit_on_error=False)

    def _there(self, path: str, problem: str) -> None:
        answers = (Answer("replace", "Replace it"), Answer("keep", "Keep it"))
        self.app.push_screen(QuestionScreen("Write the export", clean(problem), answers), partial(self._answered, path))

    def _answered(self, path: str, answer: str | None) -> None:
        if answer == "replace":
            self._keep(path, replaces=True)

    @on(Noted)
    def _told(self, event: Noted) -> None:
        severity = "error" if event.failed else "information"
        self.notify(clean(event.text), title=event.title, severity=severity, markup=False)  # type: ignore[arg-type]

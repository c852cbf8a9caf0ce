"""An export as it would be written, in one format after the other: read it, copy it, or write it to a file that is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import Static

from rigtui.text import clean
from rigtui.tui import tasks
from rigtui.tui.bindings import bindings, close_line, key_words
from rigtui.tui.rows import literal
from rigtui.tui.screens.dialogs import LineScreen, TextScreen

if TYPE_CHECKING:
    from rigtui.tui.exporting import ExportText

WHERE = "The file to write; one that is there is not replaced without asking."


class ExportScreen(TextScreen):
    """The text of the file first, in the first format that can be written; then where it goes."""

    BINDINGS = bindings("export", "text", "dialog")

    def __init__(self, texts: Sequence[ExportText], write: Callable[[str, str, bool], str]) -> None:
        """`texts`: one for each format. `write` keeps a text in a file (the flag: in place of one that is there) and says which;
        UsageError: it is there."""
        super().__init__("Export", Content(""))
        self._texts, self._write = texts, write
        self._at = next((at for at, one in enumerate(texts) if one.text), 0)

    def on_mount(self) -> None:
        """The text and the keys."""
        super().on_mount()
        self._show()

    @property
    def _here(self) -> ExportText:
        return self._texts[self._at]

    @property
    def _following(self) -> int:
        return (self._at + 1) % len(self._texts)

    def _show(self) -> None:
        here = self._here
        self._copy = here.text or None
        shown = Content(here.text) if here.text else Content.styled(clean(here.problem), "$error")
        self.query_one(Static).update(shown)
        says = [key_words(self, "export.format", f"shows {self._texts[self._following].format}")] if len(self._texts) > 1 else []
        says += [key_words(self, "export.write", "writes a file"), key_words(self, "text.copy", "copies")] if here.text else []
        box = self.query_one(".box")
        box.border_title = literal(f"Export · {here.format}")
        box.border_subtitle = close_line(self, "dialog.close", *says)

    def action_format(self) -> None:
        """The next format."""
        self._at = self._following
        self._show()

    def action_write(self) -> None:
        """Ask where."""
        if self._here.text:
            write = partial(tasks.write_export, self._write, self.post_message, self._here.text)
            line = LineScreen(
                "Write the export",
                WHERE,
                f"~/{self._here.file}",
                lambda line: None if line.strip() else "type a file",
                follow=partial(write, False),
                replace=partial(write, True),
            )
            self.app.push_screen(line)

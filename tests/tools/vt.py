"""A terminal as far as the screen needs one: where the cursor goes and what is written there. Everything else is read over."""

from __future__ import annotations

import re

from rich.cells import get_character_cell_size

_SEQUENCE = re.compile(
    r"\x1b\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])|\x1b[\]P_^X].*?(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|(?P<control>[\x00-\x1f\x7f])",
    re.DOTALL,
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]P_^X][^\x07]*|[ -/]*)?$")


class Screen:
    """Cells of `width` x `height`; feed it what a program writes."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._cells = [[" "] * width for _ in range(height)]
        self._styles = [[""] * width for _ in range(height)]
        self._style = ""
        self._x = self._y = 0
        self._rest = ""

    def feed(self, text: str) -> None:
        """Take what was written; a sequence cut in two goes on with the next call."""
        text = self._rest + text
        cut = _UNFINISHED.search(text)
        self._rest = text[cut.start() :] if cut else ""
        text = text[: cut.start()] if cut else text
        at = 0
        for found in _SEQUENCE.finditer(text):
            self._write(text[at : found.start()])
            self._act(found)
            at = found.end()
        self._write(text[at:])

    @property
    def lines(self) -> list[str]:
        """What stands in every line."""
        return ["".join(row) for row in self._cells]

    @property
    def styles(self) -> list[list[str]]:
        """The style of every cell, as the codes that set it."""
        return [list(row) for row in self._styles]

    def _write(self, text: str) -> None:
        for char in text:
            size = get_character_cell_size(char)
            if size and self._y < self.height and self._x + size <= self.width:
                for half, at in enumerate(range(self._x, self._x + size)):
                    self._clear(at)
                    self._cells[self._y][at] = "" if half else char
                    self._styles[self._y][at] = self._style
                self._x += size

    def _clear(self, x: int) -> None:
        """Half a wide character is none."""
        row = self._cells[self._y]
        if row[x] == "" and x:
            row[x - 1] = " "
        elif x + 1 < self.width and row[x + 1] == "":
            row[x + 1] = " "

    def _act(self, found: re.Match[str]) -> None:
        control, final = found["control"], found["final"]
        if control == "\n":
            self._y += 1
        elif control == "\r":
            self._x = 0
        elif final == "H":
            row, _, column = found["parameters"].partition(";")
            self._y, self._x = int(row or 1) - 1, int(column or 1) - 1
        elif final == "J" and found["parameters"] == "2":
            self._cells = [[" "] * self.width for _ in range(self.height)]
        elif final == "m":
            codes = found["parameters"]
            if codes in ("", "0"):
                self._style = ""
            elif codes.startswith("0;"):
                self._style = codes[2:]
            else:
                self._style = f"{self._style};{codes}" if self._style else codes

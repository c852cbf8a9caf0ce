"""Lines of a log as they are drawn. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.content import Content

from rigtui.text import counted

if TYPE_CHECKING:
    from rigtui.tui.keys import Keys
    from rigtui.tui.log_book import LogBook
    from rigtui.tui.services import LogLine

MARKS = {"error": ("E", "$error bold"), "warn": ("W", "$warning bold")}
"""Level -> the letter before the line and its style; the others need none."""
LEVEL_WORDS = {None: "all levels", "warn": "warnings and errors", "error": "errors only"}


def log_line(line: LogLine, width: int, search: str) -> Content:
    """One line in `width` cells: its level as a letter, its text cut at the end, what was searched for marked."""
    mark, style = MARKS.get(line.level or "", (" ", ""))
    ink = "$error" if line.level == "error" else "$warning" if line.level == "warn" else ""
    text = Content.styled(line.text, ink)
    for found in re.finditer(re.escape(search), line.text, re.IGNORECASE) if search else ():
        text = text.stylize("reverse", found.start(), found.end())
    whole = Content.assemble((mark, style), " ", text)
    return whole if cell_len(whole.plain) <= width else whole.truncate(width, ellipsis=True)


def nothing_text(book: LogBook, keys: Keys) -> str:
    """In the place of a line where none is shown: whether there are none, or what hides them."""
    if not book.total:
        return "nothing to show"
    hides = [f"“{book.filter}” ({keys.shown('log.filter')} changes it)"] if book.filter else []
    hides += [f"{LEVEL_WORDS[book.least]} ({keys.shown('log.level')} turns it)"] if book.least is not None else []
    return f"none of {counted(book.total, 'line')} is shown: only {' and '.join(hides)}"


def log_title(name: str, book: LogBook, *, live: bool) -> str:
    """What the log shows: whose it is, how much, and whether it moves; that of a run that is not `live` does not."""
    at = f"at {book.cursor + 1:,} of {len(book):,}"
    moving, ended = "following" if book.following else f"paused {at}", "ended" if book.following else f"ended, {at}"
    parts = [f"Log of {name}", moving if live else ended]
    if book.least is not None:
        parts.append(LEVEL_WORDS[book.least])
    if book.filter:
        parts.append(f"only “{book.filter}”")
    if book.dropped:
        parts.append(f"{book.dropped:,} older or dropped lines in engine.log")
    return " · ".join(parts)

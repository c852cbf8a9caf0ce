"""Text laid out in cells: labels with a hanging indent, wrapping, shortening in the middle, sizes as people say them."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.markup import escape

from rigtui.text import GIB, MIB

NO_BREAK = "\u00a0"
LABEL = 10
"""Cells of the label column in the plan."""


def hang(head: Content, text: str, width: int, style: str = "") -> list[Content]:
    """`head`, then `text` wrapped beside it; later lines are indented by the head's width."""
    indent = head.cell_length
    body = lines_of(text, width - indent) or [""]
    return [Content.assemble(head, (body[0], style)), *(Content.assemble(" " * indent, (line, style)) for line in body[1:])]


def row(name: str, text: str, width: int, style: str = "") -> list[Content]:
    """A labelled text of the plan."""
    return hang(Content.styled(f"{name:<{LABEL}}", "$accent"), text, width, style)


def wrapped(text: str, width: int, style: str = "") -> list[Content]:
    """A text in lines."""
    return [Content.styled(line, style) for line in lines_of(text, width)]


def lines_of(text: str, width: int) -> list[str]:
    """`text` wrapped at spaces, not at hyphens (names have them) and not at no-break spaces, which become plain ones."""
    return [line.replace(NO_BREAK, " ") for line in wrap(text, max(10, width), break_on_hyphens=False)]


def joined(parts: Iterable[str], width: int, separator: str = " · ") -> str:
    """The parts in one line; what does not fit is left out, the first always stays."""
    text = ""
    for part in parts:
        more = f"{text}{separator}{part}" if text else part
        if part and (not text or len(more) <= width):
            text = more
    return text


def size(count: int) -> str:
    """Bytes as people say them: GiB with one decimal, MiB below one GiB."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def gib_cell(count: int) -> str:
    """Bytes as a cell of a table in GiB, in five cells below 100,000 of them: nothing is `–`, and little is not nothing."""
    if count == 0:
        return "–"
    if abs(count) >= 1000 * GIB:
        return f"{count / GIB:.0f}"
    return f"{count / GIB:.1f}" if abs(count) >= GIB // 20 else "<0.1"


def middle(text: str, width: int) -> str:
    """`text` in at most `width` cells; the middle goes, because names differ at both ends."""
    if cell_len(text) <= width:
        return text
    tail = _first_cells(text[::-1], max(0, (width - 1) // 2))[::-1]
    head = _first_cells(text, max(0, width - 1 - cell_len(tail)))
    return f"{head}…{tail}" if width > 0 else ""


def _first_cells(text: str, width: int) -> str:
    """The beginning of `text` that fits `width` cells: a wide character that would be cut in two is left out."""
    used = 0
    for at, char in enumerate(text):
        used += cell_len(char)
        if used > width:
            return text[:at]
    return text


def literal(text: str) -> str:
    """Text for the title of a border, which Textual 8.2.8 reads as markup: names of models and profiles are none."""
    return escape(text)


def padded(text: str, width: int) -> str:
    """`text` in exactly `width` cells (some characters are two cells wide)."""
    return set_cell_size(text, width)

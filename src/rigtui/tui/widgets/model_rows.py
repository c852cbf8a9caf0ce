"""What a model's row says: its name and size, where it would go on this rig and how fast, what kind of model it is. Pure."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from msgspec import Struct
from rich.cells import cell_len, set_cell_size
from textual.content import Content

from rigtui.text import clean
from rigtui.tui.placing import STATUS_COLORS, WORDS, Placement, speed_text
from rigtui.tui.rows import joined, middle, padded, size

if TYPE_CHECKING:
    from rigtui.models.library import LibraryEntry
    from rigtui.tui.shelf import Sort

MUTED = "$foreground-muted"
FAVOURITE, RUNNING = "★", "●"
WAITING = "…"
SIZE = re.compile(r"[0-9.]+(x[0-9.]+)?[bBmM]")
"""`8B`, `1.5b`, `8x7B`: how many parameters a model has, as its name says it."""
SAYS_LITTLE = ("instruct", "it", "chat", "gguf", "hf")
LEAST_OF_THE_BEGINNING = 4
NARROW_FACT = 12
"""Cells of the right column where a row has one line: `offload ~999`."""


class ModelRow(Struct, frozen=True, kw_only=True):
    """One model of the list, as texts."""

    path: str
    name: str
    size: str
    facts: tuple[str, ...] = ()
    """Architecture, trained context, experts."""
    search: str = ""
    """What the filter looks at, in lower case."""
    problem: str | None = None
    """Why it cannot be used."""
    placement: Placement | None = None
    """None while it has not been derived."""
    current: bool = True
    """The placement is for the present use case and settings."""
    favourite: bool = False
    running: bool = False


def row_of(
    entry: LibraryEntry,
    *,
    placement: Placement | None = None,
    current: bool = True,
    favourite: bool = False,
    running: bool = False,
) -> ModelRow:
    """The row of a model."""
    model = entry.model
    trained = f"{model.context_trained >> 10}k" if model and model.context_trained else ""
    experts = f"{model.experts.count} experts" if model and model.experts else ""
    words = (entry.name, entry.path, model.quantization if model else "", model.architecture if model else "")
    return ModelRow(
        path=entry.path,
        name=shown_name(entry),
        size=size(model.weights_bytes) if model else "unusable",
        facts=(clean(model.architecture), trained, experts) if model else (),
        search=" ".join(words).lower(),
        problem=None if model else _problem(entry),
        placement=placement,
        current=current,
        favourite=favourite,
        running=running,
    )


def _problem(entry: LibraryEntry) -> str:
    """Why it cannot be used, without the places that the row need not name."""
    path = PurePath(entry.path)
    text = clean(entry.error or "it cannot be used")
    return text.replace(clean(str(path)), "it").replace(f"{clean(str(path.parent))}/", "").replace(clean(path.name), "it")


def shown_name(entry: LibraryEntry) -> str:
    """The model's name, with its quantization where the name does not say it: two files of one model must read differently."""
    name, model = clean(entry.name), entry.model
    if model is None or not model.quantization or model.quantization.lower() in name.lower():
        return name
    return f"{name} {clean(model.quantization)}"


def row_lines(row: ModelRow, width: int, *, roomy: bool, open_: bool, sort: Sort) -> list[Content]:
    """The one or two lines of a row in `width` cells.

    `roomy`: every row has two lines and there is room for words; else only the one under the cursor (`open_`) shows its facts below.
    """
    mark = Content.styled(FAVOURITE, "$warning") if row.favourite else Content(" ")
    mark = Content.styled(RUNNING, "$success") if row.running else mark
    short = not (roomy or sort == "size" or row.problem)
    right = _short(row) if short else Content.styled(row.size, MUTED)
    room = max(6, width - 2 - max(right.cell_length, NARROW_FACT if short else 0))
    name = padded(shortened(row.name, room), room)
    gap = " " * max(1, width - 1 - cell_len(name) - right.cell_length)
    head = Content.assemble(mark, (name, MUTED if row.problem else ""), gap, right)
    if not (roomy or open_):
        return [head]
    return [head, _facts(row, width, with_size=not roomy)]


def shortened(name: str, room: int) -> str:
    """A model's name in `room` cells: its size and quantization stay as long as there is place for how it begins, for these tell
    models of a family apart.
    """
    words = re.split("[- ]", name)
    at = next((at for at, word in enumerate(words) if SIZE.fullmatch(word)), len(words))
    head, rest = "-".join(words[:at]), words[at + 1 :]
    telling = [word for word in rest if word.lower() not in SAYS_LITTLE]
    for kept in (telling, telling[-1:]):
        tail = f"{words[at]}{'-' if kept == rest else '…'}{'-'.join(kept)}" if kept else name
        left = room - cell_len(tail) - 1
        if cell_len(name) > room and left >= LEAST_OF_THE_BEGINNING:
            return f"{head}-{tail}" if cell_len(head) <= left else f"{set_cell_size(head, left)}…{tail}"
    return middle(name, room)


def _short(row: ModelRow) -> Content:
    """`fits ~38`: status and tokens per second."""
    found = row.placement
    if found is None:
        return Content.styled(WAITING, MUTED)
    speed = "" if found.tok_s is None else f" {'' if found.basis == 'measured' else '~'}{found.tok_s:,.0f}"
    return Content.assemble((WORDS[found.status], STATUS_COLORS[found.status] if row.current else MUTED), (f"{speed:>5}", MUTED))


def _facts(row: ModelRow, width: int, *, with_size: bool) -> Content:
    """Where it would go and how fast, then as many facts as there is room for; or why it cannot be used."""
    if row.problem is not None:
        return Content.styled(f"  {row.problem}", "$warning").truncate(width, ellipsis=True)
    found = row.placement
    if with_size:
        return Content.styled(" " + joined([found.cards if found else "", row.size, *row.facts], width - 1), MUTED)
    if found is None:
        return Content.styled("  " + joined([WAITING, *row.facts], width - 2), MUTED)
    word = WORDS[found.status]
    where = f" on {found.cards}" if found.cards else ""
    room = width - 2 - len(word)
    rest = middle(joined([where or " ", speed_text(found), *row.facts], room), room)
    return Content.assemble("  ", (word, STATUS_COLORS[found.status] if row.current else MUTED), (rest, MUTED))

"""How rows of bars become lines of text: widths, labels inside the bar, the legend. Pure but for Rich's value types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from textwrap import wrap

from msgspec import Struct
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color

from rigtui.text import GIB
from rigtui.tui.rows import middle
from rigtui.tui.segments import NOW, PLANNED, RAM, BarRow, Piece, cells, label

# With no or few colours the fill tells the kinds apart; else the ground does, and its cells are blank: one byte each, not three.
FILL = {
    "reserved": "-",
    "desktop": "=",
    "others": "%",
    "engines": "#",
    "unknown": "?",
    "used": "+",
    "weights": "█",
    "kv": "▓",
    "compute": "▒",
    "floor": "░",
    "headroom": "·",
    "free": " ",
    "short": "!",
}
NAME_CELLS = 18
"""Cells of a process's name."""
MOST_NAMES = 2
"""Holders that are named behind a piece."""
LEAST = ("reserved", "floor", "compute")
"""Pieces that are left out of a row's details, in this order, where they would leave no room for its layers."""
HATCH = "╱"
SPACING = ((" ", "  "), (" ", " "), ("", " "))
"""Between a mark of the legend and its word, and behind the word: the first that fits one line."""
LEVELS = "▁▂▃▄▅▆▇█"


class Palette(Struct, frozen=True):
    """The colours the bars are drawn with, parsed once per theme."""

    kinds: Mapping[str, Color]
    text: Color
    muted: Color
    error: Color
    surface: Color
    fills: bool = False
    """Too few colours to tell every kind by: fills do."""
    plain: bool = False
    """No colours at all; `fills` holds too."""


class Layout(Struct, frozen=True, kw_only=True):
    """Where the columns of all rows stand, in cells."""

    width: int
    name: int
    bar: int
    figures: int
    sensors: bool
    spark: int
    details: bool
    """A second line per card with the numbers."""


def number(size: int) -> str:
    """GiB with one decimal, without the unit."""
    return f"{size / GIB:.1f}"


def lay_out(rows: Sequence[BarRow], width: int, details: bool) -> Layout:
    """The columns for `rows` in `width` cells: the bar gets what the names and numbers leave."""
    name = min(max((len(row.name) for row in rows), default=4), 14 if width < 100 else 22)
    sensors = width >= 100 and any(row.temperature_c is not None or row.utilization is not None for row in rows)
    spark = (8 if width < 140 else 16) if width >= 100 and any(len(row.history) > 1 for row in rows) else 0
    figures = max((len(figures_text(row, wide=width >= 100)) for row in rows), default=0)
    bar = width - 2 - name - 1 - 2 - 1 - figures - (11 if sensors else 0) - (spark + 2 if spark else 0)
    return Layout(width=width, name=name, bar=max(8, bar), figures=figures, sensors=sensors, spark=spark, details=details and width >= 100)


def row_lines(row: BarRow, layout: Layout, palette: Palette) -> list[list[Segment]]:
    """The one or two lines of a row."""
    text, muted = _style(palette, palette.text), _style(palette, palette.muted)
    name = row.name if len(row.name) <= layout.name else row.name[: layout.name - 1] + "…"
    start = Segment(f" {name:<{layout.name}} ", text)
    if row.error is not None:
        room = max(20, layout.width - layout.name - 4)
        style, indent = _style(palette, palette.error, bold=True), Segment(" " * (layout.name + 3))
        return [
            [indent if at else start, Segment(text if at else f" {text}", style)]
            for at, text in enumerate(wrap(f"error: {row.error}", room))
        ]
    line = [start, Segment("▕", muted), *_bar(row, layout.bar, palette), Segment("▏", muted), *_figures(row, layout, palette)]
    if not layout.details or (row.name == RAM and row.after_bytes is None):
        return [line]
    indent = Segment(" " * (layout.name + 3))
    return [line, [indent, *_details(row, layout, palette)]]


def figures_text(row: BarRow, *, wide: bool) -> str:
    """Free now, and after the plan where there is one."""
    if row.error is not None:
        return ""
    before = number(row.before_bytes or 0)
    if row.after_bytes is not None and row.after_bytes < 0:
        return f"short {number(-row.after_bytes)} GiB"
    change = before if row.after_bytes is None else f"{before} → {number(row.after_bytes)}"
    return f"{change} GiB{' free' if wide else ''}"


def _style(palette: Palette, color: Color | None, ground: Color | None = None, *, bold: bool = False) -> Style:
    return _made(None, None, bold) if palette.plain else _made(color, ground, bold)


@cache
def _made(color: Color | None, ground: Color | None, bold: bool) -> Style:
    """Made once: a style of Rich's costs more than the cells it is for."""
    return Style(color=color.rich_color if color else None, bgcolor=ground.rich_color if ground else None, bold=bold)


def _bar(row: BarRow, width: int, palette: Palette) -> list[Segment]:
    pieces = {piece.kind: piece for piece in row.pieces}
    drawn = cells(row.pieces, row.total_bytes, width)
    return [segment for kind, count in drawn for segment in _run(row, pieces.get(kind, Piece(kind, 0)), count, palette)]


def _run(row: BarRow, piece: Piece, count: int, palette: Palette) -> list[Segment]:
    kind = piece.kind
    ground = palette.kinds[kind]
    hatched = row.simulated and kind not in ("free", "headroom", "short")
    if palette.fills:
        fill_style, fill = _style(palette, ground), (FILL[kind] + HATCH if hatched else FILL[kind])
    elif hatched or kind == "headroom":
        mark = ground.blend(palette.surface, 0.4) if hatched else ground.blend(palette.text, 0.35)
        fill_style, fill = _style(palette, mark, ground), HATCH if hatched else FILL[kind]
    else:
        fill_style, fill = _style(palette, None, ground), " "
    word = _word(piece, count)
    length = cell_len(word)
    before = (count - length) // 2 if word else count
    parts = [Segment((fill * count)[:before], fill_style)]
    if word:
        parts.append(Segment(word, _word_style(kind, palette)))
        parts.append(Segment((fill * count)[: count - before - length], fill_style))
    return [part for part in parts if part.text]


def _word_style(kind: str, palette: Palette) -> Style:
    """How the word of a piece stands on it: on fills it stands by itself."""
    ground = palette.kinds[kind]
    if palette.fills:
        return _style(palette, palette.text)
    if kind == "free":
        return _style(palette, palette.text.blend(ground, 0.35), ground)
    dark, light = Color.parse("#0b0d10"), Color.parse("#f4f6fa")
    return _style(palette, palette.text if kind == "headroom" else dark if ground.brightness > 0.38 else light, ground)


def _word(piece: Piece, count: int) -> str:
    """What stands in a piece of `count` cells: who holds most of it where one does, else what it is."""
    words = [label(piece.kind)]
    if piece.holders and piece.holders[0][1] > piece.bytes // 2:
        words.insert(0, middle(piece.holders[0][0], NAME_CELLS))
    for word in words:
        # In a small piece the figure is worth more than the space around it.
        for text in (f" {word} {number(piece.bytes)} ", f"{word} {number(piece.bytes)}", f" {word} "):
            if cell_len(text) <= count:
                return text
    return ""


def _figures(row: BarRow, layout: Layout, palette: Palette) -> list[Segment]:
    text, muted = _style(palette, palette.text), _style(palette, palette.muted)
    short = row.after_bytes is not None and row.after_bytes < 0
    style = _style(palette, palette.error, bold=True) if short else text
    parts = [Segment(f" {figures_text(row, wide=layout.width >= 100):>{layout.figures}}", style)]
    if layout.sensors:
        degrees = "" if row.temperature_c is None else f"{row.temperature_c}°C"
        busy = "" if row.utilization is None else f"{row.utilization}%"
        parts.append(Segment(f"{degrees:>6}{busy:>5}", muted))
    if layout.spark:
        parts.append(Segment(f"  {sparkline(row.history, layout.spark)}", _style(palette, palette.kinds["engines"])))
    return parts


def sparkline(history: Sequence[float], width: int) -> str:
    """The last `width` shares as levels on a scale from nothing to all of the card, so that small changes look small."""
    shown = list(history)[-width:]
    return "".join(LEVELS[max(0, min(7, int(share * 8)))] for share in shown).rjust(width)


def _details(row: BarRow, layout: Layout, palette: Palette) -> list[Segment]:
    """The pieces as words and numbers, each word marked with its piece's colour."""
    groups = [("now", [piece for piece in row.pieces if piece.kind in NOW])]
    if any(piece.kind in PLANNED for piece in row.pieces):
        groups.append(("plan", [piece for piece in row.pieces if piece.kind in (*PLANNED, "headroom")]))
    words: list[tuple[str, str | None]] = []
    for title, pieces in groups:
        words += [(title, None), *((f"{label(piece.kind)} {number(piece.bytes)}", piece.kind) for piece in pieces)] if pieces else []
    room, placed = layout.width - layout.name - 4, len(row.placed) + 1 if row.placed else 0
    for least in LEAST if placed else ():
        if _cells_of(words, 1) + placed > room:
            words = [word for word in words if word[1] != least]
    words = _with_names(words, row, room - placed)
    gap = 2 if _cells_of(words, 2) + placed <= room else 1
    parts: list[Segment] = []
    for word, kind in words:
        space = 1 if kind is None else gap
        if cell_len(word) > room:
            break
        room -= cell_len(word) + space
        parts.append(Segment(word + " " * space, _style(palette, _ink(kind, palette))))
    if row.placed and placed <= room:
        parts.append(Segment(f" {row.placed}", _style(palette, palette.text)))
    return parts


def _cells_of(words: Sequence[tuple[str, str | None]], gap: int) -> int:
    """What words take with so much space behind each."""
    return sum(cell_len(word) + (1 if kind is None else gap) for word, kind in words)


def _with_names(words: list[tuple[str, str | None]], row: BarRow, room: int) -> list[tuple[str, str | None]]:
    """The words with the largest holders of each piece behind it, as far as there is room for them: the others' first."""
    room -= sum(cell_len(word) + 2 for word, _ in words)
    named = list(words)
    for piece in sorted((piece for piece in row.pieces if piece.holders), key=lambda piece: (piece.kind != "others", -piece.bytes)):
        for count in (MOST_NAMES, 1):
            text = f" ({', '.join(middle(name, NAME_CELLS) for name, _ in piece.holders[:count])})"
            if cell_len(text) <= room:
                room -= cell_len(text)
                named = [(word + text if kind == piece.kind else word, kind) for word, kind in named]
                break
    return named


def _ink(kind: str | None, palette: Palette) -> Color:
    """A kind's colour made readable as text on the surface."""
    if kind is None:
        return palette.muted
    return palette.kinds[kind].blend(palette.text, 0.35)


def legend_lines(rows: Sequence[BarRow], layout: Layout, palette: Palette) -> list[list[Segment]]:
    """The marks of the pieces on screen with their words, in the order of the bars, on as many lines as they take."""
    present = {piece.kind for row in rows for piece in row.pieces}
    # `used` is wide and carries its word in the bar; without its colour that is not enough.
    order = [kind for kind in (*NOW, *PLANNED, "headroom") if kind in present and (palette.fills or kind != "used")]
    items = [(FILL[kind], kind, label(kind)) for kind in order]
    if any(row.simulated for row in rows):
        items.insert(0, (HATCH, "", "simulated"))
    room = left = layout.width - 2
    words = sum(1 + len(word) for _, _, word in items)
    space, gap = next((one for one in SPACING if words + len(items) * len("".join(one)) <= room), SPACING[-1])
    lines = [[Segment(" ")]]
    for fill, kind, word in items:
        text = f"{space}{word}{gap}"
        if 1 + len(text) > left and left < room:
            lines.append([Segment(" ")])
            left = room
        left -= 1 + len(text)
        lines[-1] += [Segment(fill, _mark(kind, palette)), Segment(text, _style(palette, palette.muted))]
    return lines


def _mark(kind: str, palette: Palette) -> Style:
    """How a kind's fill stands in the legend: as in the bars."""
    ground = palette.kinds[kind] if kind else palette.surface
    if palette.fills or not kind:
        return _style(palette, ground if kind else palette.text, None if palette.fills else ground)
    return _style(palette, ground.blend(palette.text, 0.35) if kind == "headroom" else ground, ground)

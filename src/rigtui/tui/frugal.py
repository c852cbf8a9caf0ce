"""What is sent to the terminal when a part of the screen changes: the cells that are not there already, and nothing else.

Textual 8.2.8 sends a changed line from the beginning of its widget on (`textual._compositor.ChopsUpdate`), every piece with its whole
style and a reset. Over SSH that is what a calm screen costs, so here the cells that were sent are remembered and compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import get_character_cell_size
from rich.color import ColorSystem
from rich.console import Console
from textual._compositor import ChopsUpdate, Compositor, LayoutUpdate
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip

Cell = tuple[str, str]
"""What stands in a cell, with the codes of its style; the right half of a wide character is empty."""
BRIDGE = 4
"""So many unchanged cells of the same style are sent again rather than jumped over: a jump is as long."""


class FrugalUpdate(ChopsUpdate):
    """A change of some lines, sent as the cells that differ from `sent`."""

    sent: dict[int, list[Cell | None]]

    def render_segments(self, console: Console) -> str:
        """The characters to write. What they put on the screen is remembered."""
        system = console._color_system or ColorSystem.TRUECOLOR
        parts: list[str] = []
        style = ""
        for y, x1, x2 in self.spans:
            line = self.sent.setdefault(y, [])
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or x >= x2 or end <= x1:
                    continue
                new = list(cells(strip, system))[: end - x]
                old = line[x : x + len(new)]
                if old == new:
                    continue
                old += [None] * (len(new) - len(old))
                for run in changed(old, new):
                    parts.append(f"\x1b[{y + 1};{x + run.start + 1}H")
                    for char, codes in new[run.start : run.stop]:
                        if codes != style:
                            parts.append(f"\x1b[{codes}m" if not style else f"\x1b[0;{codes}m" if codes else "\x1b[0m")
                            style = codes
                        parts.append(char)
                line += [None] * (x - len(line))
                line[x : x + len(new)] = new
        if style:
            parts.append("\x1b[0m")
        return "".join(parts)


def cells(strip: Strip, system: ColorSystem) -> Iterator[Cell]:
    """The cells of a strip."""
    for text, style, _ in strip:
        codes = "" if style is None else style._ansi if style._ansi is not None else Strip.render_ansi(style, system)
        if text.isascii():
            yield from ((char, codes) for char in text)
            continue
        for char in text:
            size = get_character_cell_size(char)
            if size:
                yield char, codes
                if size == 2:
                    yield "", codes


def changed(old: Sequence[Cell | None], new: Sequence[Cell]) -> list[range]:
    """Where two equally long rows of cells differ; a wide character is never cut in two."""
    runs: list[range] = []
    for at in range(len(new)):
        if old[at] == new[at]:
            continue
        start = at - 1 if new[at][0] == "" and at else at
        stop = at + 2 if at + 1 < len(new) and new[at + 1][0] == "" else at + 1
        if runs and start <= runs[-1].stop:
            runs[-1] = range(runs[-1].start, max(stop, runs[-1].stop))
        elif runs and start - runs[-1].stop <= BRIDGE and _alike(new[runs[-1].stop - 1 : start + 1]):
            runs[-1] = range(runs[-1].start, stop)
        else:
            runs.append(range(start, stop))
    return runs


def _alike(row: Iterable[Cell]) -> bool:
    """Whether one style does for all of them."""
    return len({codes for _, codes in row}) == 1


class FrugalCompositor(Compositor):
    """A compositor that knows what it has sent. Whatever repaints the whole screen makes it forget."""

    def __init__(self) -> None:
        super().__init__()
        self._sent: dict[int, list[Cell | None]] = {}

    def _get_renders(self, crop: Region | None = None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        """What stands in the rows of `crop`, of the parts that reach into it: Textual 8.2.8 has every part draw all its lines whose
        frame reaches into it."""
        if crop is None:
            yield from super()._get_renders()
            return
        rows = Region(0, crop.y, self.size.width, crop.height)
        for widget, (region, clip) in self.visible_widgets.items():
            seen = region.intersection(clip)
            if seen.overlaps(crop):
                inside = seen.intersection(rows)
                yield region, inside, widget.render_lines(inside.translate(-region.offset))

    def render_full_update(self, simplify: bool = False) -> LayoutUpdate:
        """Everything anew."""
        self._sent.clear()
        return super().render_full_update(simplify)

    def render_partial_update(self) -> ChopsUpdate | None:
        """What changed."""
        update = super().render_partial_update()
        if update is None:
            return None
        frugal = FrugalUpdate(update.chops, update.spans, update.chop_ends)
        frugal.sent = self._sent
        return frugal


class FrugalScreen(Screen[None]):
    """A screen that sends changed cells only."""

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._compositor = FrugalCompositor()

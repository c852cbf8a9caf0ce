"""What runs measured, as a plot of block characters: one column each, oldest left, labelled below. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from rich.cells import cell_len
from textual.content import Content

from rigtui.text import GIB, clean
from rigtui.tui.rows import middle

if TYPE_CHECKING:
    from rigtui.planning.outcomes import AttemptResult, RunResult

BLOCKS = " ▁▂▃▄▅▆▇█"
AXIS = 9
"""Cells of the scale on the left."""
LEAST_HEIGHT = 3


class Metric(Struct, frozen=True):
    """Something that can be plotted."""

    name: str
    value: Callable[[AttemptResult], float | None]
    digits: int = 0


def _peaks(attempt: AttemptResult) -> float | None:
    peaks = [device.peak_bytes for device in attempt.devices]
    known = [peak for peak in peaks if peak is not None]
    return sum(known) / GIB if known and len(known) == len(peaks) else None


METRICS = (
    Metric("decode, tok/s", lambda attempt: attempt.decode_tok_s, 1),
    Metric("prefill, tok/s", lambda attempt: attempt.prefill_tok_s),
    Metric("context per request, tokens", lambda attempt: float(attempt.context_per_slot)),
    Metric("peak of all cards, GiB", _peaks, 1),
)


def build_name(build: str) -> str:
    """The part of an engine's build that tells it from others: `llama-server b6500 (CUDA)` is `b6500`."""
    found = re.search(r"\bb?\d[\w.]*", build)
    return clean(found[0] if found else build)


class Column(Struct, frozen=True):
    """One column of a plot."""

    value: float | None
    """None: it failed, or did not measure this."""
    label: str
    color: str = "$primary"


def served(attempt: AttemptResult) -> bool:
    """Whether it came to be measured, however it ended."""
    return attempt.failure is None or attempt.decode_tok_s is not None


def plot(results: Sequence[RunResult], metric: Metric, width: int, height: int) -> list[Content]:
    """What the runs of a profile measured; each build is named below its first run."""
    lasts = [(run.attempt[-1], build_name(run.build)) for run in results if run.attempt]
    columns = [Column(metric.value(last) if served(last) else None, build) for last, build in lasts]
    return chart(f"{metric.name}, by run and build", columns, width, height, digits=metric.digits)


def chart(title: str, columns: Sequence[Column], width: int, height: int, *, digits: int) -> list[Content]:
    """The plot in `height` lines of at most `width` cells, its title and its axis among them; the newest columns where not all fit."""
    head = Content.styled(title, "$accent")
    room = max(1, width - AXIS - 2)
    shown = columns[-(room // 2) :]
    known = [column.value for column in shown if column.value is not None]
    if not known:
        return [head, Content.styled("No run has measured this yet.", "$foreground-muted")]
    each = max(2, min(8, room // len(shown)))
    rows, top = max(LEAST_HEIGHT, height - 3), max(known) or 1.0
    lines = [head]
    for row in range(rows, 0, -1):
        cells: list[tuple[str, str]] = [(_scale(row, rows, top, digits), "$foreground-muted")]
        cells += [_cell(column, row, rows, top, each) for column in shown]
        lines.append(Content.assemble(*cells))
    lines.append(Content.styled(" " * AXIS + "└" + "─" * (each * len(shown)), "$foreground-muted"))
    return [*lines, _labels(shown, each)]


def _scale(row: int, rows: int, top: float, digits: int) -> str:
    """The figure at the top, the middle and the bottom; the line of the axis everywhere."""
    shown = top if row == rows else top / 2 if row == rows // 2 + 1 and rows > LEAST_HEIGHT else None
    return f"{'' if shown is None else f'{shown:,.{digits}f}':>{AXIS}}│"


def _cell(column: Column, row: int, rows: int, top: float, each: int) -> tuple[str, str]:
    wide, value = each - 1, column.value
    if value is None:
        # A run that failed, or did not measure this, is a mark on the axis, not a gap nobody sees.
        return ("×".ljust(each) if row == 1 else " " * each, "$error")
    eighths = round(value / top * rows * 8) - (row - 1) * 8
    return (BLOCKS[max(0, min(8, eighths))] * wide + " ", column.color)


def _labels(columns: Sequence[Column], each: int) -> Content:
    """Each label below the first of its columns; where there is no room for it, it is left out."""
    line, before = " " * (AXIS + 1), ""
    for at, column in enumerate(columns):
        start = AXIS + 1 + at * each
        if column.label != before and cell_len(line) <= start:
            line = line.ljust(start) + middle(column.label, 12) + " "
            before = column.label
    return Content.styled(line.rstrip()[: AXIS + 1 + each * len(columns) + 12], "$foreground-muted")

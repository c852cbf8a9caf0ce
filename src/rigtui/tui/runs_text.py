"""Runs as rows, and the story of one: its attempts, how it works now, and what each card held at most beside what was planned. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.content import Content

from rigtui.text import GIB, clean, gib
from rigtui.tui.rows import joined, middle, padded, row, size, wrapped
from rigtui.tui.run_text import PHASE_COLORS, PHASE_MARKS, live_text, measured_text, progress_bar, run_name
from rigtui.tui.segments import short_name

if TYPE_CHECKING:
    from rigtui.engines.live import Live
    from rigtui.rig.rig import Rig
    from rigtui.runs.state import AttemptState, RunState

BAR = 16
OUTCOME_COLORS = {"ready": "$success", "failed": "$error", "stopped": "$foreground-muted"}


def run_row(run: RunState, width: int) -> Content:
    """One line of the list: phase, name, engine, port and when it was started."""
    right = joined((clean(run.engine), f":{run.port}" if run.live else "", when(run.started)), width // 2)
    phase = f"{PHASE_MARKS[run.phase]} {run.phase}"
    room = max(8, width - 11 - cell_len(right) - 2)
    tries = f" (attempt {run.attempt})" if run.attempt > 1 else ""
    tries += " (trial)" if run.trial else ""
    name = middle(run_name(run), max(8, room - len(tries))) + tries
    return Content.assemble((f"{phase:<11}", PHASE_COLORS[run.phase]), padded(name, room), (f"  {right}", "$foreground-muted"))


def when(stamp: str) -> str:
    """`2026-03-01T19:20:21Z` as `2026-03-01 19:20 UTC`."""
    return f"{clean(stamp)[:16].replace('T', ' ')} UTC"


def card_names(rig: Rig | None) -> dict[str, str]:
    """Cards by UUID, as people call them."""
    return {gpu.uuid: f"GPU {gpu.index} {short_name(gpu.name)}" for gpu in (rig.gpus if rig else ()) if gpu.uuid}


def story(run: RunState, live: Live | None, names: Mapping[str, str], width: int) -> list[Content]:
    """All there is to say of a run."""
    lines = [*wrapped(run_name(run), width, "bold"), *_facts(run, width)]
    lines += _timeline(run, width)
    if live is not None and run.live and (now := live_text(live, width - 10)):
        lines += row("now", now, width, "bold")
    if measured := measured_text(run, width - 10):
        lines += row("measured", measured, width)
    lines += _memory(run, names, width)
    for note in run.notes:
        lines += wrapped(clean(note), width, "$warning")
    return lines


def _facts(run: RunState, width: int) -> list[Content]:
    parts = [clean(run.engine), clean(run.build), f"context {run.context:,}", f"started {when(run.started)}"]
    parts += [f"ready {when(run.ready_at)}"] if run.ready_at else []
    parts += [f"ended {when(run.ended)}"] if run.ended else []
    parts += ["planned for a simulated rig"] if run.simulated else []
    return wrapped(" · ".join(parts), width, "$foreground-muted")


def _timeline(run: RunState, width: int) -> list[Content]:
    lines: list[Content] = []
    for number, attempt in enumerate(run.attempts, start=1):
        current = number == len(run.attempts)
        word = attempt.outcome or (run.phase if current else "?")
        color = OUTCOME_COLORS.get(word, PHASE_COLORS.get(word, ""))
        mark = PHASE_MARKS.get(word, "·")
        head = Content.assemble(
            ("attempts  " if number == 1 else " " * 10, "$accent"), f"{number} ", (f"{mark} {word:<8}", f"{color} bold")
        )
        body = _attempt_text(attempt, number)
        room = max(20, width - head.cell_length - 1)
        first, *rest = wrap(body, room) or [""]
        if current and run.phase == "loading" and run.progress is not None:
            lines.append(Content.assemble(head, " ", progress_bar(run.progress, BAR)))
        else:
            lines.append(Content.assemble(head, f" {first}"))
        lines += [Content(" " * (head.cell_length + 1) + more) for more in rest]
        if attempt.failure is not None and attempt.failure.line:
            lines += [Content.styled(" " * 12 + more, "$foreground-muted") for more in wrap(clean(attempt.failure.line), width - 12)[:3]]
    return lines


def _attempt_text(attempt: AttemptState, number: int) -> str:
    change = f"changed: {clean(attempt.change)}" if attempt.change else ""
    failure = clean(attempt.failure.text) if attempt.failure is not None else ""
    return ". ".join(part.rstrip(".") for part in (change, failure) if part) or ("as planned" if number == 1 else "")


def _memory(run: RunState, names: Mapping[str, str], width: int) -> list[Content]:
    """Per card of the plan: what it held at most, of what was planned."""
    peaks = run.measured.peak_bytes if run.measured else {}
    lines: list[Content] = []
    for card, planned in run.planned_bytes.items():
        name = padded(middle(names.get(card, clean(card)), 20), 20)
        peak = peaks.get(card)
        head = Content.assemble(("peaks     " if not lines else " " * 10, "$accent"), f"{name} ")
        if peak is None:
            lines.append(Content.assemble(head, (f"planned {gib(planned)}, not observed", "$foreground-muted")))
            continue
        more = peak - planned
        bar = _bar(peak, planned) if width >= 76 else Content("")
        off = f"{'+' if more > 0 else '−'}{size(abs(more))}" if abs(more) >= GIB // 100 else "as planned"
        text = f"{peak / GIB:.1f} of {gib(planned)} planned, {off}"
        lines.append(Content.assemble(head, bar, (text, "$warning" if more > GIB // 8 else "")))
    if lines and run.measured and run.measured.peak_basis == "card":
        lines += wrapped("The driver names no processes here: peaks are the growth of the whole card.", width, "$foreground-muted")
    return lines


def _bar(peak: int, planned: int) -> Content:
    done = round(min(1.0, peak / planned) * BAR) if planned > 0 else 0
    return Content.assemble(("█" * done, "$bar-engines"), ("░" * (BAR - done), "$foreground-muted"), " ")

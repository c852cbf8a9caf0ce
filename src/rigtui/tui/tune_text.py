"""A tuning as text: what is tried and what comes of it, the trials as a table and as a plot. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from rich.cells import cell_len
from textual.content import Content

from rigtui.intent.intent import Overrides
from rigtui.planning.remembered import described
from rigtui.text import clean
from rigtui.tui.plot_text import Column, chart
from rigtui.tui.rows import hang, row, wrapped
from rigtui.tui.run_text import PHASE_COLORS, PHASE_MARKS, progress_bar

if TYPE_CHECKING:
    from rigtui.runs.state import RunState
    from rigtui.runs.tune import TrialResult
    from rigtui.tui.keys import Keys
    from rigtui.tui.services import TuningView

AXES = {"gpus": "cards and their order", "kv_type": "KV type", "ubatch": "micro-batch", "fit_target_mib": "headroom"}
COLUMNS = (("decode", 8, 1), ("prefill", 8, 0), ("first", 6, 2), ("splits", 7, 0), ("context", 8, 0))
"""Of the table: name, cells, decimals."""
BAR = 8
PARTS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
"""Eighths of a cell."""


class Measure(Struct, frozen=True):
    """Something of a trial that can be drawn: its field, what it is called, decimals."""

    field: str
    name: str
    digits: int


MEASURES = (
    Measure("value", "a whole request, tok/s, weighed by context and KV type", 1),
    Measure("decode_tok_s", "decode, tok/s", 1),
    Measure("prefill_tok_s", "prefill, tok/s", 0),
    Measure("ttft_s", "first token, s (less is better)", 2),
)


class Standing(Struct, frozen=True, kw_only=True):
    """What the page of a tuning knows."""

    view: TuningView | None = None
    """None: not known yet."""
    running: bool = False
    stopping: bool = False
    trial: RunState | None = None
    """The run that is going on."""
    problem: str = ""
    said: str = ""
    """What has to be waited for."""


def tune_title(profile: str, view: TuningView | None) -> str:
    """Whose tuning it is, and how far."""
    far = f" · {len(view.trials)} of at most {view.limit} trials" if view is not None and view.axes else ""
    return f"Tune {clean(profile)}{far}"


def standing_lines(now: Standing, keys: Keys, width: int) -> list[Content]:
    """How the tuning stands, in a few lines."""
    view = now.view
    if view is None:
        text, color = (now.problem, "$error") if now.problem else (now.said or "Reading what was tried …", "")
        return wrapped(clean(text), width, color)
    if not view.axes:
        return wrapped("There is nothing to try: the profile sets all of it, or this rig leaves no choice.", width)
    lines = row("tries", ", ".join(AXES.get(axis, axis) for axis in view.axes), width)
    if now.problem:
        lines += wrapped(clean(now.problem), width, "$error")
    if now.stopping:
        return [*lines, *row("now", "stopping the trial; its engine goes first", width, "$warning")]
    if now.running:
        return [*lines, *_trial_lines(now, view, width)]
    return [*lines, *_resting(view, keys, width)]


def _trial_lines(now: Standing, view: TuningView, width: int) -> list[Content]:
    what = described(view.following, view.cards) if view.following is not None else "the last one is over"
    run = now.trial
    phase = "measuring" if run is not None and run.measuring else run.phase if run is not None else "starting"
    color = "$success" if phase == "measuring" else PHASE_COLORS.get(phase, "")
    head = Content.assemble(("now       ", "$accent"), (f"{PHASE_MARKS.get(phase, '●')} {phase}", f"{color} bold"), "  ")
    if run is not None and phase == "loading" and run.progress is not None:
        head = Content.assemble(head, progress_bar(run.progress, BAR), "  ")
    return hang(head, what, width)


def _resting(view: TuningView, keys: Keys, width: int) -> list[Content]:
    start, save, anew = (keys.shown(f"tune.{name}") for name in ("start", "save", "anew"))
    if not view.trials:
        text = f"{start} tries them: each trial is a launch that is measured and stopped again. What you set yourself stays as it is."
        return wrapped(text, width)
    lines = row("best", best_text(view), width, "bold")
    if view.following is not None:
        return [*lines, *wrapped(f"{start} goes on after {_trials(len(view.trials))}.", width)]
    if view.best is None:
        return [*lines, *wrapped(f"No trial worked; {keys.shown('profiles.open')} in the cockpit shows why. {anew} begins anew.", width)]
    return [*lines, *wrapped(f"Done. Launches of the profile begin with it; {save} writes it into the profile, {anew} begins anew.", width)]


def best_text(view: TuningView) -> str:
    """The best settings, and by how much they serve better than rigtui's own."""
    if view.best is None:
        return "none yet"
    best = next((trial for trial in view.trials if trial.is_best(view.best)), None)
    own = next((trial for trial in view.trials if trial.is_best(Overrides())), None)
    text = described(view.best, view.cards)
    if best is None or own is None or best is own:
        return text
    return f"{text}: {best.value / own.value - 1:+.0%} against rigtui's own settings"


def _trials(count: int) -> str:
    return f"{count} trial{'' if count == 1 else 's'}"


def trial_table(view: TuningView, width: int) -> list[Content]:
    """The trials, the best first, each with its number, a bar, what was measured, and its settings; for 60 cells and more."""
    if not view.trials:
        return [Content.styled("No trial yet.", "$foreground-muted")]
    head = f"{'':<{BAR + 3}}" + "".join(f"{name:>{cells}}" for name, cells, _ in COLUMNS) + "  settings"
    lines = [Content.styled(head if cell_len(head) <= width else head[:width], "$accent")]
    top = max(trial.value for trial in view.trials) or 1.0
    for number, trial in sorted(enumerate(view.trials, start=1), key=lambda one: -one[1].value):
        best = trial.is_best(view.best)
        eighths = round(BAR * 8 * trial.value / top)
        bar = "█" * (eighths // 8) + PARTS[eighths % 8]
        mark = ("$success bold" if best else "$foreground-muted", "$success" if best else "$primary")
        start = Content.assemble((f"{number:>2} ", mark[0]), (f"{bar:<{BAR}}", mark[1]))
        what = ("best: " if best else "") + described(trial.settings, view.cards) + trial.remark
        if trial.value:
            lines += hang(Content.assemble(start, _figures(trial), "  "), what, width, "bold" if best else "")
        else:
            lines += hang(Content.assemble(start, "  "), f"failed, {clean(trial.failure or 'not measured')}: {what}", width, "$error")
    return lines


def _figures(trial: TrialResult) -> str:
    values = (trial.decode_tok_s, trial.prefill_tok_s, trial.ttft_s, trial.graph_splits, trial.context)
    cells = zip(values, COLUMNS, strict=True)
    return "".join(f"{'–' if value is None else f'{value:,.{digits}f}':>{room}}" for value, (_, room, digits) in cells)


def trial_plot(view: TuningView, measure: Measure, width: int, height: int) -> list[Content]:
    """The trials in their order, the best one named; failed ones are marks on the axis."""
    columns = []
    for number, trial in enumerate(view.trials, start=1):
        best = trial.is_best(view.best)
        value = getattr(trial, measure.field) if trial.value else None
        columns.append(Column(value, f"{number} best" if best else str(number), "$success" if best else "$primary"))
    return chart(f"{measure.name}, by trial", columns, width, height, digits=measure.digits)

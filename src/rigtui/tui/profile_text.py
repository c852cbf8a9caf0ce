"""Profiles as rows, and the results of one as a table. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from rich.cells import cell_len
from textual.content import Content

from rigtui.planning.lesson_text import lesson_of
from rigtui.planning.regression import regressions
from rigtui.text import GIB, clean
from rigtui.tui.plot_text import build_name, served
from rigtui.tui.rows import joined, lines_of, middle, padded, wrapped

if TYPE_CHECKING:
    from rigtui.runs.results import AttemptResult, RunResult
    from rigtui.tui.keys import Keys
    from rigtui.tui.services import ProfileRow

COLUMNS = (("date", 10), ("build", 7), ("context", 7), ("KV", 6), ("decode", 6), ("prefill", 7), ("first", 5))
"""The table's columns with their widths; the peaks get what is left."""
PEAKS = "peak/planned GiB"


def profile_row(row: ProfileRow, width: int, *, removed: str = "") -> Content:
    """One line of the list: name, use case, model, and what is in the way; `removed` says that it was removed."""
    profile = row.profile
    state = removed or ("" if row.model_state == "here" else row.model_state)
    origin = "ships with rigtui" if row.shipped and width >= 96 else ""
    right = joined((state, origin), width // 2) if state else origin
    name = min(26, width // 3)
    room = max(6, width - name - 12 - cell_len(right) - 2)
    muted = "$foreground-muted"
    return Content.assemble(
        (padded(middle(clean(profile.name), name), name), muted if removed or row.model_state != "here" else ""),
        (f" {padded(clean(profile.use_case), 10)} ", muted),
        (padded(middle(clean(profile.model), room), room), muted),
        (f"  {right}" if right else "", "$warning" if state else muted),
    )


def about_profile(row: ProfileRow, width: int) -> list[Content]:
    """What the list has no room for: the whole model, the user's own settings, the first line of the description."""
    profile = row.profile
    own = [f"{key} {_plain(value)}" for key, value in msgspec.to_builtins(profile.overrides).items()]
    settings = " · ".join([f"engine {profile.engine}", *own])
    lines = [*wrapped(clean(profile.model), width, "bold"), *wrapped(clean(settings), width)]
    if profile.summary:
        lines += [Content.styled(line, "$foreground-muted") for line in lines_of(clean(profile.summary), width)[:1]]
    return lines


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return str(value)


def not_measured(row: ProfileRow, keys: Keys, width: int, *, others: bool = False) -> list[Content]:
    """Why there are no results, and what brings some; `others`: those of other runs of its model follow."""
    if others:
        return wrapped("It never ran under this name. What runs of its model measured here:", width, "$foreground-muted")
    if row.model_state != "here":
        return wrapped(f"It never ran here: {clean(row.missing) or 'its model is not here'}", width, "$foreground-muted")
    load, launch = keys.shown("profiles.load"), keys.shown("engine.launch")
    text = f"It never ran here. {load} loads it, {launch} launches it then; every run is measured when it is ready."
    return wrapped(text, width, "$foreground-muted")


def results_table(results: tuple[RunResult, ...], width: int) -> list[Content]:
    """What the runs measured, newest first, one line each; there is one at least."""
    head = " ".join(f"{name:<{size}}" if at in (0, 1, 3) else f"{name:>{size}}" for at, (name, size) in enumerate(COLUMNS))
    lines = [_fit(Content.styled(f"{head}  {PEAKS}", "$accent"), width)]
    lines += [_fit(_result_line(result, width), width) for result in reversed(results)]
    learned = [*(f"worse: {text}" for text in regressions(results[-1], results)), *lesson_of(results[-1])]
    return [*lines, Content(""), *(line for text in learned for line in wrapped(f"the last run: {text}", width, "$foreground-muted"))]


def _fit(line: Content, width: int) -> Content:
    return line if line.cell_length <= width else line.truncate(width, ellipsis=True)


def _result_line(result: RunResult, width: int) -> Content:
    attempt = result.attempt[-1] if result.attempt else None
    start = f"{clean(result.started)[:10]:<10} {padded(middle(build_name(result.build), 7), 7)} "
    if attempt is None:
        return Content.assemble(start, (clean(result.outcome), "$warning"))
    kv_type = "/".join(dict.fromkeys(attempt.kv_type))
    what = f"{attempt.context_per_slot:>7,} {padded(middle(clean(kv_type), 6), 6)} "
    failed = f"failed: {clean(attempt.failure)}" if attempt.failure is not None else ""
    if failed and not served(attempt):
        return Content.assemble(start, what, (failed, "$error"))
    speeds = f"{_number(attempt.decode_tok_s, 6, 1)} {_number(attempt.prefill_tok_s, 7, 0)} {_number(attempt.ttft_s, 5, 2)}"
    line = Content.assemble(start, (what, "$foreground-muted"), (speeds, "bold"), "  ", (f"{failed}  " if failed else "", "$error"))
    peaks = _peaks(attempt, width - line.cell_length)
    return line if failed and len(peaks) > width - line.cell_length else Content.assemble(line, peaks)


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'–' if value is None else f'{value:,.{digits}f}':>{width}}"


def _peaks(attempt: AttemptResult, width: int) -> str:
    """`21.1/21.4 9.8/9.9`: what each card held at most, and what was planned; all cards together where there is no room for each."""
    each = " ".join(f"{_gib(device.peak_bytes)}/{_gib(device.planned_bytes)}" for device in attempt.devices)
    if len(each) <= width:
        return each or "–"
    peaks = [device.peak_bytes for device in attempt.devices if device.peak_bytes is not None]
    peak = sum(peaks) if len(peaks) == len(attempt.devices) else None
    return f"all {_gib(peak)}/{_gib(sum(device.planned_bytes for device in attempt.devices))}"


def _gib(count: int | None) -> str:
    return "?" if count is None else f"{count / GIB:.1f}"


def removed_text(names: Sequence[str], keys: Keys) -> str:
    """What is said of profiles that are deleted now: how they come back."""
    back = f"{keys.shown('profiles.open')}, {keys.shown('profiles.undo')} brings"
    if len(names) == 1:
        return f"{clean(names[0])} is removed; {back} it back"
    return f"{', '.join(clean(name) for name in names[:-1])} and {clean(names[-1])} are removed; {back} them back"

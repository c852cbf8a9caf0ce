"""A run as text: phase, progress, what failed and why, and what a ready engine is used with. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from textual.content import Content
from textual.style import Style

from rigtui.text import clean
from rigtui.tui.actions import BY_ID
from rigtui.tui.rows import joined, middle, wrapped

if TYPE_CHECKING:
    from rigtui.engines.engine import Failure
    from rigtui.engines.live import Live
    from rigtui.runs.state import RunState
    from rigtui.tui.keys import Keys

QUESTION = "In one sentence: what is a model at home good for?"
PHASE_COLORS = {
    "starting": "$warning",
    "loading": "$warning",
    "ready": "$success",
    "stopping": "$warning",
    "stopped": "$foreground-muted",
    "failed": "$error",
}
SLOW = "slow: "
"""How a run's note about its pace begins; of one that has ended it would read as if something still went wrong."""
LAUNCHING = "the plan is derived once more from a fresh reading of the rig"
PHASE_MARKS = {"starting": "◌", "loading": "◌", "ready": "●", "stopping": "◌", "stopped": "○", "failed": "✖"}


def headline(run: RunState | None, width: int, *, launching: bool = False, others: int = 0) -> Content:
    """The state of the run that is shown in at most `width` cells, for the top line, and how many `others` are live; the name gives way
    first."""
    if run is None:
        return Content.styled("◌ launching", "$warning") if launching else Content.styled("○ no engine running", "$foreground-muted")
    after = f" {run.phase}"
    if run.phase == "loading" and run.progress is not None:
        after += f" {run.progress:.0%}"
    if run.phase == "ready":
        after += f" :{run.port}"
    more = f"  +{others} running" if others else ""
    name = middle(run_name(run), max(8, width - len(after) - len(more) - 2))
    return Content.assemble((f"{PHASE_MARKS[run.phase]} {name}{after}", PHASE_COLORS[run.phase]), (more, "$success"))


def run_name(run: RunState) -> str:
    """What people call a run: its profile, or else its model."""
    return clean(run.profile or run.model)


def base_url(run: RunState) -> str:
    """What OpenAI clients are given as base URL."""
    return f"{run.url.rstrip('/')}/v1"


def curl_command(run: RunState, question: str = QUESTION) -> str:
    """A command that asks the running model one question."""
    body = json.dumps({"model": run.model_id, "messages": [{"role": "user", "content": question}]}, ensure_ascii=False)
    return f"curl {base_url(run)}/chat/completions -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def progress_bar(share: float, width: int) -> Content:
    """How far loading is."""
    done = round(max(0.0, min(1.0, share)) * width)
    return Content.assemble(("▓" * done, "$warning"), ("░" * (width - done), "$foreground-muted"), f" {share:.0%}")


def run_lines(
    run: RunState | None,
    width: int,
    keys: Keys,
    *,
    launching: str = "",
    runs: Sequence[RunState] = (),
    planned: bool = True,
    live: Live | None = None,
) -> list[Content]:
    """The engine panel, a few short lines; `runs` are all there are, the shown one among them; `launching`: what a launch waits for."""
    waits = wrapped(f"launching: {clean(launching)}", width, "$warning") if launching else []
    if run is None:
        if waits:
            return waits
        line = Content.styled("No engine is running.", "$foreground-muted")
        line += Content("  ") + _hint("", keys, "engine.launch", "launches this plan") if planned else Content("")
        return [line + Content("  ") + _hint("", keys, "engine.next", "shows the last run") if runs else line]
    lines = [*waits, *([tabs(runs, run, width, keys)] if len(runs) > 1 else [])]
    lines.append(_status_line(run, width))
    lines += _ladder(run, width, keys)
    if run.phase == "ready":
        lines += _ready(run, width, keys, live)
    elif run.phase == "failed" and run.failure is not None:
        lines += _failure(run.failure, width, keys)
    elif run.phase == "stopped":
        text = "Nothing was measured." if run.ready_at is None else "Its result is kept."
        lines.append(_hint(text, keys, "engine.launch", "launches this plan") if planned else Content(text))
    lines += [Content.styled(text, "$warning") for note in _notes(run) for text in wrap(clean(note), width)]
    return lines


def _notes(run: RunState) -> list[str]:
    return [note for note in run.notes if run.live or not note.startswith(SLOW)]


def tabs(runs: Sequence[RunState], shown: RunState, width: int, keys: Keys) -> Content:
    """All runs side by side, the shown one marked; each can be clicked. What does not fit is counted."""
    hint = _hint("", keys, "engine.next", BY_ID["engine.next"].hint)
    room = width - hint.cell_length - 8
    each = max(8, min(24, room // len(runs) - 5))
    names = [run_name(run) for run in runs]
    parts: list[Content] = []
    for at, run in enumerate(runs):
        # Runs of one name are told apart by their order.
        nth = f" #{names[: at + 1].count(names[at])}" if names.count(names[at]) > 1 else ""
        name = f"{PHASE_MARKS[run.phase]} {middle(names[at], each - len(nth))}{nth}"
        here = run.run == shown.run
        tab = Content.assemble((f"[{name}]" if here else f" {name} ", f"{PHASE_COLORS[run.phase]} {'bold' if here else ''}".strip()))
        if tab.cell_length > room and not here:
            parts.append(Content.styled(f"+{len(runs) - at} ", "$foreground-muted"))
            break
        room -= tab.cell_length
        parts.append(tab.stylize(Style.from_meta({"@click": f"screen.show_run({run.run!r})"})))
    return Content.assemble(*parts, " ", hint)


def _status_line(run: RunState, width: int) -> Content:
    head = Content.styled(f"{PHASE_MARKS[run.phase]} {run.phase}", f"{PHASE_COLORS[run.phase]} bold")
    if run.phase == "loading" and run.progress is not None:
        head = Content.assemble(head, " ", progress_bar(run.progress, max(8, min(24, width // (4 if run.attempt == 1 else 6)))))
    facts = [f"attempt {run.attempt} of {run.attempts_most}"] if run.attempt > 1 else []
    facts += ["measuring its speed"] if run.measuring else []
    facts += ["simulated rig"] if run.simulated else []
    after = "".join(f" · {fact}" for fact in (run.engine, *facts))
    room = width - head.cell_length - len(after) - 2
    # The name gives way first, down to what still tells runs apart.
    line = Content.assemble(head, "  ", middle(run_name(run), max(8, room)), after)
    return line if line.cell_length <= width else line.truncate(width, ellipsis=True)


def _ladder(run: RunState, width: int, keys: Keys) -> list[Content]:
    """What each attempt after the first changed, and why; once it is ready that there was something is enough."""
    failed = sum(attempt.failure is not None for attempt in run.attempts[: run.attempt - 1])
    if run.phase == "ready" and failed:
        return [_hint(f"after {failed} failed attempt{'s' if failed > 1 else ''}", keys, "engine.runs", "tells what was changed")]
    lines: list[Content] = []
    for number, attempt in enumerate(run.attempts, start=1):
        if attempt.change:
            color = "$foreground" if number == run.attempt else "$foreground-muted"
            lines += [Content.styled(part, color) for part in wrap(clean(f"attempt {number}: {attempt.change}"), width)]
    if run.live and (count := len(other_steps(run))):
        lines.append(_hint(f"{count} other step{'s' if count > 1 else ''} of the ladder", keys, "engine.stop", "offers them, or stops"))
    return lines


def other_steps(run: RunState) -> list[tuple[int, str]]:
    """The steps of the ladder that may be taken instead of the one that was, by number, as one line each."""
    after = [(number, step) for number, step in enumerate(run.steps) if number != run.step]
    return [
        (number, clean(f"Instead: {step.text.partition(': ')[2] or step.text} ({step.status}, {step.context:,} tokens)"))
        for number, step in after
    ]


def _ready(run: RunState, width: int, keys: Keys, live: Live | None) -> list[Content]:
    lines = [
        Content.assemble(("base URL  ", "$accent"), (base_url(run), "bold")),
        Content.assemble(("model id  ", "$accent"), clean(run.model_id)),
    ]
    speed = measured_text(run, width - 10)
    if speed:
        lines.append(Content.assemble(("measured  ", "$accent"), speed))
    if run.simulated:
        lines += wrapped("measured on this machine, planned for another rig", width, "$foreground-muted")
    if live is not None and (now := live_text(live, width - 10)):
        lines.append(Content.assemble(("now       ", "$accent"), now))
    lines.append(_hint("", keys, "engine.ask", "asks a test question  ") + _hint("", keys, "engine.copy", "copies a curl command"))
    return [line if line.cell_length <= width else line.truncate(width, ellipsis=True) for line in lines]


def measured_text(run: RunState, width: int) -> str:
    """What was measured, in at most `width` cells; empty: nothing yet."""
    measured = run.measured
    if measured is None:
        return ""
    parts = (
        f"{measured.decode_tok_s:,.1f} tok/s" if measured.decode_tok_s else "",
        f"prefill {measured.prefill_tok_s:,.0f} tok/s" if measured.prefill_tok_s else "",
        f"first token {measured.ttft_s:.2f} s" if measured.ttft_s else "",
        f"loaded in {measured.load_s:.1f} s" if measured.load_s else "",
    )
    return joined(parts, width)


def live_text(live: Live, width: int) -> str:
    """How the engine works now, in at most `width` cells: speed, KV cache in use, requests."""
    busy = live.processing is None or live.processing > 0
    kv = "" if live.kv_share is None else f"KV {live.kv_share:.0%} full"
    tokens = f" ({live.kv_tokens:,} tokens)" if kv and live.kv_tokens is not None else ""
    parts = (
        f"{live.decode_tok_s:,.1f} tok/s" if live.decode_tok_s and busy else "idle" if live.processing == 0 else "",
        f"reading {live.prefill_tok_s:,.0f} tok/s" if live.prefill_tok_s and busy else "",
        f"{kv}{tokens}",
        f"{live.processing} at work" if live.processing else "",
        f"{live.waiting} waiting" if live.waiting else "",
    )
    return joined(parts, width)


def _failure(failure: Failure, width: int, keys: Keys) -> list[Content]:
    lines = [Content.styled(part, "$error") for part in wrap(clean(failure.text), width)]
    if failure.line:
        lines += [Content.styled(part, "$foreground-muted") for part in wrap(clean(failure.line), width)[:2]]
    return [*lines, _hint("", keys, "engine.log", "shows the whole log")]


def _hint(text: str, keys: Keys, action: str, what: str) -> Content:
    """A text, then a key and what it does; a click on it does the same."""
    click = Style.from_meta({"@click": f"screen.{BY_ID[action].method}()"})
    does = Content.assemble((keys.shown(action), "$accent bold"), (f" {what}", "$foreground-muted")).stylize(click)
    return Content.assemble((f"{text}  " if text else "", "$foreground-muted"), does)

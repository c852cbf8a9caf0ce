"""Who holds VRAM, as rows and as a text about one of them. Pure but for the local time of day, which is passed in."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct
from textual.content import Content

from rigtui.rig.freeing import Freeing, what_frees
from rigtui.rig.process_facts import ProcessFacts
from rigtui.text import clean, gib
from rigtui.tui.rows import hang, joined, middle, padded, size, wrapped
from rigtui.tui.segments import card_key, label, short_name
from rigtui.tui.widgets.bar_lines import sparkline

if TYPE_CHECKING:
    from rigtui.rig.rig import Gpu, GpuProcess, Rig
    from rigtui.tui.state import Cockpit

WSL_UNKNOWN = (
    "WSL: the driver names no processes here. Unknown is what Windows and other WSL programs hold: "
    "close browsers and games in Windows; its Task Manager shows them under Details, column Dedicated GPU memory."
)
NOT_LISTED = "The driver gives no list of processes for this card."
SIMULATED = "This rig is simulated: a rig file does not say which programs hold the memory of its cards."
HISTORY_CELLS = 12


class Holder(Struct, frozen=True, kw_only=True):
    """One row of the page: a card's head line (no process), or a process that holds memory on it."""

    id: str
    gpu: Gpu
    process: GpuProcess | None = None
    facts: ProcessFacts = ProcessFacts()
    freeing: Freeing | None = None
    history: tuple[float, ...] = ()


def holders(state: Cockpit, facts: dict[int, ProcessFacts]) -> tuple[Holder, ...]:
    """All rows, card by card, the largest holder first."""
    found: list[Holder] = []
    served = {
        candidate.path: candidate.ref.removeprefix("ollama:") for candidate in state.candidates if candidate.ref.startswith("ollama:")
    }
    runs = {run.pid: run.run for run in state.live_runs if run.pid is not None}
    for gpu in state.rig.gpus if state.rig else ():
        found.append(Holder(id=f"{gpu.index}", gpu=gpu, history=state.history.get(card_key(gpu), ())))
        for process in sorted(gpu.processes or (), key=lambda one: (-(one.bytes or 0), one.pid)):
            known = facts.get(process.pid, ProcessFacts())
            freeing = what_frees(process, mine=known.mine, model=served.get(known.model_file or ""), run=runs.get(process.pid))
            row = f"{gpu.index}:{process.pid}:{process.kind}"
            found.append(Holder(id=row, gpu=gpu, process=process, facts=known, freeing=freeing))
    return tuple(found)


def holder_row(holder: Holder, width: int, now: datetime) -> Content:
    """One line of the list in exactly `width` cells or fewer."""
    if holder.process is None:
        return _head(holder, width)
    process, facts = holder.process, holder.facts
    right = f" {process.kind:<8} {padded(clean(facts.user or '–'), 9)} {since(facts.started, now):>10} {_bytes(process):>9}"
    room = max(8, width - len(right) - 2)
    return Content.assemble("  ", padded(middle(clean(process.name), room), room), (right, "$foreground-muted"))


def _head(holder: Holder, width: int) -> Content:
    gpu = holder.gpu
    name = f"{gpu.index} {short_name(gpu.name)}"
    if gpu.error is not None:
        return Content.assemble((name, "bold"), ("  cannot be read", "$error"))
    kinds = {"desktop": gpu.desktop_bytes, "others": gpu.others_bytes, "engines": gpu.engines_bytes, "unknown": gpu.unknown_bytes}
    parts = [f"{gib(gpu.free_bytes)} of {gib(gpu.total_bytes)} free"]
    parts += [f"{label(kind)} {size(count)}" for kind, count in kinds.items() if count]
    facts = joined(parts, width - len(name) - 2)
    spark = f"held {sparkline(holder.history, HISTORY_CELLS)}" if holder.history else ""
    # Who holds it now is worth more than how much was held before.
    spark = spark if len(name) + len(facts) + len(spark) + 4 <= width else ""
    gap = " " * (width - len(name) - len(facts) - len(spark) - 2) if spark else ""
    return Content.assemble((name, "bold $accent"), "  ", (facts, "$foreground-muted"), gap, (spark, "$foreground-muted"))


def holder_lines(holder: Holder, rig: Rig, width: int, now: datetime) -> list[Content]:
    """All about one row: who it is and what frees its memory."""
    gpu, process = holder.gpu, holder.process
    if process is None or holder.freeing is None:
        return [Content.styled(f"GPU {gpu.index} {short_name(gpu.name)}", "bold"), *_about_card(gpu, rig, width)]
    facts = holder.facts
    who = [f"pid {process.pid}", process.kind, f"user {clean(facts.user)}" if facts.user else "", _since_words(facts.started, now)]
    head = Content.assemble((middle(clean(process.name), width - 12), "bold"), f"  {_bytes(process)}")
    lines = [head, *wrapped(joined(who, width), width, "$foreground-muted")]
    lines += wrapped(holder.freeing.text, width)
    if holder.freeing.command:
        lines += hang(Content.styled("$ ", "$accent bold"), clean(holder.freeing.command), width, "bold")
    return lines


def _about_card(gpu: Gpu, rig: Rig, width: int) -> list[Content]:
    if gpu.error is not None:
        return wrapped(clean(gpu.error), width, "$error")
    if gpu.processes is None:
        text = SIMULATED if rig.simulated else WSL_UNKNOWN if rig.platform == "wsl2" else NOT_LISTED
        return wrapped(text, width)
    if not gpu.processes:
        return wrapped("Nobody holds memory on this card but the driver itself.", width, "$foreground-muted")
    count = len(gpu.processes)
    return wrapped(f"{count} process{'es' if count > 1 else ''} on this card; go down for what frees each.", width, "$foreground-muted")


def _bytes(process: GpuProcess) -> str:
    return "?" if process.bytes is None else size(process.bytes)


def since(started: float | None, now: datetime) -> str:
    """The time of day for today, else the date."""
    if started is None:
        return "–"
    moment = datetime.fromtimestamp(started, now.tzinfo)
    return f"{moment:%H:%M}" if moment.date() == now.date() else f"{moment:%Y-%m-%d}"


def _since_words(started: float | None, now: datetime) -> str:
    return f"since {since(started, now)}" if started is not None else ""

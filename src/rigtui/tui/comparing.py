"""Plans side by side: which ones, and the rows in which they differ. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace
from textual.content import Content

from rigtui.text import clean
from rigtui.tui.pinned import Pinned
from rigtui.tui.placing import WORDS
from rigtui.tui.rows import gib_cell, lines_of, padded
from rigtui.tui.segments import layers_text, short_name

if TYPE_CHECKING:
    from rigtui.planning.plan import Plan, PlanDevice
    from rigtui.tui.state import Cockpit

MOST = 3
"""Plans that stand side by side."""
LABEL = 13
NOT_KNOWN = "not known"


class Column(Struct, frozen=True):
    """One plan of the comparison."""

    title: str
    plan: Plan
    rig: str
    pinned: Pinned | None = None
    """None: the present plan, or one that would work instead."""


def pin(state: Cockpit) -> Cockpit:
    """Keep the present plan; of more than there is room for the oldest goes."""
    if state.plan is None:
        return state
    kept = Pinned(state.plan, state.choice, state.rig.name if state.rig else "")
    others = tuple(one for one in state.pinned if (one.choice, one.rig) != (kept.choice, kept.rig))
    return replace(state, pinned=(*others, kept)[-(MOST - 1) :])


def unpin(state: Cockpit, pinned: Pinned) -> Cockpit:
    """Keep it no more."""
    return replace(state, pinned=tuple(one for one in state.pinned if one is not pinned))


def restore(state: Cockpit, pinned: Pinned) -> Cockpit:
    """Make what was chosen for a kept plan the choice again."""
    selected, use_case, overrides, engine = pinned.choice
    return replace(state, selected=selected, use_case=use_case, overrides=overrides, engine=engine, picked=True)


def columns(state: Cockpit, others: Sequence[Plan] = ()) -> tuple[Column, ...]:
    """The present plan, the kept ones, and, where there is room, `others` that would work instead."""
    rig = state.rig.name if state.rig else ""
    now = state.plan
    found = [Column("now", now, rig)] if now is not None else []
    found += [Column(f"kept {at}", one.plan, one.rig, one) for at, one in enumerate(state.pinned, start=1) if one.plan != now]
    found += [Column(f"instead {at}", plan, rig) for at, plan in enumerate(others, start=1)]
    return tuple(found[:MOST])


def _speed(value: float | None) -> str:
    return NOT_KNOWN if value is None else f"{value:,.0f} tok/s"


OF_A_CARD: tuple[tuple[str, Callable[[PlanDevice], str]], ...] = (
    ("  layers", lambda device: layers_text(device).removeprefix("layers ")),
    ("  used, GiB", lambda device: gib_cell(device.used_bytes)),
    ("  free, GiB", lambda device: gib_cell(device.free_after_bytes)),
)
ROWS: tuple[tuple[str, Callable[[Column], str]], ...] = (
    ("status", lambda column: WORDS[column.plan.status].upper()),
    ("model", lambda column: clean(column.plan.model.name)),
    ("use case", lambda column: clean(column.plan.use_case)),
    ("rig", lambda column: clean(column.rig)),
    ("engine", lambda column: column.plan.engine),
    ("context", lambda column: f"{column.plan.context_per_slot:,}"),
    ("slots", lambda column: str(column.plan.parallel)),
    ("KV cache", lambda column: "/".join(dict.fromkeys(column.plan.kv_type))),
    ("decode", lambda column: _speed(column.plan.expected.decode_tok_s)),
    ("prefill", lambda column: _speed(column.plan.expected.prefill_tok_s)),
    ("split", lambda column: column.plan.split_mode if len(column.plan.devices) > 1 else "–"),
    ("layers in RAM", lambda column: str(column.plan.host.offloaded_layers)),
    ("RAM, GiB", lambda column: gib_cell(column.plan.host.weights_bytes + column.plan.host.kv_bytes + column.plan.host.compute_bytes)),
)


def _device_rows(shown: Sequence[Column]) -> list[tuple[str, list[str]]]:
    """A card has its rows in every plan, whatever its place in the order of the layers."""
    rows = []
    for at, card in enumerate(dict.fromkeys(_card(device) for column in shown for device in column.plan.devices), start=1):
        found = [next((device for device in column.plan.devices if _card(device) == card), None) for column in shown]
        rows.append((f"card {at}", ["–" if device is None else short_name(device.name) for device in found]))
        rows += [(label, ["–" if device is None else of(device) for device in found]) for label, of in OF_A_CARD]
    return rows


def _card(device: PlanDevice) -> tuple[str, str]:
    return device.uuid or device.device, device.name


def column_room(count: int, width: int) -> int:
    """Cells of one of `count` columns in `width` cells; a blank stands before each."""
    return max(8, (width - LABEL - 2) // max(1, count) - 1)


def table(shown: Sequence[Column], here: int, width: int) -> list[Content]:
    """The comparison in lines of `width` cells; rows that differ are marked, the column at `here` has the cursor."""
    if not shown:
        return [Content.styled("There is no plan to compare yet.", "$foreground-muted")]
    room = column_room(len(shown), width)
    heads = [f"{'▸ ' if at == here else '  '}{column.title}" for at, column in enumerate(shown)]
    lines = _lines("  ", "", heads, room, ["$accent bold" if at == here else "$accent" for at in range(len(shown))], indent=0)
    rows = [(label, [value(column) for column in shown]) for label, value in ROWS]
    rows = [(label, values) for label, values in rows if set(values) != {NOT_KNOWN}]
    for label, values in [*rows, *_device_rows(shown)]:
        differs = len(set(values)) > 1
        styles = ["bold" if differs else "$foreground-muted"] * len(shown)
        lines += _lines("≠ " if differs else "  ", label, values, room, styles)
    return lines


def _lines(mark: str, label: str, values: Sequence[str], room: int, styles: Sequence[str], *, indent: int = 2) -> list[Content]:
    """A row of the table, in as many lines as its longest value takes: of a name the end says as much as the beginning."""
    columns = [lines_of(value, room - indent) or [""] for value in values]
    lines = []
    for at in range(max(map(len, columns))):
        first = at == 0
        cells = [
            (f" {' ' * indent}{padded(column[at] if at < len(column) else '', room - indent)}", style)
            for column, style in zip(columns, styles, strict=True)
        ]
        head = (mark if first else "  ", "$warning bold"), (padded(label if first else "", LABEL), "$foreground-muted")
        lines.append(Content.assemble(*head, *cells))
    return lines

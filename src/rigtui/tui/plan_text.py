"""The plan as text of a given width: the same words and order as the bars and the JSON. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from textual.content import Content

from rigtui.text import clean, counted
from rigtui.tui.placing import STATUS_COLORS
from rigtui.tui.rows import LABEL, NO_BREAK, gib_cell, lines_of, row, size, wrapped
from rigtui.tui.segments import layers_text, match_devices, short_name

if TYPE_CHECKING:
    from rigtui.planning.plan import Alternative, Plan, PlanDevice, Reason, Status
    from rigtui.rig.rig import Rig

STATUS_WORDS = {"fits": "FITS", "tight": "TIGHT", "offload": "OFFLOAD", "no_fit": "DOES NOT FIT"}
STATUS_MEANING = {
    "fits": "all in VRAM, nothing given up",
    "tight": "all in VRAM, but with less context or headroom",
    "offload": "partly in RAM by plan, slower",
    "no_fit": "see why, and what to do instead",
}
ROOMY = 60
"""From this width on the parts are set apart by empty lines, and the table has all columns."""


class Marks(Struct, frozen=True):
    """What the user set by hand, so that it is marked as theirs."""

    context: int | None = None
    """Tokens per request as they were set; engines round up."""
    kv_type: bool = False
    basis: str = ""
    """What the plan rests on, where more is to be said than its own word."""


def status_chip(status: Status) -> Content:
    """The status as a word on its colour."""
    return Content.styled(f" {STATUS_WORDS[status]} ", f"$background on {STATUS_COLORS[status]} bold")


def plan_lines(plan: Plan, rig: Rig | None, width: int, marks: Marks) -> list[Content]:
    """All lines of the plan panel, wrapped to `width` cells."""
    names = device_names(plan, rig)
    gap = [Content("")] if width >= ROOMY else []
    lines = [*_headline(plan, width, marks.basis or plan.basis), *gap, *_model(plan, width), *gap]
    lines += row("context", _context(plan, marks), width)
    gauge = context_gauge(plan.context_per_slot, plan.model.context_trained, max(12, min(40, width - LABEL - 22)))
    if gauge:
        lines.append(Content.assemble(" " * LABEL, gauge))
    kv = plan.kv_type[0] if plan.kv_type[0] == plan.kv_type[1] else f"{plan.kv_type[0]} keys, {plan.kv_type[1]} values"
    tokens = f" · {plan.engine_view.kv_tokens:,} tokens in all" if plan.engine_view.kv_tokens else ""
    lines += row("KV cache", f"{kv}{'  (yours)' if marks.kv_type else ''}{tokens}", width)
    lines += row("layers", _layers(plan, names), width)
    if plan.fit_target_mib or plan.engine_view.utilization:
        lines += row("headroom", _headroom(plan, names), width)
    lines += [Content(""), *memory_table(plan, names, width)]
    lines += _bullets("why", plan.reasons, width)
    lines += _bullets("careful", plan.warnings, width, style="$warning")
    lines += _alternatives(plan.alternatives, width)
    if plan.command:
        lines += [Content(""), *row("command", clean(_command(plan)), width, style="$foreground-muted")]
    return lines


def _command(plan: Plan) -> str:
    env = [f"{name}={shlex.quote(value)}" for name, value in plan.env.items()]
    return " ".join([*env, shlex.join(plan.command)])


def device_names(plan: Plan, rig: Rig | None) -> dict[str, str]:
    """What people call each device of the plan: `GPU 0` by the rig's order, or the engine's name for it."""
    matched = match_devices(rig, plan) if rig else {}
    by_device = {device.device: f"GPU {rig.gpus[at].index}" for at, device in matched.items()} if rig else {}
    return {device.device: by_device.get(device.device, device.device) for device in plan.devices}


def _headline(plan: Plan, width: int, basis: str) -> list[Content]:
    where = _where(plan)
    engine = f"{plan.engine} {where}" if where else plan.engine
    speed = _speed(plan.expected.decode_tok_s, plan.expected.basis)
    chip = status_chip(plan.status)
    parts = [part for part in (engine, speed) if part]
    rest = lines_of(" · ".join(parts), width - chip.cell_length - 1)
    lines = [Content.assemble(chip, " ", (rest[0] if rest else "", "bold"))]
    lines += [Content(" " * (chip.cell_length + 1) + more) for more in rest[1:]]
    meaning = "all in RAM, on the CPU" if not plan.devices and plan.status != "no_fit" else STATUS_MEANING[plan.status]
    return [*lines, *wrapped(f"{meaning} · {basis}", width, "$foreground-muted")]


def _model(plan: Plan, width: int) -> list[Content]:
    model = plan.model
    facts = [size(model.weights_bytes), clean(model.architecture), f"{model.layers} layers"]
    facts += [f"{model.experts} experts"] if model.experts else []
    return [*row("model", clean(model.name), width, "bold"), *row("", " · ".join(facts), width, "$foreground-muted")]


def _where(plan: Plan) -> str:
    used = [device for device in plan.devices if device.used_bytes > 0]
    if not used:
        return "on the CPU" if plan.status != "no_fit" else ""
    if len(used) == 1:
        return f"on {short_name(used[0].name)} alone" if plan.split_mode == "none" else f"on {short_name(used[0].name)}"
    return f"on {len(used)} GPUs"


def _speed(tok_s: float | None, basis: str) -> str:
    if tok_s is None:
        return ""
    speed = f"{tok_s:,.0f}{NO_BREAK}tok/s"
    return f"{speed} measured" if basis == "measured" else f"about{NO_BREAK}{speed}"


def _context(plan: Plan, marks: Marks) -> str:
    slots = f" × {plan.parallel} slots = {plan.context:,}" if plan.parallel > 1 else ""
    most, yours = plan.model.context_trained, ""
    trained = f", beyond the {most:,} trained" if 0 < most < plan.context_per_slot else f" of {most:,} trained" if most else ""
    if marks.context is not None:
        yours = "  (yours)" if plan.context_per_slot == marks.context else f"  (yours: {marks.context:,})"
    return f"{plan.context_per_slot:,} tokens{slots}{trained}{yours}"


def context_gauge(context: int, trained: int, width: int) -> Content | None:
    """Where the context stands between 1,024 and what the model was trained for, by doublings."""
    if trained <= 1024 or context <= 0:
        return None
    from math import log2

    share = (log2(max(context, 1024)) - 10) / (log2(trained) - 10)
    at = max(0, min(width - 3, round(share * (width - 3))))
    return Content.assemble(
        ("├" + "─" * at, "$primary"),
        ("●", "$primary bold"),
        ("─" * (width - 3 - at) + "┤", "$foreground-muted"),
        (f" {_tokens(trained)}", "$foreground-muted"),
    )


def _tokens(count: int) -> str:
    return f"{count >> 10}k" if count % 1024 == 0 else f"{count:,}"


def _layers(plan: Plan, names: dict[str, str]) -> str:
    if plan.split_mode == "tensor" and plan.devices:
        parts = [f"a part of all {plan.model.layers} and of the head on {' and '.join(names[device.device] for device in plan.devices)}"]
        return " · ".join([*parts, "RAM: none"])
    parts = [f"{names[device.device]}: {layers_text(device).removeprefix('layers ')}" for device in plan.devices]
    parts.append(f"RAM: {_in_ram(plan)}" if plan.devices else f"RAM: all {plan.model.layers}")
    return " · ".join(parts)


def _in_ram(plan: Plan) -> str:
    """How many layers, and of a mixture whose layers all have a card that it is their experts: the cards name ranges."""
    count = plan.host.offloaded_layers
    experts = plan.model.experts and sum(device.layers for device in plan.devices) == plan.model.layers
    return f"{'experts of ' if experts else ''}{counted(count, 'layer')}" if count else "none"


def _headroom(plan: Plan, names: dict[str, str]) -> str:
    """What is wanted per card and what is passed to the engine: two things that may differ on purpose."""
    passed = f"FIT_TARGET {','.join(str(target) for target in plan.fit_target_mib)}"
    if plan.engine_view.utilization:
        passed = f"--gpu-memory-utilization {plan.engine_view.utilization:g}"
    elif plan.steered:
        passed += ": more on purpose, see why"
    wanted = ", ".join(f"{device.headroom_bytes >> 20:,} MiB on {names[device.device]}" for device in plan.devices)
    return f"{wanted} ({passed})" if wanted else passed


def memory_table(plan: Plan, names: dict[str, str], width: int) -> list[Content]:
    """GiB per device and kind; the columns of the bars, in their order."""
    columns = [("weights", 8), ("KV", 6), ("compute", 8), ("floor", 6)]
    wide = width >= ROOMY
    columns += [("used", 6), ("headroom", 9), ("free", 6)] if wide else [("free", 6)]
    head = "".join(f"{title:>{room}}" for title, room in columns)
    lines = [Content.styled(f"{'GiB':<{LABEL}}{head}", "$foreground-muted")]
    for device in plan.devices:
        style = "$error" if device.free_after_bytes < 0 else ""
        lines.append(Content.styled(_table_row(names[device.device], _sizes(device, wide), columns), style))
    host = [plan.host.weights_bytes, plan.host.kv_bytes, plan.host.compute_bytes]
    if any(host):
        lines.append(Content(_table_row("RAM", host, columns)))
    return lines if len(lines) > 1 else []


def _table_row(name: str, sizes: Sequence[int], columns: Sequence[tuple[str, int]]) -> str:
    return f"{name:<{LABEL}}" + "".join(f" {gib_cell(value):>{room - 1}}" for value, (_, room) in zip(sizes, columns, strict=False))


def _sizes(device: PlanDevice, wide: bool) -> list[int]:
    sizes = [device.weights_bytes, device.kv_bytes, device.compute_bytes, device.floor_bytes]
    return sizes + ([device.used_bytes, device.headroom_bytes, device.free_after_bytes] if wide else [device.free_after_bytes])


def _bullets(name: str, items: Sequence[Reason], width: int, style: str = "") -> Iterable[Content]:
    if not items:
        return []
    lines = [Content("")]
    for at, item in enumerate(items):
        lines += row(name if at == 0 else "", clean(item.text), width, style)
    return lines


def _alternatives(items: Sequence[Alternative], width: int) -> list[Content]:
    if not items:
        return []
    lines = [Content("")]
    for at, item in enumerate(items):
        facts = [STATUS_WORDS[item.status].lower(), f"{item.context:,} tokens" if item.context else ""]
        facts.append(_speed(item.expected.decode_tok_s, item.expected.basis))
        text = f"{at + 1}  {clean(item.summary)} ({item.engine}: {', '.join(fact for fact in facts if fact)})"
        lines += row("instead" if at == 0 else "", text, width)
    return lines

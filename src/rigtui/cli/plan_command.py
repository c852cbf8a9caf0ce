"""`rigtui plan`: how a model would run on this rig, and why."""

from __future__ import annotations

import argparse
import shlex
from itertools import zip_longest

from msgspec.structs import replace

from rigtui.cli.output import note, print_json
from rigtui.cli.target import Target, add_plan_options, target
from rigtui.errors import EXIT_DONE, EXIT_NO_FIT
from rigtui.planning.lessons import LEARNED
from rigtui.planning.plan import Plan, Reason
from rigtui.text import MIB, clean, gib

ON_CPU_TEXT = {
    "fits": "FITS: all in RAM, on the CPU, the wanted context",
    "tight": "TIGHT: all in RAM, on the CPU, with less context than wanted",
    "offload": "OFFLOAD: all in RAM, on the CPU; the GPUs are not used",
}
BASIS_TEXT = {
    "estimated": "estimated: rigtui's own arithmetic",
    "verified": "verified: the engine itself said so in a dry run",
    "remembered": "remembered: so it was in an earlier run",
}
STATUS_TEXT = {
    "fits": "FITS: all in VRAM, the wanted context, the wanted headroom",
    "tight": "TIGHT: all in VRAM, with less context, headroom or requests at once than wanted",
    "offload": "OFFLOAD: a part lies in RAM, by plan",
    "no_fit": "DOES NOT FIT this rig with what was asked",
}

_WIDTHS = (10, 9, 8, 8, 7, 9, 8)
"""Of the columns behind the name, the blank before each included; wider where a number is."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="GGUF file, folder of safetensors, hf:owner/repo[:quant], ollama:name, or a profile")
    add_plan_options(parser)
    parser.add_argument("--explain", action="store_true", help="say why, and what else would work")
    parser.add_argument("--verify", action="store_true", help="ask the engine itself first: a dry run of some seconds, nothing is loaded")
    parser.add_argument("--json", action="store_true", help="the whole plan as JSON (rigtui.plan/1)")


def run(args: argparse.Namespace) -> int:
    """Print the plan; exit code 3 when nothing fits."""
    found = target(args)
    plan = _verified(found) if args.verify else found.plan
    if args.json:
        print_json(plan)
    else:
        print("\n".join(plan_lines(plan, explain=args.explain)))
        if not args.explain and plan.status != "no_fit":
            note("\n--explain says why, and what would work instead")
    return EXIT_NO_FIT if plan.status == "no_fit" else EXIT_DONE


def _verified(found: Target) -> Plan:
    """The plan after the engine was asked; where it cannot be, the estimate with the reason."""
    from rigtui.models.hub import hole_of
    from rigtui.runs.verify import verified

    hole = hole_of(found.model.path) if found.model.path.startswith("hf:") else None
    plan, problem = verified(found.plan, found.rig, found.served, found.intent, found.builds, file=hole)
    return replace(plan, warnings=(*plan.warnings, Reason("verify_failed", problem))) if problem else plan


def plan_lines(plan: Plan, *, explain: bool) -> list[str]:
    """The plan as text, readable at 80 columns."""
    speed = plan.expected.decode_tok_s if plan.status != "no_fit" else None
    lines = [
        clean(plan.model.name),
        _verdict(plan),
        f"{plan.engine}{', ' + plan.use_case if plan.use_case else ''}: {plan.context_per_slot:,} tokens of context"
        + _shared(plan)
        + f", KV {'/'.join(dict.fromkeys(plan.kv_type))}"
        + (f" ({plan.engine_view.kv_tokens:,} tokens)" if plan.engine_view.kv_tokens else "")
        + (f", about {speed:,.0f} tok/s ({plan.expected.basis})" if speed else ""),
        *([_basis(plan)] if plan.use_case and plan.devices else []),
        "",
        *_device_table(plan),
    ]
    if plan.fit_target_mib:
        lines.append(f"FIT_TARGET {','.join(map(str, plan.fit_target_mib))}")
    if explain or plan.status == "no_fit":
        lines += ["", "why", *(f"  {reason.text}" for reason in plan.reasons)]
    elif learned := [reason for reason in plan.reasons if reason.code in LEARNED]:
        lines += ["", "learned", *(f"  {reason.text}" for reason in learned)]
    notes = [*plan.warnings, *(reason for reason in plan.reasons if reason.code == "context_rounded" and not explain)]
    if notes and (plan.warnings or plan.status != "no_fit"):
        lines += ["", "note", *(f"  {warning.text}" for warning in notes)]
    if explain and plan.alternatives:
        lines += ["", "instead"]
        for other in plan.alternatives:
            about = f", about {other.expected.decode_tok_s:,.0f} tok/s" if other.expected.decode_tok_s else ""
            lines.append(f"  {other.summary}: {other.status}, {other.context:,} tokens{about}")
    if plan.status != "no_fit":
        env = [f"{name}={shlex.quote(value)}" for name, value in plan.env.items()]
        lines += ["", " ".join([*env, shlex.join(plan.command)])]
    return lines


def _basis(plan: Plan) -> str:
    asked = any(warning.code == "verify_failed" for warning in plan.warnings)
    askable = not asked and plan.basis == "estimated" and plan.engine == "llama.cpp" and plan.status != "no_fit"
    return BASIS_TEXT[plan.basis] + ("; --verify asks the engine" if askable else "")


def _shared(plan: Plan) -> str:
    if plan.parallel == 1:
        return ""
    how = "shared by" if plan.context == plan.context_per_slot else "for each of"
    return f" {how} {plan.parallel} requests"


def _verdict(plan: Plan) -> str:
    if not plan.devices:
        return ON_CPU_TEXT.get(plan.status, STATUS_TEXT[plan.status])
    if plan.status == "tight" and not plan.use_case:
        return f"TIGHT: all in VRAM, with less left free than {'--fit aims at' if plan.engine == 'llama.cpp' else 'is good'}"
    return STATUS_TEXT[plan.status]


def _device_table(plan: Plan) -> list[str]:
    rows = [["MiB", "layers", "weights", "KV", "compute", "floor", "headroom", "free"]]
    for device in plan.devices:
        blocks = f"{device.first_layer}-{device.first_layer + device.layers - 1}" if device.layers else "none"
        blocks += "+head" if device.output else ""
        sizes = (
            device.weights_bytes,
            device.kv_bytes,
            device.compute_bytes,
            device.floor_bytes,
            device.headroom_bytes,
            device.free_after_bytes,
        )
        cells = [f"{round(size / MIB):,}" for size in sizes]
        name = f"{device.device} {_short(device.name)}"
        rows.append([name[:21], blocks, *cells])
    host = plan.host
    cells = [f"{round(size / MIB):,}" for size in (host.weights_bytes, host.kv_bytes, host.compute_bytes)]
    rows.append(["RAM", str(host.offloaded_layers or "none"), *cells])
    lines = _columns(rows)
    if plan.devices:
        lines.append(f"{'':<22}(free: what is left, headroom included; weights in all {gib(plan.model.weights_bytes)})")
    return lines


def _columns(rows: list[list[str]]) -> list[str]:
    """The rows with at least a blank between their columns, however large a number is."""
    cells = zip_longest(*(row[1:] for row in rows), fillvalue="")
    widths = [max(width, 1 + max(map(len, column))) for width, column in zip(_WIDTHS, cells, strict=True)]
    return [f"{row[0]:<21}" + "".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths, strict=False)) for row in rows]


def _short(name: str) -> str:
    return clean(name).replace("NVIDIA ", "").replace("GeForce ", "")

"""From what the engine answered in a dry run to what is known: placement and bytes of one plan. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rigtui.engines.llamacpp.arguments import read_command
from rigtui.engines.llamacpp.dryrun_log import Answer
from rigtui.engines.llamacpp.footprint import DeviceUse, footprint, needs, overstated_host, projected
from rigtui.engines.llamacpp.placement import HOST, Placement
from rigtui.engines.llamacpp.settings import Settings
from rigtui.engines.llamacpp.weights import Part, is_moved, plain_table
from rigtui.models.model import Model
from rigtui.planning.known import Moved, Seen, SeenDevice, Way
from rigtui.planning.plan import FitView, Plan, PlanHost
from rigtui.text import GIB, MIB

MOST_RUNTIME = 3 * GIB // 2
"""Under WSL a bare engine takes about 1 GiB."""


def settings_of(plan: Plan) -> Settings:
    """What the plan's command tells the engine. Raises UsageError for arguments of the user's that cannot be followed."""
    return read_command(("llama-server", *plan.command[plan.command.index("-m") :])).settings


def way_of(plan: Plan, fingerprint: str, build: str, own: tuple[str, ...]) -> Way:
    """The name under which what is learned of this plan is kept; `own` are the user's own arguments.

    Raises UsageError like `settings_of`.
    """
    settings = settings_of(plan)
    return Way(
        fingerprint=fingerprint,
        build=build,
        cards=tuple(device.name for device in plan.devices),
        slots=plan.parallel,
        kv_type=plan.kv_type,
        batch=settings.batch,
        ubatch=settings.ubatch,
        own=own,
    )


def seen_in(answer: Answer, plan: Plan, model: Model, way: Way) -> Seen | None:
    """What the answer says of the plan; None when it is about something else, or in words rigtui does not know."""
    table, settings = plain_table(model), settings_of(plan)
    index = {row.device: number for number, row in enumerate(answer.rows)}
    if len(answer.layers) != table.blocks + 1 or [row.device for row in answer.rows] != [device.device for device in plan.devices]:
        return None
    moved = _moved(answer, model, index)
    if moved is None:
        return None
    home = tuple(index.get(device, HOST) for device in answer.layers)
    placement = Placement(home, moved)
    need = needs(model, table, settings, settings.context or plan.context)
    real = footprint(need, placement, len(answer.rows))
    measured = projected(need, placement, len(answer.rows), range(len(answer.rows)))
    devices = tuple(
        _device(answer, number, home[: len(table.layers)], home[-1] == number, use, measured[number] - use.total)
        for number, use in enumerate(real.devices)
    )
    return Seen(
        basis="verified",
        way=way,
        context=settings.context or plan.context,
        fit_target_mib=plan.decided_by,
        pipeline=answer.pipeline,
        devices=devices,
        host=PlanHost(
            weights_bytes=real.host.weights,
            kv_bytes=_nearer(real.host.kv, answer.host.kv),
            compute_bytes=max(answer.host.compute - overstated_host(need, placement, len(answer.rows)), 0),
            offloaded_layers=real.offloaded_layers,
        ),
        moved=tuple(Moved(block, int(part), to) for block, (part, to) in sorted(moved.items())),
        fit=FitView(status="failed" if answer.gave_up else "ok", message=answer.gave_up),
    )


def runtime_in(seen: Seen, plan: Plan) -> dict[str, int]:
    """What the bare engine took on each card, by UUID: the difference between what NVML had found free and what the engine found.

    What cannot be a runtime (another program came or went in between) is left out.
    """
    found = {}
    for device, now in zip(plan.devices, seen.devices, strict=True):
        if device.uuid is not None and now.free_bytes is not None:
            taken = device.free_before_bytes - now.free_bytes
            if 0 <= taken <= MOST_RUNTIME:
                found[device.uuid] = taken
    return found


def _device(answer: Answer, number: int, home: Sequence[int], output: bool, ours: DeviceUse, overstated: int) -> SeenDevice:
    """`overstated`: by how much the measuring on paper exceeds what is then allocated (see `Computation.buffer`)."""
    row = answer.rows[number]
    blocks = [block for block, device in enumerate(home) if device == number]
    return SeenDevice(
        layers=len(blocks),
        first_layer=blocks[0] if blocks else 0,
        output=output,
        weights_bytes=_nearer(ours.weights, row.weights),
        kv_bytes=_nearer(ours.kv, row.kv),
        compute_bytes=max(row.compute - overstated, 0),
        free_bytes=row.free,
    )


def _nearer(ours: int, rounded: int) -> int:
    """The engine's figure, which is cut off to whole MiB; rigtui's own where the two agree, for it has all the digits."""
    return ours if rounded - MIB // 2 <= ours < rounded + 3 * MIB // 2 else rounded + MIB // 2


def _moved(answer: Answer, model: Model, index: dict[str, int]) -> dict[int, tuple[Part, int]] | None:
    """What lies elsewhere, per block, in the parts that `--fit` moves; None for anything else."""
    away: dict[int, set[str]] = {}
    to: dict[int, int] = {}
    for block, name, buffer in answer.moved:
        away.setdefault(block, set()).add(name)
        if to.setdefault(block, index.get(buffer, HOST)) != index.get(buffer, HOST):
            return None
    every: dict[int, list[str]] = {}
    for tensor in model.tensors:
        if tensor.layer in away:
            every.setdefault(tensor.layer, []).append(tensor.name.split(".", 2)[-1])
    found = {}
    for block, names in away.items():
        if block >= model.layers:
            continue  # counts in the split, but is not loaded
        parts = [part for part in Part if {name for name in every.get(block, ()) if is_moved(part, name)} == names]
        if not parts:
            return None
        found[block] = (parts[0], to[block])
    return found

"""Earlier runs of toy models on toy rigs, as the results file would have them."""

from __future__ import annotations

from typing import Any

from rigtui.engines.engine import Build
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.choose import choose
from rigtui.planning.constraints import Constraint
from rigtui.planning.outcomes import AttemptResult, ResultDevice, ResultGpu, RunResult, requested
from rigtui.planning.plan import Plan, PlanDevice
from rigtui.planning.wants import batches
from rigtui.rig.rig import Rig
from rigtui.text import MIB

BUILD = Build(engine="llama.cpp", label="llama-server b1 (CUDA)", version="b1", argv=("llama-server",))
NODE = "toy"


def a_device(device: PlanDevice, **changes: Any) -> ResultDevice:
    """A device of a plan that took just what was planned."""
    fields: dict[str, Any] = {
        "device": device.device,
        "uuid": device.uuid,
        "name": device.name,
        "layers": device.layers,
        "first_layer": device.first_layer,
        "output": device.output,
        "headroom_bytes": device.headroom_bytes,
        "planned_bytes": device.used_bytes,
        "floor_bytes": device.floor_bytes,
        "planned_weights_bytes": device.weights_bytes,
        "peak_bytes": device.used_bytes,
        "free_before_bytes": device.free_before_bytes,
        "free_least_bytes": device.free_after_bytes,
        "weights_bytes": device.weights_bytes,
        "kv_bytes": device.kv_bytes,
        "compute_bytes": device.compute_bytes,
    }
    return ResultDevice(**{**fields, **changes})


def an_attempt(plan: Plan, asked: Intent, constraints: tuple[Constraint, ...] = (), **changes: Any) -> AttemptResult:
    """The plan launched; it worked unless `changes` say otherwise."""
    batch, ubatch = batches(asked, constraints)
    fields: dict[str, Any] = {
        "outcome": "ready",
        "constraints": constraints,
        "context": plan.context,
        "context_per_slot": plan.context_per_slot,
        "parallel": plan.parallel,
        "kv_type": plan.kv_type,
        "split_mode": plan.split_mode,
        "batch": batch,
        "ubatch": ubatch,
        "host": plan.host,
        "estimated_tok_s": plan.expected.decode_tok_s,
        "peak_basis": "process",
        "devices": tuple(a_device(device) for device in plan.devices),
    }
    return AttemptResult(**{**fields, **changes})


def a_run(on: Rig, model: Model, asked: Intent, *attempts: AttemptResult, day: int = 1, **changes: Any) -> RunResult:
    """A run on this rig, in the first month of the year."""
    fields: dict[str, Any] = {
        "run": f"r{day}",
        "started": f"2026-01-{day:02}T10:00:00Z",
        "node": NODE,
        "model": model.name,
        "fingerprint": model.fingerprint,
        "architecture": model.architecture,
        "use_case": asked.use_case.name,
        "requested": requested(asked.overrides),
        "engine": "llama.cpp",
        "build": BUILD.label,
        "driver": on.driver,
        "outcome": attempts[-1].outcome if attempts else "failed",
        "gpus": tuple(ResultGpu(uuid=g.uuid, name=g.name, total_bytes=g.total_bytes, free_bytes=g.free_bytes) for g in on.gpus),
        "command": ("llama-server",),
        "attempt": attempts,
    }
    return RunResult(**{**fields, **changes})


def out_of_vram(plan: Plan, asked: Intent, card: int, missing_mib: int) -> AttemptResult:
    """The plan launched, and its card out of memory."""
    name = plan.devices[card].device
    return an_attempt(plan, asked, outcome="failed", failure="out_of_vram", failed_device=name, missing_bytes=missing_mib * MIB)


def more_headroom(card: str, mib: int) -> Constraint:
    """What the ladder adds after that."""
    return Constraint(kind="headroom", gpu=card, value=mib * MIB, text=f"{card} keeps {mib} MiB free")


def planned(on: Rig, model: Model, asked: Intent, constraints: tuple[Constraint, ...] = ()) -> Plan:
    """The plan without any lesson."""
    return choose(on, model, asked, [BUILD], constraints=constraints)

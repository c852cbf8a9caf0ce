"""From what was asked and observed to the state a run begins with and the result that is kept of it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from rigtui.models.model import Model
from rigtui.planning.outcomes import AttemptResult, GivenUp, ResultDevice, ResultGpu, RunResult, requested
from rigtui.planning.plan import Expected, PlanDevice
from rigtui.planning.wants import batches
from rigtui.rig.rig import Rig
from rigtui.runs import identity, memory, results
from rigtui.runs.observe import Observed
from rigtui.runs.peaks import Peaks
from rigtui.runs.state import Asked, AttemptState, LaunchRequest, Measured, RunState
from rigtui.text import slug


def first_state(asked: Asked) -> RunState:
    """The state of a run whose supervisor, this process, has just begun."""
    request = asked.request
    return RunState(
        run=asked.run,
        node=identity.node(),
        boot_id=identity.boot_id(),
        supervisor_pid=os.getpid(),
        supervisor_started=identity.start_time(os.getpid()),
        model=request.model,
        model_path=request.plan.model.path,
        profile=request.name,
        attempts_most=request.attempts,
        started=asked.started,
        heartbeat=time.time(),
        simulated=request.simulated,
        trial=request.trial is not None,
        **_of_plan(asked),
    )


def next_attempt(state: RunState, asked: Asked, change: str) -> RunState:
    """The state when the next attempt begins; `asked` has its plan and command, `change` says what is different."""
    return replace(
        state,
        phase="starting",
        attempt=state.attempt + 1,
        attempts=(*state.attempts, AttemptState(change=change)),
        pid=None,
        pid_started=None,
        logged_bytes={},
        progress=None,
        ready_at=None,
        measured=None,
        measuring=False,
        **_of_plan(asked),
    )


def _of_plan(asked: Asked) -> dict[str, Any]:
    """What the state says of the plan that is launched."""
    plan, spawn = asked.request.plan, asked.spawn
    host = f"[{spawn.host}]" if ":" in spawn.host else spawn.host
    # What a client on this machine can use; a wildcard is an address to listen on, not one to call.
    host = "127.0.0.1" if host in ("0.0.0.0", "[::]") else host  # noqa: S104 compared, not bound
    return {
        "host": spawn.host,
        "port": spawn.port,
        "url": f"http://{host}:{spawn.port}",
        "model_id": spawn.model_name,
        "engine": asked.request.build.engine,
        "build": asked.request.build.label,
        "context": plan.context,
        "planned_bytes": {d.uuid or d.device: d.used_bytes for d in plan.devices},
        "runtime_bytes": {d.uuid or d.device: d.floor_bytes for d in plan.devices},
    }


def with_log(measured: Measured, observed: Observed) -> Measured:
    """`measured` with what the engine's log says."""
    return replace(
        measured, graph_splits=observed.graph_splits, kv_tokens=observed.kv_tokens, layers=observed.layers, context=observed.context
    )


def results_name(asked: Asked) -> str:
    """Under which name the run's result is kept: the profile's, or else the model's."""
    return asked.request.name or slug(asked.request.model)


def save(asked: Asked, state: RunState, attempts: Sequence[AttemptResult], rig: Rig | None) -> str | None:
    """Keep the run's result: its attempts so far, and the rig as it was before the first. Returns a warning, or None.

    Raises RigtuiError when it cannot be written.
    """
    request, plan = asked.request, asked.request.plan
    result = RunResult(
        run=asked.run,
        started=asked.started,
        node=state.node,
        profile=request.name,
        model=state.model,
        fingerprint=request.fingerprint,
        architecture=plan.model.architecture,
        use_case=plan.use_case,
        requested=requested(request.intent.overrides),
        engine=state.engine,
        build=state.build,
        driver=rig.driver if rig else None,
        platform=rig.platform if rig else None,
        simulated=request.simulated,
        trial=request.trial,
        given_up=request.given_up,
        outcome=state.attempts[-1].outcome or "failed",
        gpus=tuple(
            ResultGpu(uuid=gpu.uuid, name=gpu.name, total_bytes=gpu.total_bytes, free_bytes=gpu.free_bytes)
            for gpu in (rig.usable_gpus if rig else ())
        ),
        command=results.without_secrets(asked.spawn.argv),
        attempt=tuple(attempts),
    )
    warning = results.record(results_name(asked), result)
    return "; ".join([*([warning] if warning else []), *memory.worse(result)]) or None


def given_up(request: LaunchRequest, other: Model, why: str) -> GivenUp:
    """What the run that was asked for by `request` leaves for another engine with the file `other`."""
    build = request.build
    return GivenUp(engine=build.engine, build=build.label, fingerprint=request.fingerprint, instead=other.path, why=why)


def attempt_result(asked: Asked, state: RunState, observed: Observed, peaks: Peaks) -> AttemptResult:
    """What the attempt that `state` is at came to."""
    plan, attempt, measured = asked.request.plan, state.attempts[-1], state.measured or Measured()
    failure = attempt.failure
    batch, ubatch = batches(asked.request.tried, asked.request.constraints)
    return AttemptResult(
        outcome=attempt.outcome or "failed",
        failure=failure.code if failure else None,
        line=failure.line if failure else None,
        failed_device=failure.device if failure else None,
        stage=failure.stage if failure else None,
        asked_bytes=failure.asked_bytes if failure else None,
        missing_bytes=failure.missing_bytes if failure else None,
        change=attempt.change,
        constraints=(*asked.request.constraints, *asked.learned),
        context=measured.context or plan.context,
        context_per_slot=plan.context_per_slot,
        parallel=plan.parallel,
        kv_type=plan.kv_type,
        split_mode=plan.split_mode,
        batch=batch,
        ubatch=ubatch,
        layers=measured.layers,
        host=plan.host,
        fit_target_mib=plan.decided_by,
        pipeline=observed.pipeline,
        graph_splits=measured.graph_splits,
        kv_tokens=measured.kv_tokens,
        load_s=measured.load_s,
        ttft_s=measured.ttft_s,
        prefill_tok_s=measured.prefill_tok_s,
        decode_tok_s=measured.decode_tok_s,
        estimated_tok_s=_estimated(plan.expected),
        prompt_tokens=measured.prompt_tokens,
        peak_basis=measured.peak_basis,
        spilled=measured.spilled,
        devices=tuple(_device(d, measured, observed, peaks) for d in plan.devices),
    )


def _estimated(expected: Expected) -> float | None:
    """The decode speed that bandwidths alone gave, whatever stands in the plan by now."""
    if expected.estimated_tok_s is not UNSET:
        return expected.estimated_tok_s
    return expected.decode_tok_s if expected.basis == "estimated" else None


def _device(device: PlanDevice, measured: Measured, observed: Observed, peaks: Peaks) -> ResultDevice:
    buffers = observed.buffers().get(device.device, {})
    kv = [buffers[kind] for kind in ("kv", "recurrent") if kind in buffers]
    return ResultDevice(
        device=device.device,
        uuid=device.uuid,
        name=device.name,
        layers=device.layers,
        first_layer=device.first_layer,
        output=device.output,
        headroom_bytes=device.headroom_bytes,
        planned_bytes=device.used_bytes,
        floor_bytes=device.floor_bytes,
        planned_weights_bytes=device.weights_bytes,
        peak_bytes=measured.peak_bytes.get(device.uuid or device.device),
        free_before_bytes=peaks.free_before(device.uuid),
        free_least_bytes=peaks.free_least.get(device.uuid or ""),
        engine_free_bytes=observed.engine_free.get(device.device),
        weights_bytes=buffers.get("weights"),
        kv_bytes=sum(kv) if kv else None,
        compute_bytes=buffers.get("compute"),
        graphs_bytes=buffers.get("graphs"),
    )

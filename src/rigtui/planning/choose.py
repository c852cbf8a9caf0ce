"""From all candidates to one plan: what serves the use case best, and the next few different ones. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from rigtui.engines.engine import Build
from rigtui.engines.llamacpp.builds import build_id
from rigtui.engines.llamacpp.plans import plans as llamacpp_plans
from rigtui.engines.vllm.plans import plans as vllm_plans
from rigtui.errors import MissingError
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.constraints import Constraint
from rigtui.planning.known import NOTHING, Known
from rigtui.planning.lessons import NO_LESSONS, Lessons
from rigtui.planning.plan import Alternative, Plan, Reason
from rigtui.planning.remembered import Remembering
from rigtui.planning.twin import twin
from rigtui.planning.wants import KV_QUALITY, Wants, wants
from rigtui.rig.rig import Rig
from rigtui.text import clean, counted, gib

STATUS_RANK = {"fits": 3, "tight": 2, "offload": 1, "no_fit": 0}
SEVERAL_CARDS = 0.97
"""One card alone leaves the others free: several must be faster by this much, as far as speeds can be told in advance."""
WEIGHTS = {"context": (0.5, 1.0), "speed": (1.0, 0.25)}
"""Exponents of speed and of context: who prefers speed gives up three quarters of the context for half as much speed again, no more."""
TOGETHER = {"tensor": " in tensor parallel", "pipeline": " in a pipeline"}
MOST_ALTERNATIVES = 4


def choose(
    rig: Rig,
    model: Model,
    intent: Intent,
    builds: Sequence[Build],
    *,
    here: bool = False,
    constraints: Sequence[Constraint] = (),
    known: Known = NOTHING,
    lessons: Lessons = NO_LESSONS,
) -> Plan:
    """The best plan for `intent`, with the next few different ones as alternatives.

    `here`: the plan is launched on this machine even though `rig` is simulated, so its command must be one that this machine's build
    takes. `constraints`: what failures of this run taught; `lessons`: what earlier runs did. `known`: what engines have shown of it, in
    place of the estimate. A plan is always given; when nothing fits its status is `no_fit` and its reasons say what is missing.
    Raises UsageError for settings that cannot be, MissingError for an engine or a format that is not served.
    """
    candidates = ranked(rig, model, intent, builds, here=here, constraints=constraints, known=known, lessons=lessons)
    best = candidates[0]
    others = _alternatives(best, candidates[1:])
    beside = _other_engine(rig, model, intent, builds) if intent.engine == "auto" else None
    if beside is not None:
        others = (*others[: MOST_ALTERNATIVES - 1], beside)
    return replace(best, alternatives=others, warnings=(*best.warnings, *_left_out(rig)))


def _left_out(rig: Rig) -> tuple[Reason, ...]:
    """The cards that no plan can use, and why."""
    unknown = "how much of its memory is free is unknown"
    cards = [gpu for gpu in rig.gpus if gpu not in rig.usable_gpus]
    return tuple(Reason("gpu_left_out", f"GPU {gpu.index} ({clean(gpu.name)}) is left out: {gpu.error or unknown}") for gpu in cards)


def ranked(
    rig: Rig,
    model: Model,
    intent: Intent,
    builds: Sequence[Build],
    *,
    here: bool = False,
    constraints: Sequence[Constraint] = (),
    known: Known = NOTHING,
    lessons: Lessons = NO_LESSONS,
) -> list[Plan]:
    """All plans, best first."""
    want = wants(model, intent)
    engine = engine_for(model, intent)
    excluded = next((c for c in constraints if c.kind == "engine" and c.value == engine), None)
    if excluded is not None:
        raise MissingError(f"no other engine than {engine} reads {model.name}, which is ruled out: {excluded.text}")
    build = next((build for build in builds if build.engine == engine), None)

    def derive(rig: Rig, intent: Intent, constraints: Sequence[Constraint], shown: Known) -> list[Plan]:
        return _plans(engine, rig, model, intent, build, here=here, constraints=constraints, known=shown.and_also(known))

    def by_score(plans: list[Plan]) -> list[Plan]:
        return sorted(plans, key=lambda plan: score(plan, want, intent), reverse=True)

    past = Remembering(model, lessons.about(rig, model, intent, build), constraints, build_id(build) if build else "")
    found = by_score(past.plans(derive, rig, intent))
    best = by_score(past.tuned(derive, rig, intent))[:1]
    # What tuning found goes first as long as it serves the use case no worse.
    return best + found if best and STATUS_RANK[best[0].status] >= STATUS_RANK[found[0].status] else found + best


def engine_for(model: Model, intent: Intent) -> str:
    """The engine that was asked for, or the one that reads the model's files: GGUF is llama.cpp's, safetensors are vLLM's."""
    if intent.engine != "auto":
        return intent.engine
    return "llama.cpp" if model.format == "gguf" else "vllm"


def _plans(
    engine: str,
    rig: Rig,
    model: Model,
    intent: Intent,
    build: Build | None,
    *,
    here: bool,
    constraints: Sequence[Constraint],
    known: Known,
) -> list[Plan]:
    if engine == "llama.cpp":
        return llamacpp_plans(rig, model, intent, build, here=here, constraints=constraints, known=known)
    if engine == "vllm":
        return vllm_plans(rig, model, intent, build, here=here, constraints=constraints, known=known)
    raise MissingError(f"rigtui cannot launch {engine} yet; use --engine llama.cpp or vllm")


def score(plan: Plan, want: Wants, intent: Intent) -> tuple[float, ...]:
    """Larger is better: status first, then no card without a part, then what the use case gets of context and speed, then a finer cache
    and fewer cards.
    """
    quality = min(KV_QUALITY[kind] for kind in plan.kv_type)
    if plan.status == "no_fit":
        # The nearest miss says best what is missing: all cards together.
        missing = sum(min(device.free_after_bytes - device.headroom_bytes, 0) for device in plan.devices)
        return (STATUS_RANK[plan.status], 0, len(plan.devices), quality, missing)
    context = min(plan.context_per_slot / want.context, 1.0)
    weight_speed, weight_context = WEIGHTS[intent.use_case.prefer]
    speed = (plan.expected.decode_tok_s or 1.0) * (SEVERAL_CARDS if len(plan.devices) > 1 else 1.0)
    value = quality * context**weight_context * speed**weight_speed
    # Whatever runs have measured: beside a card that holds nothing the same plan costs memory and makes nothing faster.
    idle = sum(not device.layers and not device.output for device in plan.devices)
    return (STATUS_RANK[plan.status], -idle, value, quality, -len(plan.devices))


def _alternatives(best: Plan, others: Sequence[Plan]) -> tuple[Alternative, ...]:
    """What the plan itself offers, then the first few that differ in cards, KV type or context and can be run."""
    found = (
        Alternative(engine=plan.engine, summary=summary(plan), status=plan.status, context=plan.context, expected=plan.expected)
        for plan in different([best, *others])
    )
    return (*best.alternatives, *found)[:MOST_ALTERNATIVES]


def different(candidates: Sequence[Plan]) -> list[Plan]:
    """Of plans, best first, those after the first that can be run and differ from it and from each other in what a user would notice."""
    seen = {_kind(plan) for plan in candidates[:1]}
    found = []
    for plan in candidates[1:]:
        if plan.status != "no_fit" and _kind(plan) not in seen:
            seen.add(_kind(plan))
            found.append(plan)
    return found


def _other_engine(rig: Rig, model: Model, intent: Intent, builds: Sequence[Build]) -> Alternative | None:
    """The same model on the engine that cannot read this file.

    None where it could not run there, or where the user's own settings speak one engine's language.
    """
    own = intent.overrides
    if own.engine_args or own.kv_type or own.env:
        return None
    other, want = twin(model), wants(model, intent)
    engine = "vllm" if model.format == "gguf" else "llama.cpp"
    build = next((build for build in builds if build.engine == engine), None)
    found = _plans(engine, rig, other.model, intent, build, here=False, constraints=(), known=NOTHING)
    best = max(found, key=lambda plan: score(plan, want, intent))
    if best.status == "no_fit":
        return None
    text = f"with {_article(other.label)} of it, about {gib(other.model.weights_bytes)} and not here: {summary(best)}"
    return Alternative(engine=engine, summary=text, status=best.status, context=best.context, expected=best.expected)


def _article(label: str) -> str:
    return f"an {label}" if label[0] in "AF" else f"a {label}"


def _kind(plan: Plan) -> tuple[object, ...]:
    return plan.engine, plan.split_mode, tuple(sorted(device.name for device in plan.devices)), plan.kv_type, plan.context


def summary(plan: Plan) -> str:
    """One line: cards, KV type, what lies in RAM."""
    if not plan.devices:
        where = "CPU"
    elif len(plan.devices) == 1:
        where = f"{plan.devices[0].name} alone"
    else:
        where = f"{len(plan.devices)} GPUs{TOGETHER.get(plan.split_mode, '')}"
    kv = "/".join(dict.fromkeys(plan.kv_type))
    ram = f", {counted(plan.host.offloaded_layers, 'layer')} in RAM" if plan.devices and plan.host.offloaded_layers else ""
    return f"{where}, KV {kv}{ram}"

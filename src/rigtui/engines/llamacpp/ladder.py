"""What may mend a failure of llama-server: constraints in the order they cost least. Pure.

Out of VRAM: more headroom on the failing card by what was short, a coarser KV cache where the use case allows it, a smaller micro-batch,
less context down to the least, the other cards without this one. Experts, then layers go to RAM by themselves, since `--fit` moves them
when the headroom leaves it no other way.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.engine import Failure
from rigtui.engines.ladder import Ladder, Setback, Step, halves
from rigtui.engines.llamacpp.command import FIT_OFF
from rigtui.planning.constraints import Constraint, Kind, about, smallest
from rigtui.planning.plan import PlanDevice
from rigtui.rig.rig import Gpu
from rigtui.text import MIB, mib

MARGIN = 128 * MIB
"""Asked for beyond what was short: buffers are rounded, and whoever took the memory may take a little more."""
ROUNDED = 64 * MIB
UNKNOWN_SHORT = 256 * MIB
"""Taken as short where the engine does not say how much it asked for (its pools, while computing); doubled each time."""
UBATCH_LEAST = 128
STAGE_WORDS = {
    "weights": " while loading the weights",
    "kv": " while making the KV cache",
    "compute": " while making the compute buffers",
    "runtime": " while computing",
}
_OUT_OF_VRAM = frozenset({"out_of_vram", "no_fit", "context_too_long", "spill"})
_OUT_OF_RAM = frozenset({"out_of_ram", "oom_killed"})


def ladder(setback: Setback) -> Ladder:
    """The steps for this failure; none for one that no other plan mends (a bad file, an argument the engine refuses)."""
    code = setback.failure.code
    if code in _OUT_OF_VRAM:
        kinds: tuple[_Kind, ...] = (_more_headroom, _coarser_cache, _smaller_ubatch, _less_context, _other_cards)
    elif code in _OUT_OF_RAM:
        kinds = (_coarser_cache, _less_context)
    elif code in ("gpu_lost", "driver") and setback.failure.device is not None:
        kinds = (_other_cards,)
    else:
        return Ladder()
    scene = _Scene(setback=setback, failed=_failed(setback))
    base = _headroom(scene)
    found = [kind(scene, base) for kind in kinds]
    learned = _learned(scene)
    steps = tuple(replace(step, learned=learned) for rungs in found for step in rungs.steps)
    return Ladder(steps=steps, in_the_way=tuple(dict.fromkeys(word for rungs in found for word in rungs.in_the_way)))


class _Failed(Struct, frozen=True):
    """The card it failed on: as it was planned, and as it is now."""

    device: PlanDevice
    gpu: Gpu

    @property
    def lost(self) -> int:
        """Bytes less free there now, without the engine, than the plan counted on."""
        return max(self.device.free_before_bytes - (self.gpu.free_bytes or 0), 0)


class _Scene(Struct, frozen=True, kw_only=True):
    setback: Setback
    failed: _Failed | None


_Kind = Callable[[_Scene, tuple[Constraint, ...]], Ladder]


def _failed(setback: Setback) -> _Failed | None:
    planned = setback.plan.devices
    named = [device for device in planned if device.device == setback.failure.device]
    device = named[0] if named else planned[0] if len(planned) == 1 else None
    if device is None:
        return None
    known = [gpu for gpu in setback.rig.gpus if (device.uuid is not None and gpu.uuid == device.uuid)]
    known = known or [gpu for gpu in setback.rig.gpus if device.uuid is None and gpu.name == device.name]
    if not known and setback.failure.code == "gpu_lost":
        return _Failed(device, Gpu(index=-1, name=device.name, uuid=device.uuid))  # it fell off the bus
    return _Failed(device, known[0]) if known else None


def _happened(scene: _Scene) -> str:
    """The failure in a few words, with the numbers."""
    failure = scene.setback.failure
    where = scene.failed.device.name if scene.failed else failure.device or "a GPU"
    doing = STAGE_WORDS.get(failure.stage or "", "")
    if failure.code in _OUT_OF_RAM:
        return "RAM ran out"
    if failure.code in ("gpu_lost", "driver"):
        return f"{where} failed{doing}"
    if failure.code == "spill":
        return f"{mib(failure.missing_bytes)} spilled into RAM" if failure.missing_bytes else f"{where} spilled into RAM"
    return f"{where} ran out{_by(failure)}{doing}"


def _by(failure: Failure) -> str:
    return f" by {mib(failure.missing_bytes)}" if failure.missing_bytes else ""


def _short(scene: _Scene, failed: _Failed) -> int:
    """Bytes that were missing on the card for the whole plan: for the allocation that failed, and for those still to come."""
    failure, device = scene.setback.failure, failed.device
    to_come = {"weights": device.kv_bytes + device.compute_bytes, "kv": device.compute_bytes}.get(failure.stage or "", 0)
    if failure.missing_bytes is not None:
        return failure.missing_bytes + to_come
    before = sum(1 for c in scene.setback.constraints if c.kind == "headroom" and c.gpu == about(failed.gpu) and c.origin == "failure")
    return (UNKNOWN_SHORT << before) + to_come


def _headroom(scene: _Scene) -> tuple[Constraint, ...]:
    """The headroom that would have made room; empty when the fresh reading shows all of what was short, or the user's own stands."""
    failed = scene.failed
    if failed is None or scene.setback.intent.overrides.fit_target_mib or scene.setback.failure.code not in _OUT_OF_VRAM:
        return ()
    # What the plan left free and what was short together went missing; what is missing still is planned with anyway.
    unseen = failed.device.free_after_bytes + _short(scene, failed) - failed.lost
    before = failed.device.headroom_bytes
    if unseen <= before and failed.lost > 0:
        return ()
    wanted = -(-(max(unseen, before) + MARGIN) // ROUNDED) * ROUNDED
    lost = f"{_lost(failed)}, so " if failed.lost >= ROUNDED else ""
    text = f"{_happened(scene)}: {lost}headroom {before // MIB:,} → {wanted // MIB:,} MiB"
    return (Constraint(kind="headroom", gpu=about(failed.gpu), value=wanted, text=text),)


def _learned(scene: _Scene) -> tuple[Constraint, ...]:
    """The headroom that would have made room before anybody took the memory, where somebody did."""
    failed = scene.failed
    if failed is None or failed.lost < ROUNDED or scene.setback.failure.code not in _OUT_OF_VRAM:
        return ()
    before = failed.device.headroom_bytes
    # What others took, for certain, whatever the plan had misjudged besides; rounded down, so that a reading that shows it counts it whole.
    wanted = max(before + failed.lost, failed.device.free_after_bytes + _short(scene, failed) + MARGIN) // ROUNDED * ROUNDED
    text = f"{_happened(scene)}, where others took {mib(failed.lost)}: headroom {before // MIB:,} → {wanted // MIB:,} MiB"
    return (Constraint(kind="headroom", gpu=about(failed.gpu), value=wanted, text=text),) if wanted > before else ()


def _more_headroom(scene: _Scene, base: tuple[Constraint, ...]) -> Ladder:
    own = scene.setback.intent.overrides
    blocked = _own_placement(own.engine_args)
    if own.fit_target_mib:
        blocked = (f"--fit-target {','.join(map(str, own.fit_target_mib))}", *blocked)
    if _own_placement(own.engine_args):
        return Ladder(in_the_way=blocked)  # whatever is left free, nothing moves
    if base:
        return Ladder(steps=(Step(text=base[0].text, constraints=base),), in_the_way=blocked)
    if scene.failed is not None and not scene.failed.lost:
        return Ladder(in_the_way=blocked)
    lost = f"{_lost(scene.failed)}, " if scene.failed is not None else ""
    text = f"{_happened(scene)}: {lost}planned again with what is free now"
    return Ladder(steps=(Step(text=text),), in_the_way=blocked)


def _lost(failed: _Failed) -> str:
    """How much less is free than was planned with, and who may hold it."""
    holders = sorted((p for p in failed.gpu.processes or () if not p.engine and p.bytes), key=lambda p: p.bytes or 0, reverse=True)
    who = f" (the most is held by {holders[0].name}, process {holders[0].pid}: {mib(holders[0].bytes)})" if holders else ""
    return f"{mib(failed.lost)} less are free there than when it was planned{who}"


def _own_placement(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The user's arguments that pin where things lie, so that `--fit` moves nothing."""
    return tuple(word for word in arguments if word.split("=", 1)[0] in FIT_OFF)


def _coarser_cache(scene: _Scene, base: tuple[Constraint, ...]) -> Ladder:
    plan, intent = scene.setback.plan, scene.setback.intent
    if intent.overrides.kv_type is not None:
        return Ladder(in_the_way=(f"--kv-type {','.join(dict.fromkeys(intent.overrides.kv_type))}",))
    allowed = intent.use_case.kv_types
    coarser = allowed[allowed.index(plan.kv_type[0]) + 1 :] if plan.kv_type[0] in allowed else ()
    steps = []
    for kind in coarser:
        text = f"{_happened(scene)}: KV cache {plan.kv_type[0]} → {kind}"
        steps.append(
            Step(text=text, constraints=(*base, Constraint(kind="kv_type", value=kind, text=text), *_nothing_back(scene, text, "context")))
        )
    return Ladder(steps=tuple(steps))


def _nothing_back(scene: _Scene, text: str, *kinds: Kind) -> tuple[Constraint, ...]:
    """What a step frees is not to be spent on more context or a finer cache (of these only `kinds`, where any are named)."""
    plan, allowed = scene.setback.plan, scene.setback.intent.use_case.kv_types
    found = [Constraint(kind="context", value=plan.context_per_slot, text=text)]
    if plan.kv_type[0] == plan.kv_type[1] and plan.kv_type[0] in allowed[1:]:
        found.append(Constraint(kind="kv_type", value=plan.kv_type[0], text=text))
    return tuple(constraint for constraint in found if not kinds or constraint.kind in kinds)


def _smaller_ubatch(scene: _Scene, base: tuple[Constraint, ...]) -> Ladder:
    intent = scene.setback.intent
    if intent.use_case.embedding:
        return Ladder()  # there it bounds how long an input may be
    if intent.overrides.ubatch is not None:
        return Ladder(in_the_way=(f"--ubatch {intent.overrides.ubatch}",))
    now = int(min(smallest(scene.setback.constraints, "ubatch") or intent.use_case.ubatch, intent.use_case.ubatch))
    if now // 2 < UBATCH_LEAST:
        return Ladder()
    text = f"{_happened(scene)}: micro-batch {now} → {now // 2}"
    constraints = (*base, Constraint(kind="ubatch", value=now // 2, text=text), *_nothing_back(scene, text))
    return Ladder(steps=(Step(text=text, constraints=constraints),))


def _less_context(scene: _Scene, base: tuple[Constraint, ...]) -> Ladder:
    intent, now = scene.setback.intent, scene.setback.plan.context_per_slot
    if intent.overrides.context is not None:
        return Ladder(in_the_way=(f"--context {intent.overrides.context}",))
    steps = []
    for context in halves(now, intent.use_case.context_least or now):
        text = f"{_happened(scene)}: context {now:,} → {context:,} tokens"
        steps.append(
            Step(
                text=text, constraints=(*base, Constraint(kind="context", value=context, text=text), *_nothing_back(scene, text, "kv_type"))
            )
        )
    return Ladder(steps=tuple(steps))


def _other_cards(scene: _Scene, base: tuple[Constraint, ...]) -> Ladder:
    del base  # the card that needs it is not used
    own, rig = scene.setback.intent.overrides, scene.setback.rig
    if scene.failed is None:
        return Ladder()
    alone = all(about(gpu) == about(scene.failed.gpu) for gpu in rig.usable_gpus)
    if alone and scene.setback.failure.code not in _OUT_OF_VRAM:
        return Ladder()
    pinned = _own_placement(own.engine_args) if alone else ()
    if own.gpus or pinned:
        return Ladder(in_the_way=pinned or (f"--gpus {','.join(own.gpus or ())}",))
    text = f"{_happened(scene)}: without {scene.failed.device.name}" + (", all of it in RAM" if alone else "")
    return Ladder(steps=(Step(text=text, constraints=(Constraint(kind="without_gpu", gpu=about(scene.failed.gpu), text=text),)),))

"""One of the plans that would work instead becomes what the user set: cards, KV type, context and engine, marked as theirs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isclose
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rigtui.errors import UsageError
from rigtui.tui.segments import match_devices
from rigtui.tui.whatif import headroom_now

if TYPE_CHECKING:
    from rigtui.planning.plan import Alternative, Plan
    from rigtui.tui.state import Cockpit

PINS = (("context",), ("kv_type",), ("gpus", "fit_target_mib"))
"""Settings that make a plan what it is, those together that make no sense alone."""
SAME_SPEED = 0.01


def take(state: Cockpit, plan: Plan) -> Cockpit:
    """The choices that give this plan, all of them set. Raises UsageError for one that no choice gives."""
    rig = state.rig
    matched = match_devices(rig, plan) if rig is not None else {}
    at = {device.device: place for place, device in matched.items()}
    if rig is None or any(device.device not in at for device in plan.devices):
        raise UsageError("the rig changed since this was derived; compare again")
    if not plan.devices and rig.usable_gpus:
        raise UsageError("this one leaves the cards alone, which no choice here asks for")
    cards = tuple(rig.gpus[at[device.device]] for device in plan.devices)
    own = replace(
        state.overrides,
        context=plan.context_per_slot,
        kv_type=plan.kv_type,
        gpus=tuple(card.uuid or str(card.index) for card in cards) or None,
        # A headroom of the user's stays with its card.
        fit_target_mib=headroom_now(state, cards) if state.overrides.fit_target_mib and cards else None,
    )
    engine = state.engine if state.plan is not None and plan.engine == state.plan.engine else plan.engine
    return replace(state, overrides=own, engine=engine)


def fewest(state: Cockpit, plan: Plan, derive: Callable[[Cockpit], Plan]) -> tuple[Cockpit, str]:
    """The choices that give this plan, only those set that it needs; and what is different where even all of them give another one.

    `derive` gives the plan of a choice. Raises UsageError as `take`.
    """
    taken = take(state, plan)
    found = derive(taken)
    if not _same(found, plan):
        return taken, f"as your own choice it is {_told(found)} instead of {_told(plan)}"
    for names in PINS:
        before = {name: getattr(state.overrides, name) for name in names}
        fewer = replace(taken, overrides=replace(taken.overrides, **before))
        if fewer != taken and _same(derive(fewer), plan):
            taken = fewer
    return taken, ""


def _same(one: Plan, other: Plan) -> bool:
    """Whether two plans are one and the same to a user."""

    def facts(plan: Plan) -> tuple[object, ...]:
        cards = tuple(device.uuid or device.name for device in plan.devices)
        return plan.engine, plan.split_mode, cards, plan.kv_type, plan.context_per_slot, plan.host.offloaded_layers

    here, there = one.expected.decode_tok_s, other.expected.decode_tok_s
    return facts(one) == facts(other) and (here == there or isclose(here or 0.0, there or 0.0, rel_tol=SAME_SPEED))


def _told(plan: Plan) -> str:
    speed = f"about {plan.expected.decode_tok_s:,.0f} tok/s" if plan.expected.decode_tok_s else "of unknown speed"
    return f"{plan.context_per_slot:,} tokens with KV {'/'.join(dict.fromkeys(plan.kv_type))}, {speed}"


def named(alternative: Alternative, plans: Sequence[Plan]) -> Plan | None:
    """The plan that an alternative of the present one tells of in short; None where it is of another file."""
    from rigtui.planning.choose import summary

    wanted = (alternative.engine, alternative.summary, alternative.status, alternative.context)
    return next((plan for plan in plans if (plan.engine, summary(plan), plan.status, plan.context) == wanted), None)

"""One of the plans that would work instead becomes what the user set: cards, KV type, context and engine, marked as theirs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rigtui.errors import UsageError
from rigtui.tui.segments import match_devices

if TYPE_CHECKING:
    from rigtui.planning.plan import Alternative, Plan
    from rigtui.tui.state import Cockpit


def take(state: Cockpit, plan: Plan) -> Cockpit:
    """The choices that give this plan. Raises UsageError for one that no choice gives."""
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
    )
    if own.gpus != state.overrides.gpus:
        # Headroom stands in the order of the cards it was set for.
        own = replace(own, fit_target_mib=None)
    engine = state.engine if state.plan is not None and plan.engine == state.plan.engine else plan.engine
    return replace(state, overrides=own, engine=engine)


def named(alternative: Alternative, plans: Sequence[Plan]) -> Plan | None:
    """The plan that an alternative of the present one tells of in short; None where it is of another file."""
    from rigtui.planning.choose import summary

    wanted = (alternative.engine, alternative.summary, alternative.status, alternative.context)
    return next((plan for plan in plans if (plan.engine, summary(plan), plan.status, plan.context) == wanted), None)

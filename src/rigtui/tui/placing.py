"""Where a model would go on this rig right now, in a few words: what a plan says in one row. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from rigtui.tui.segments import match_devices

if TYPE_CHECKING:
    from rigtui.planning.plan import Plan, Status
    from rigtui.rig.rig import Rig

WORDS: dict[Status, str] = {"fits": "fits", "tight": "tight", "offload": "offload", "no_fit": "no fit"}
"""The plan's status words, as short as a row needs them."""
STATUS_COLORS: dict[Status, str] = {"fits": "$success", "tight": "$warning", "offload": "$warning", "no_fit": "$error"}


class Placement(Struct, frozen=True, kw_only=True):
    """A model's place on the rig."""

    status: Status
    cards: str = ""
    """`GPU 0+1`, `GPU 0–7`, `GPU 0 + RAM`, `CPU`; empty where it does not fit."""
    tok_s: float | None = None
    """Expected decode speed, tokens per second."""
    basis: Literal["measured", "calibrated", "estimated"] = "estimated"
    choice: int = 0
    """Which choice of use case and settings it was derived for."""


def placement(plan: Plan, rig: Rig, choice: int) -> Placement:
    """The plan in short."""
    fits = plan.status != "no_fit"
    return Placement(
        status=plan.status,
        cards=_cards(plan, rig) if fits else "",
        tok_s=plan.expected.decode_tok_s if fits else None,
        basis=plan.expected.basis,
        choice=choice,
    )


def _cards(plan: Plan, rig: Rig) -> str:
    used = [device.device for device in plan.devices if device.used_bytes > 0]
    if not used:
        return "CPU"
    index = {device.device: rig.gpus[at].index for at, device in match_devices(rig, plan).items()}
    known = sorted(index[name] for name in used if name in index)
    row = len(known) > 2 and known == list(range(known[0], known[-1] + 1))
    numbers = f"{known[0]}–{known[-1]}" if row else "+".join(map(str, known))
    cards = f"GPU {numbers}" if len(known) == len(used) else f"{len(used)} GPUs"
    return f"{cards} + RAM" if plan.host.offloaded_layers else cards


def speed_text(placement: Placement) -> str:
    """`38 tok/s` as measured, `~38 tok/s` as expected, empty where nothing is known."""
    if placement.tok_s is None:
        return ""
    return f"{'' if placement.basis == 'measured' else '~'}{placement.tok_s:,.0f} tok/s"

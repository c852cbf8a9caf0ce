"""What an engine room answers to a failure: steps that may mend it, most promising first. Values, the same for every engine.

Whoever walks a ladder adds a step's constraints to those already in force, derives again on the same fresh reading, and launches the first
plan that fits and differs from the one that failed.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from rigtui.engines.engine import Failure
from rigtui.intent.intent import Intent
from rigtui.planning.constraints import Constraint
from rigtui.planning.plan import Plan
from rigtui.rig.rig import Rig


class Setback(Struct, frozen=True, kw_only=True):
    """A plan that failed, and all that is known about it."""

    failure: Failure
    plan: Plan
    intent: Intent
    rig: Rig
    """Read after the failure, the engine gone: what another program took in between shows here."""
    constraints: tuple[Constraint, ...] = ()
    """Those that `plan` was derived with."""


class Step(Struct, frozen=True, kw_only=True):
    """One way on."""

    text: str
    """What happened and what is done about it, with the numbers: one sentence."""
    constraints: tuple[Constraint, ...] = ()
    """To add; none: the fresh reading alone makes the difference."""
    learned: tuple[Constraint, ...] = ()
    """What a later launch is to respect although this one need not: memory that somebody took inside the load, and that the fresh reading
    shows as taken, will be free again before the next launch and may be taken again inside its load."""


class Ladder(Struct, frozen=True, kw_only=True):
    """All ways on from one failure."""

    steps: tuple[Step, ...] = ()
    """In the order they are tried; none where no other plan can mend the failure."""
    in_the_way: tuple[str, ...] = ()
    """Settings of the user's that rule out further steps, as the user would write them: `--context 131072`."""


def halves(now: int, least: int) -> Iterator[int]:
    """Halves of `now`, and the least at the end."""
    while now > least:
        now = max(now // 2, least)
        yield now

"""A plan that was kept to be compared with others, and the choice behind it. Pure values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from rigtui.intent.intent import EngineName, Overrides

if TYPE_CHECKING:
    from rigtui.planning.plan import Plan

Choice = tuple[str, int, Overrides, EngineName]
"""Model (path), use case (place in the list), the user's overrides, engine: what can be chosen, comparable."""


class Pinned(Struct, frozen=True):
    """One kept plan."""

    plan: Plan
    choice: Choice
    rig: str
    """The rig it was made for, by name."""

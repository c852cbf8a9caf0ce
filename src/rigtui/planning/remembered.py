"""A derivation that begins with what earlier runs taught, the same for every engine. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from rigtui.intent.intent import Intent, Overrides, with_settings
from rigtui.models.model import Model
from rigtui.planning.constraints import Constraint
from rigtui.planning.experience import informed, shown
from rigtui.planning.known import Known
from rigtui.planning.lessons import Recall
from rigtui.planning.plan import Plan, Reason
from rigtui.planning.wants import batches
from rigtui.rig.rig import Rig

Derive = Callable[[Rig, Intent, Sequence[Constraint], Known], list[Plan]]
"""An engine's own derivation of one model: every plan for a rig and an intent, within constraints, with what is known."""
_AS_ASKED = ("all_cards", "kv_type", "context")
"""Reasons that speak of settings as the user's own."""


def with_constraints(constraints: Sequence[Constraint], recall: Recall) -> tuple[Constraint, ...]:
    """All bounds that hold: those of this run, then the lessons that it does not have yet."""
    present = {(c.kind, c.gpu, c.value) for c in constraints}
    return (*constraints, *(c for c in recall.constraints if (c.kind, c.gpu, c.value) not in present))


class Remembering(Struct, frozen=True):
    """One model with what is remembered of it, and how one build of an engine is known."""

    model: Model
    recall: Recall
    constraints: Sequence[Constraint]
    """What this run's own failures taught."""
    build: str

    def plans(self, derive: Derive, rig: Rig, intent: Intent) -> list[Plan]:
        """Every plan, with lessons respected, and with what was measured in the place of estimates."""
        recall, fingerprint = self.recall, self.model.fingerprint
        bounds = with_constraints(self.constraints, recall)
        plans = derive(rig, intent, bounds, shown(recall.good, fingerprint, self.build))
        told = [informed(plan, fingerprint, recall.good, batches(intent, bounds)) for plan in plans]
        return [replace(plan, reasons=(*plan.reasons, *recall.reasons)) for plan in told]

    def tuned(self, derive: Derive, rig: Rig, intent: Intent) -> list[Plan]:
        """The plans with the settings that tuning found best; none when it found nothing better, or after a failure of this very run."""
        settings = self.recall.tuned
        if settings is None or settings == Overrides() or any(c.origin != "lesson" for c in self.constraints):
            return []
        why = Reason("tuned", f"{described(settings, numbers_of(rig))}: tuning found this best (`rigtui results` shows the trials)")
        plans = self.plans(derive, rig, with_settings(intent, settings))
        return [replace(plan, reasons=(why, *(r for r in plan.reasons if r.code not in _AS_ASKED))) for plan in plans]


def described(settings: Overrides, cards: Mapping[str, str] = MappingProxyType({})) -> str:
    """Settings for people; the cards by the names that `cards` has for them."""
    parts = []
    if settings.fit_target_mib is not None:
        parts.append(f"headroom {','.join(map(str, settings.fit_target_mib))} MiB")
    if settings.ubatch is not None:
        parts.append(f"micro-batch {settings.ubatch}")
    if settings.kv_type is not None:
        parts.append(f"KV {'/'.join(dict.fromkeys(settings.kv_type))}")
    if settings.gpus is not None:
        names = [cards.get(name, name) for name in settings.gpus]
        parts.append(f"{names[0]} alone" if len(names) == 1 else f"{', '.join(names)} in this order")
    return ", ".join(parts) or "rigtui's own settings"


def numbers_of(rig: Rig) -> dict[str, str]:
    """Cards as settings name them (UUIDs, or their numbers) -> how people are told of them."""
    return {name: f"GPU {gpu.index}" for gpu in rig.gpus for name in (gpu.uuid, str(gpu.index)) if name}

"""Walking the ladder: after a failure, the plans that its steps lead to on a fresh reading of the rig."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.engine import Build, Failure
from rigtui.engines.ladder import Ladder, Setback, Step
from rigtui.engines.rooms import MODULES, room
from rigtui.errors import RigtuiError
from rigtui.intent.config import load_config
from rigtui.models.library import scan
from rigtui.models.model import Model
from rigtui.models.resolve import resolve
from rigtui.planning.choose import STATUS_RANK, choose, summary
from rigtui.planning.constraints import Constraint
from rigtui.planning.lessons import NO_LESSONS, Lessons
from rigtui.planning.plan import Plan
from rigtui.planning.remembered import with_constraints
from rigtui.planning.siblings import siblings
from rigtui.rig import rigfile
from rigtui.rig.rig import Rig
from rigtui.rig.sampler import Engines
from rigtui.runs import memory, pending, watch
from rigtui.runs.builds import surveyed
from rigtui.runs.state import Asked, OfferedStep
from rigtui.text import clean


class Way(Struct, frozen=True, kw_only=True):
    """A step and the plan it leads to."""

    plan: Plan
    model: Model | None = None
    """Where it is another file of the same model, for another engine."""
    build: Build
    constraints: tuple[Constraint, ...]
    """All that are in force with it."""
    learned: tuple[Constraint, ...] = ()
    """For later launches."""
    change: str
    """What happened, and all that is different now: one sentence."""

    def offered(self) -> OfferedStep:
        """As the state shows it."""
        return OfferedStep(text=self.change, summary=summary(self.plan), status=self.plan.status, context=self.plan.context)


class Ways(Struct, frozen=True, kw_only=True):
    """All ways on from a failure, best first."""

    ways: tuple[Way, ...] = ()
    why_none: str = ""
    """Why there is no way on, where there is none and that can be said."""


def ways_from(
    setback: Setback,
    ladder: Ladder,
    model: Model,
    builds: Sequence[Build],
    *,
    here: bool = False,
    lessons: Lessons = NO_LESSONS,
    others: Sequence[Model] = (),
) -> Ways:
    """The plans that the steps of `ladder` lead to, those that fit and differ from the one that failed, and from each other.

    Plans that keep everything on the cards come before those that move layers to RAM. `others` are the same model in other engines'
    formats, the finest first: a step that leaves the engine leads to the first that fits best. Pure.
    """
    seen = {_shape(setback.plan)}
    found = []
    for step in ladder.steps:
        constraints = (*(c for c in setback.constraints if c.origin != "lesson" or lessons == NO_LESSONS), *step.constraints)
        leaves = _leaves(step)
        best: tuple[Plan, Build, Model] | None = None
        for file in others if leaves else (model,):
            try:
                plan = choose(setback.rig, file, setback.intent, builds, here=here, constraints=constraints, lessons=lessons)
            except RigtuiError:
                continue  # it rules out every engine that could run this file
            build = next((build for build in builds if build.engine == plan.engine), None)
            if build is None or plan.status == "no_fit" or _shape(plan) in seen:
                continue
            if best is None or STATUS_RANK[plan.status] > STATUS_RANK[best[0].status]:
                best = plan, build, file
        if best is None:
            continue
        plan, build, file = best
        seen.add(_shape(plan))
        # Lessons are judged again on this reading: what was kept free for others is not kept twice once they have it.
        constraints = with_constraints(constraints, lessons.about(setback.rig, file, setback.intent, build))
        way = Way(plan=plan, build=build, constraints=constraints, learned=step.learned, change=_change(step, setback.plan, plan))
        found.append(replace(way, model=file) if leaves else way)
    return Ways(ways=tuple(sorted(found, key=lambda way: way.plan.status == "offload")), why_none=_why_none(ladder, model, others))


def _why_none(ladder: Ladder, model: Model | None = None, others: Sequence[Model] = ()) -> str:
    """What to say where no way was found, or the last of them has failed."""
    if ladder.in_the_way:
        own = " and ".join(f"your {setting}" for setting in ladder.in_the_way)
        return f"{own} {'leaves' if len(ladder.in_the_way) == 1 else 'leave'} no step that could mend it"
    if model is not None and not others and any(_leaves(step) for step in ladder.steps):
        what, engine = ("GGUF file", "llama.cpp") if model.format == "safetensors" else ("safetensors folder", "vLLM")
        return f"{engine} could run it from a {what} of the same model, and there is none here: `rigtui models --hub` finds one to get"
    return "no step leads to a plan that fits what is free now" if ladder.steps else ""


def _leaves(step: Step) -> bool:
    """Whether it gives up the engine."""
    return any(c.kind == "engine" for c in step.constraints)


def _shape(plan: Plan) -> tuple[object, ...]:
    """What makes two plans the same attempt: the command, and where it is expected to put what."""
    placed = tuple((d.uuid or d.name, d.layers, d.weights_bytes, d.kv_bytes) for d in plan.devices)
    return plan.engine, plan.command, tuple(sorted(plan.env.items())), placed, plan.host.offloaded_layers


def _change(step: Step, before: Plan, after: Plan) -> str:
    """The step's sentence, and what else follows from it."""
    said = {c.kind for c in step.constraints if c.kind != "context" or c.value != before.context_per_slot}
    found = []
    cards = [[d.name for d in plan.devices] for plan in (before, after)]
    if before.engine != after.engine:
        found.append(f"{after.engine} instead of {before.engine}, with {clean(Path(after.model.path).name)}")
    if sorted(cards[0]) != sorted(cards[1]):
        found.append(f"on {', '.join(cards[1]) or 'the CPU'}")
    if before.kv_type != after.kv_type and "kv_type" not in said:
        found.append(f"KV cache {'/'.join(dict.fromkeys(after.kv_type))}")
    if before.context_per_slot != after.context_per_slot and "context" not in said:
        found.append(f"context {before.context_per_slot:,} → {after.context_per_slot:,} tokens")
    if before.host.offloaded_layers != after.host.offloaded_layers:
        found.append(f"layers in RAM {before.host.offloaded_layers} → {after.host.offloaded_layers}")
    return f"{step.text}; {', '.join(found)}" if found else step.text


class Walker:
    """Reads what the ladder needs: the rig as it is now, the model, and what the engine's room says."""

    def __init__(self, asked: Asked, read: Callable[[Engines], Rig]) -> None:
        self._asked = asked
        self._read = read
        self._lessons = memory.lessons()
        """Of earlier runs: what this one learns is in its constraints."""

    def ways(self, failure: Failure, plan: Plan, constraints: tuple[Constraint, ...], rig: Rig | None = None) -> Ways:
        """The ways on from `failure` of `plan`, which was derived with `constraints`.

        `rig`: as it is without the run's engine; None: the engine is gone, read it now.
        """
        request = self._asked.request
        try:
            setback = Setback(failure=failure, plan=plan, intent=request.intent, rig=rig or self._rig(), constraints=constraints)
            ladder = room(plan.engine).ladder(setback)
            if not ladder.steps:
                return Ways(why_none=_why_none(ladder))
            model = resolve(plan.model.path)
            others = self._others(model) if any(map(_leaves, ladder.steps)) else ()
            return ways_from(setback, ladder, model, self._builds(ladder), here=request.simulated, lessons=self._lessons, others=others)
        except RigtuiError as error:
            return Ways(why_none=f"no other plan could be derived: {error}")

    def _builds(self, ladder: Ladder) -> tuple[Build, ...]:
        """The run's own build; the other engines are only looked for when a step leaves the run's."""
        own = self._asked.request.build
        if not any(map(_leaves, ladder.steps)):
            return (own,)
        named = load_config().engines
        others = [build for engine in MODULES if engine != own.engine for build in surveyed(engine, named).builds]
        return (own, *others)

    def _others(self, model: Model) -> tuple[Model, ...]:
        """The same model in another format: beside it, in the folders the user named, and in the stores of other programs."""
        places = (*load_config().models.folders, str(Path(model.path).parent))
        return siblings(model, (entry.model for entry in scan(places) if entry.model is not None))

    def _rig(self) -> Rig:
        """The rig without this run, whose engine is gone; what other runs will still take counts as taken."""
        if self._asked.request.rig_file is not None:
            return rigfile.load(Path(self._asked.request.rig_file))
        others = [state for state in watch.live_runs() if state.run != self._asked.run]
        return pending.beside(self._read(watch.engines_on_this_rig()), others)

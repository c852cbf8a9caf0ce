"""What the screen knows, as one immutable value, and how each thing that happens changes it. Pure: no I/O, no clock, no widgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from rigtui.intent.intent import EngineName, Intent, Overrides, UseCase
from rigtui.text import clean
from rigtui.tui.keys import Keys
from rigtui.tui.placing import Placement, placement
from rigtui.tui.segments import shares_in_use
from rigtui.tui.shelf import Shelf, ordered
from rigtui.tui.tips import TIPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rigtui.engines.engine import Build
    from rigtui.engines.live import Live
    from rigtui.models.library import LibraryEntry
    from rigtui.models.model import Model
    from rigtui.planning.plan import Plan
    from rigtui.rig.rig import Rig
    from rigtui.runs.state import LaunchRequest, RunState
    from rigtui.tui.pinned import Choice, Pinned

HISTORY = 32
"""Readings kept per card, and of the RAM, for the sparkline."""
KV_CHOICES = ("f16", "q8_0", "q5_1", "q4_0")
"""The KV types the key steps through, largest first; any other can be had from a profile or the command line."""
LEAST_CONTEXT = 1024


class Cockpit(Struct, frozen=True, kw_only=True):
    """Everything the screen shows."""

    keys: Keys = Keys()
    """The keys that texts name."""
    program: str = "rigtui"
    """How this program is called on a command line here."""
    rig: Rig | None = None
    history: dict[str, tuple[float, ...]] = {}
    use_cases: tuple[UseCase, ...] = ()
    builds: tuple[Build, ...] | None = None
    """None until they were looked for."""
    candidates: tuple[LibraryEntry, ...] = ()
    outside: tuple[LibraryEntry, ...] = ()
    """Models in none of the searched places, which a profile brought along."""
    scanning: bool = True
    scanned: int = 0
    folders: tuple[str, ...] = ()
    """Where models are looked for, for people."""
    selected: str | None = None
    """Path of the chosen model."""
    picked: bool = False
    """The user chose the model; until then the first of the list is chosen."""
    hidden: bool = False
    """The filter hides every model, the chosen one, too."""
    shelf: Shelf = Shelf()
    used: dict[str, str] = {}
    """When models were last run (ISO 8601), by path, as it was when the screen opened."""
    placements: dict[str, Placement] = {}
    """Where models would go on this rig, by path, as far as derived."""
    survey: int = 0
    """Which choice the placements are derived for now."""
    surveyed: int = 0
    """Which choice the list is for: placements for older ones are shown as such. It follows `survey` once the choice has stood still."""
    use_case: int = 0
    engine: EngineName = "auto"
    """Which engine is asked for: the user's, or a profile's."""
    initial_engine: EngineName = "auto"
    """What `reset` goes back to."""
    overrides: Overrides = Overrides()
    initial: Overrides = Overrides()
    """What `reset` goes back to: nothing, or a profile's overrides."""
    asked: int = 0
    """Stamp of the last derivation that was asked for; older answers are dropped."""
    plan: Plan | None = None
    plan_problem: str | None = None
    planned_for: Overrides = Overrides()
    """What the user had set when that plan was asked for."""
    verifying: bool = False
    """The engine is being asked about the plan."""
    verify_problem: str = ""
    """Why the plan is still an estimate, where its engine was asked."""
    settling: bool = False
    """A dry run has just ended: the next reading may still hold some of it."""
    undisturbed: Rig | None = None
    """The reading from before a dry run: plans are not to make room for what that holds."""
    runs: tuple[RunState, ...] = ()
    attached: str | None = None
    """Id of the run that is shown."""
    live: Live | None = None
    """How the run that is shown works now, where its engine says."""
    launched: dict[str, Choice] = {}
    """By run, the choice it was launched with, as far as that was here or was taken over."""
    launching: bool = False
    launching_says: str = ""
    """What the launch has to wait for."""
    learned: frozenset[str] = frozenset(TIPS)
    """First steps that were taken once, by id; they are not shown again."""
    saved: tuple[str, Choice] | None = None
    """The last profile saved here, and the choice it holds."""
    pinned: tuple[Pinned, ...] = ()
    """Plans that were kept to be compared with others."""
    machine: Rig | None = None
    """This machine, while another rig is tried in its place."""
    set_aside: Overrides | None = None
    """The overrides that speak of this machine's cards, meanwhile."""

    @property
    def ground(self) -> Rig | None:
        """The reading that plans are made on."""
        return self.rig if self.machine is not None or self.undisturbed is None else self.undisturbed

    @property
    def candidate(self) -> LibraryEntry | None:
        """The chosen model."""
        return next((c for c in self.candidates if c.path == self.selected), None)

    @property
    def chosen_use_case(self) -> UseCase | None:
        """The chosen use case."""
        return self.use_cases[self.use_case] if self.use_cases else None

    @property
    def run(self) -> RunState | None:
        """The run that is shown."""
        return next((run for run in self.runs if run.run == self.attached), None)

    @property
    def live_runs(self) -> tuple[RunState, ...]:
        """Runs that hold or are about to hold memory."""
        return tuple(run for run in self.runs if run.live)

    @property
    def used_now(self) -> dict[str, str]:
        """When models were last run, with the runs that are seen here."""
        return self.used | {run.model_path: run.started for run in self.runs}

    @property
    def choice(self) -> Choice:
        """What the user has chosen, comparable."""
        return (self.selected or "", self.use_case, self.overrides, self.engine)

    @property
    def preview(self) -> bool:
        """Whether the plan is drawn over the bars: not while exactly this choice is running, shown or not, its bytes are there already."""
        return not any(self.launched.get(run.run) == self.choice for run in self.live_runs)

    @property
    def changed(self) -> bool:
        """The user changed something that `reset` takes back."""
        return self.overrides != self.initial or self.engine != self.initial_engine


def intent(state: Cockpit) -> Intent | None:
    """What is asked of the derivation, or None while nothing can be asked."""
    use_case = state.chosen_use_case
    if use_case is None:
        return None
    profile = state.saved[0] if state.saved and state.saved[1] == state.choice else None
    return Intent(use_case=use_case, overrides=state.overrides, engine=state.engine, profile=profile)


def derivation(state: Cockpit) -> tuple[Rig, Model, Intent, tuple[Build, ...]] | None:
    """What the plan of the present choice is derived from: reading, model, intent and engines; None while one of them is missing."""
    asked, model = intent(state), state.candidate.model if state.candidate else None
    if state.ground is None or model is None or asked is None or state.builds is None:
        return None
    return state.ground, model, asked, state.builds


def wanted_of_all(state: Cockpit) -> dict[str, tuple[Model, Intent]]:
    """What is asked of every model that can be used, by path: the present choice, as `rigtui plan MODEL` would be asked it."""
    use_case = state.chosen_use_case
    if use_case is None:
        return {}
    models = {entry.path: entry.model for entry in state.candidates if entry.model is not None}
    return {path: (model, Intent(use_case=use_case, overrides=state.overrides, engine=state.engine)) for path, model in models.items()}


def default_name(candidate: LibraryEntry, intent: Intent) -> str:
    """What a profile of these choices is called when the user does not say: the model, the use case, and what was changed by hand."""
    own = intent.overrides
    parts = [candidate.name, intent.use_case.name]
    parts += [str(own.context)] if own.context else []
    parts += ["-".join(dict.fromkeys(own.kv_type))] if own.kv_type else []
    return clean("-".join(parts))


def with_rig(state: Cockpit, rig: Rig) -> Cockpit:
    """A new reading; how much of every card and of the RAM is in use joins its history."""
    history = {key: (*state.history.get(key, ()), share)[-HISTORY:] for key, share in shares_in_use(rig).items()}
    keeps = state.verifying or state.settling
    undisturbed = state.undisturbed if keeps else None
    return replace(state, rig=rig, history=history, undisturbed=undisturbed, settling=state.settling and state.verifying)


def with_candidates(state: Cockpit, found: tuple[LibraryEntry, ...], *, done: bool) -> Cockpit:
    """Models found so far; the first usable one is chosen where nothing was.

    A choice that is not among them stays while the search goes on, or while it is what the shown run works with.
    """
    known = {candidate.path for candidate in found}
    found = (*found, *(candidate for candidate in state.outside if candidate.path not in known))
    works = state.attached in state.launched and state.run is not None and state.run.live
    keep = state.selected is not None and (not done or works)
    chosen = state.picked or state.changed or not done
    if keep or (chosen and state.selected in {candidate.path for candidate in found}):
        selected = state.selected
    else:
        listed = ordered(found, state.shelf, state.used_now, {})
        selected = next((candidate.path for candidate in listed if candidate.model is not None), None)
    return replace(state, candidates=found, scanning=not done, selected=selected)


def select(state: Cockpit, path: str) -> Cockpit:
    """Another model. Use case and what the user set stay, a context too that is beyond what the model was trained for: the plan says so."""
    if path == state.selected:
        return state
    # Engine and starting point were those of a profile for the model before.
    own = state.engine if state.engine != state.initial_engine else "auto"
    return replace(state, selected=path, picked=True, engine=own, initial_engine="auto", initial=Overrides())


def with_profile(state: Cockpit, model: LibraryEntry, wanted: Intent) -> Cockpit:
    """A profile becomes the choice; `reset` goes back to what it says."""
    known = any(candidate.path == model.path for candidate in state.candidates)
    outside = state.outside if known else (*state.outside, model)
    candidates = state.candidates if known else (*state.candidates, model)
    names = [use_case.name for use_case in state.use_cases]
    at = names.index(wanted.use_case.name) if wanted.use_case.name in names else len(names)
    use_cases = (*state.use_cases[:at], wanted.use_case, *state.use_cases[at + 1 :])
    loaded = replace(
        state,
        candidates=candidates,
        outside=outside,
        selected=model.path,
        picked=True,
        use_cases=use_cases,
        use_case=at,
        engine=wanted.engine,
        overrides=wanted.overrides,
        initial=wanted.overrides,
        initial_engine=wanted.engine,
    )
    return replace(loaded, saved=(wanted.profile, loaded.choice) if wanted.profile else state.saved)


def without_profiles(state: Cockpit, names: Sequence[str]) -> Cockpit:
    """Profiles of these names are gone: the choices stay, as those of none."""
    return replace(state, saved=None) if state.saved is not None and state.saved[0] in names else state


def next_use_case(state: Cockpit, step: int) -> Cockpit:
    """The use case `step` places on, around the end."""
    return replace(state, use_case=(state.use_case + step) % len(state.use_cases)) if state.use_cases else state


def context_now(state: Cockpit) -> int | None:
    """The context per request that holds now: the user's, the plan's, or what the use case wants."""
    if state.overrides.context is not None:
        return state.overrides.context
    if state.plan is not None and state.plan.context_per_slot:
        return state.plan.context_per_slot
    use_case, model = state.chosen_use_case, state.candidate.model if state.candidate else None
    wanted = use_case.context if use_case else None
    if model is None or not model.context_trained:
        return wanted
    return min(wanted or model.context_trained, model.context_trained)


def trained_context(state: Cockpit) -> int | None:
    """What the chosen model was trained for; None where it does not say."""
    model = state.candidate.model if state.candidate else None
    return (model.context_trained or None) if model else None


def most_context(state: Cockpit) -> int:
    """The longest context that the key steps to: what the model was trained for."""
    return trained_context(state) or 1 << 20


def step_context(state: Cockpit, step: int) -> Cockpit:
    """The next power of two below or above, between 1,024 and the trained context (which need not be a power of two)."""
    now = context_now(state)
    if now is None:
        return state
    most = most_context(state)
    return with_context(state, doubled(now, step, min(LEAST_CONTEXT, most), most))


def doubled(now: int, step: int, least: int, most: int) -> int:
    """The next power of two above (a `step` of 1) or below (-1), held between `least` and `most`."""
    target = 1 << now.bit_length() if step > 0 else 1 << max(0, (now - 1).bit_length() - 1)
    return max(least, min(target, most))


def with_context(state: Cockpit, context: int | None) -> Cockpit:
    """The user's context per request; None gives the decision back."""
    return replace(state, overrides=replace(state.overrides, context=context))


def cycle_kv(state: Cockpit, step: int) -> Cockpit:
    """The KV type after the one in effect: the smaller ones, then the largest, then rigtui decides again; a `step` of -1 goes back."""
    ring: tuple[str | None, ...] = (None, *KV_CHOICES[1:], KV_CHOICES[0])
    own = state.overrides.kv_type
    planned = state.plan.kv_type if own is None and state.plan is not None and state.planned_for.kv_type is None else None
    # From rigtui's own choice on, the next one is to be smaller than that.
    held = own[0] if own else planned[0] if planned and step > 0 and planned[0] in KV_CHOICES[1:] else None
    at = ring.index(held) if held in ring else 0
    chosen = ring[(at + step) % len(ring)]
    if chosen is not None and planned == (chosen, chosen):
        # What holds anyway would look like a key that does nothing.
        chosen = ring[(at + 2 * step) % len(ring)]
    return replace(state, overrides=replace(state.overrides, kv_type=(chosen, chosen) if chosen else None))


def reset(state: Cockpit) -> Cockpit:
    """Take back the user's changes."""
    return replace(state, overrides=state.initial, engine=state.initial_engine)


def ask_plan(state: Cockpit) -> Cockpit:
    """A new derivation is asked for; answers to older ones will be dropped, and a dry run is called off."""
    return replace(dry_run_over(state), asked=state.asked + 1)


def dry_run_over(state: Cockpit, problem: str = "") -> Cockpit:
    """No engine is asked any more; `problem` is why it gave no answer, one sentence."""
    return replace(state, verifying=False, settling=state.settling or state.verifying, verify_problem=problem)


def with_plan(state: Cockpit, stamp: int, plan: Plan | None, problem: str | None = None) -> Cockpit:
    """The answer of the derivation `stamp`; a stale one changes nothing."""
    if stamp != state.asked:
        return state
    placements = state.placements
    if state.selected is not None and plan is not None and state.rig is not None:
        placements = placements | {state.selected: placement(plan, state.rig, state.survey)}
    elif state.selected is not None and problem is not None:
        placements = placements | {state.selected: Placement(status="no_fit", choice=state.survey)}
    return replace(state, plan=plan, plan_problem=problem, planned_for=state.overrides, placements=placements)


def with_runs(state: Cockpit, runs: tuple[RunState, ...]) -> Cockpit:
    """The runs of this rig as they are now; the newest live one is shown where none was.

    A run that was just launched may be missing in a look that began before; one that was there and is not any more is gone.
    """
    here = any(run.run == state.attached for run in runs)
    attached = state.attached if here or state.run is None else None
    if attached is None:
        attached = next((run.run for run in reversed(runs) if run.live), None)
    return replace(state, runs=runs, attached=attached, launching=state.launching and not here)


def newly_measured(before: Cockpit, after: Cockpit) -> bool:
    """Whether a run has been measured since, so that plans know more."""
    awaited = {run.run for run in before.runs if run.phase in ("starting", "loading") or run.measuring}
    return any(run.run in awaited and run.phase == "ready" and not run.measuring for run in after.runs)


def adopt(state: Cockpit, request: LaunchRequest) -> Cockpit:
    """Make the choices those a run was launched with: that is what a rigtui started later shows first."""
    names = [use_case.name for use_case in state.use_cases]
    wanted = request.intent.use_case
    use_cases = state.use_cases if wanted.name in names else (*state.use_cases, wanted)
    at = names.index(wanted.name) if wanted.name in names else len(names)
    adopted = replace(
        state,
        selected=request.plan.model.path,
        picked=True,
        use_cases=use_cases,
        use_case=at,
        overrides=request.intent.overrides,
        planned_for=request.intent.overrides,
        plan=request.plan,
        engine=request.intent.engine,
    )
    launched = state.launched | ({state.attached: adopted.choice} if state.attached else {})
    return replace(adopted, launched=launched, asked=state.asked + 1, plan_problem=None)


def attach(state: Cockpit, run: str) -> Cockpit:
    """Show this run, which was launched with the present choice."""
    return replace(state, attached=run, launched=state.launched | {run: state.choice})


def next_run(state: Cockpit) -> Cockpit:
    """Show the next run, around the end; the newest where none is shown."""
    names = [run.run for run in state.runs]
    if not names:
        return state
    following = names.index(state.attached) + 1 if state.attached in names else -1
    return show_run(state, names[following % len(names)])


def show_run(state: Cockpit, run: str) -> Cockpit:
    """Show this run; the choices stay."""
    return replace(state, attached=run)

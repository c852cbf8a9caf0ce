"""What background work reports. Workers post these and touch nothing else; the cockpit alone changes what is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from rigtui.doctor.check import Check
    from rigtui.engines.engine import Build
    from rigtui.engines.live import Live
    from rigtui.intent.intent import UseCase
    from rigtui.models.library import LibraryEntry
    from rigtui.planning.plan import Alternative, Plan
    from rigtui.rig.process_facts import ProcessFacts
    from rigtui.rig.rig import Rig
    from rigtui.runs.results import RunResult
    from rigtui.runs.state import LaunchRequest, RunState
    from rigtui.tui.exporting import ExportText
    from rigtui.tui.pinned import Choice
    from rigtui.tui.placing import Placement
    from rigtui.tui.services import (
        Launch,
        LineChunk,
        LoadedProfile,
        LogChunk,
        ProfileRow,
        RemovedProfile,
        SavedRig,
        Speed,
        Tuner,
        TuningView,
    )
    from rigtui.tui.shelf import Shelf
    from rigtui.tui.state import Cockpit


class RigRead(Message):
    """A reading of the rig arrived."""

    def __init__(self, rig: Rig) -> None:
        super().__init__()
        self.rig = rig

    def can_replace(self, message: Message) -> bool:
        """Only the newest reading matters."""
        return isinstance(message, RigRead)


class Prepared(Message):
    """Use cases, builds and the places of models were read."""

    def __init__(self, use_cases: tuple[UseCase, ...], builds: tuple[Build, ...], folders: tuple[str, ...]) -> None:
        super().__init__()
        self.use_cases, self.builds, self.folders = use_cases, builds, folders


class ModelsFound(Message):
    """Models found so far; `done` when the search is over."""

    def __init__(self, candidates: tuple[LibraryEntry, ...], looked_at: int, *, done: bool) -> None:
        super().__init__()
        self.candidates, self.looked_at, self.done = candidates, looked_at, done

    def can_replace(self, message: Message) -> bool:
        """A later report holds all that an earlier one did."""
        return isinstance(message, ModelsFound)


class PlanDerived(Message):
    """The derivation `stamp` ended with a plan or with one sentence why there is none."""

    def __init__(self, stamp: int, plan: Plan | None, problem: str | None) -> None:
        super().__init__()
        self.stamp, self.plan, self.problem = stamp, plan, problem


class TipsRead(Message):
    """Which first steps were taken in earlier sessions, by id."""

    def __init__(self, learned: frozenset[str]) -> None:
        super().__init__()
        self.learned = learned


class ShelfRead(Message):
    """Favourites, the order of the models, and when each was last run."""

    def __init__(self, shelf: Shelf, used: dict[str, str]) -> None:
        super().__init__()
        self.shelf, self.used = shelf, used


class Placed(Message):
    """Some more models were derived for the survey `stamp`, by path; `done` with the last ones."""

    def __init__(self, stamp: int, placements: dict[str, Placement], *, done: bool) -> None:
        super().__init__()
        self.stamp, self.placements, self.done = stamp, placements, done


class VerifyStarted(Message):
    """The engine is being asked about the plan of the derivation `stamp`."""

    def __init__(self, stamp: int) -> None:
        super().__init__()
        self.stamp = stamp


class PlanVerified(Message):
    """The engine has said what it would do with that plan, or one sentence says why it has not."""

    def __init__(self, stamp: int, problem: str = "") -> None:
        super().__init__()
        self.stamp, self.problem = stamp, problem


class RunsRead(Message):
    """The runs of this rig as they are now, with what was asked of those seen for the first time."""

    def __init__(self, runs: tuple[RunState, ...], requests: dict[str, LaunchRequest]) -> None:
        super().__init__()
        self.runs, self.requests = runs, requests


class LiveRead(Message):
    """How a run works now; None: its engine does not say."""

    def __init__(self, run: str, live: Live | None) -> None:
        super().__init__()
        self.run, self.live = run, live


class LogRead(Message):
    """The log of a run grew."""

    def __init__(self, run: str, chunk: LogChunk) -> None:
        super().__init__()
        self.run, self.chunk = run, chunk


class OthersDerived(Message):
    """The plans that would work instead of the present one."""

    def __init__(self, plans: tuple[Plan, ...]) -> None:
        super().__init__()
        self.plans = plans


class AlternativeFound(Message):
    """What would work instead, for the alternative that the user takes."""

    def __init__(self, alternative: Alternative, plans: tuple[Plan, ...]) -> None:
        super().__init__()
        self.alternative = alternative
        self.plans = plans


class Taken(Message):
    """The settings that give the plan which the user took, and what of it is different all the same; `before`: the choice until then."""

    def __init__(self, before: Choice, chosen: Cockpit, note: str) -> None:
        super().__init__()
        self.before, self.chosen, self.note = before, chosen, note


class RigsRead(Message):
    """The saved rigs."""

    def __init__(self, rigs: tuple[SavedRig, ...]) -> None:
        super().__init__()
        self.rigs = rigs


class RigTried(Message):
    """Another rig is to be planned for."""

    def __init__(self, rig: Rig) -> None:
        super().__init__()
        self.rig = rig


class HistoryRead(Message):
    """All runs of this rig were read."""

    def __init__(self, runs: tuple[RunState, ...]) -> None:
        super().__init__()
        self.runs = runs


class LinesRead(Message):
    """A log's page got more lines."""

    def __init__(self, chunk: LineChunk) -> None:
        super().__init__()
        self.chunk = chunk


class Launched(Message):
    """A run was launched, or one sentence says why not."""

    def __init__(self, launch: Launch | None, problem: str = "") -> None:
        super().__init__()
        self.launch, self.problem = launch, problem


class LaunchSaid(Message):
    """What a launch has to wait for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Noted(Message):
    """Something is to be told: what was done, or why it could not be."""

    def __init__(self, text: str, *, title: str = "", failed: bool = False) -> None:
        super().__init__()
        self.text, self.title, self.failed = text, title, failed


class Saved(Message):
    """The choices were kept as a profile."""

    def __init__(self, name: str, where: str) -> None:
        super().__init__()
        self.name, self.where = name, where


class ExportReady(Message):
    """The export to show, in every format."""

    def __init__(self, texts: tuple[ExportText, ...]) -> None:
        super().__init__()
        self.texts = texts


class ProcessesRead(Message):
    """The facts of processes, by pid."""

    def __init__(self, facts: dict[int, ProcessFacts]) -> None:
        super().__init__()
        self.facts = facts


class Examined(Message):
    """The doctor has looked at everything."""

    def __init__(self, checks: tuple[Check, ...]) -> None:
        super().__init__()
        self.checks = checks


class ProfilesRead(Message):
    """The profiles as they lie on disk now."""

    def __init__(self, rows: tuple[ProfileRow, ...], problems: tuple[str, ...]) -> None:
        super().__init__()
        self.rows, self.problems = rows, problems


class ResultsRead(Message):
    """What the runs of a profile measured, where there are none what `others` of its model did, or why that cannot be read."""

    def __init__(self, name: str, results: tuple[RunResult, ...], others: tuple[RunResult, ...] = (), problem: str = "") -> None:
        super().__init__()
        self.name, self.results, self.others, self.problem = name, results, others, problem


class ProfileLoaded(Message):
    """A profile is to become the choice."""

    def __init__(self, loaded: LoadedProfile) -> None:
        super().__init__()
        self.loaded = loaded


class ProfileText(Message):
    """A profile as it is written, to be changed."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__()
        self.name, self.text = name, text


class ProfileStored(Message):
    """A profile was stored under this name; `text` says what was done."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__()
        self.name, self.text = name, text


class NotRestored(Message):
    """One sentence why a removed profile could not be brought back."""

    def __init__(self, removed: RemovedProfile, problem: str) -> None:
        super().__init__()
        self.removed, self.problem = removed, problem


class Answered(Message):
    """A piece of an answer; `done` with the last one, which has what it cost."""

    def __init__(self, text: str, *, done: bool = False, failed: bool = False, speed: Speed | None = None) -> None:
        super().__init__()
        self.text, self.done, self.failed, self.speed = text, done, failed, speed


class TunerReady(Message):
    """A tuning can be begun, or gone on with."""

    def __init__(self, tuner: Tuner, view: TuningView) -> None:
        super().__init__()
        self.tuner, self.view = tuner, view


class TuningSeen(Message):
    """A trial is over, or the first one begins."""

    def __init__(self, view: TuningView) -> None:
        super().__init__()
        self.view = view


class TrialSeen(Message):
    """What the trial does now."""

    def __init__(self, run: RunState) -> None:
        super().__init__()
        self.run = run


class TuningSaid(Message):
    """What has to be waited for before a tuning can begin."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class TuningEnded(Message):
    """No trial runs any more; `problem` says why in one sentence, empty: it is over or was stopped."""

    def __init__(self, problem: str = "") -> None:
        super().__init__()
        self.problem = problem

"""What the screen needs of the rest of rigtui, as one value: tests put in their own, so that a screen is a function of what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from msgspec import Struct

from rigtui.tui.segments import short_name

if TYPE_CHECKING:
    from rigtui.doctor.check import Check
    from rigtui.engines.engine import Build
    from rigtui.engines.live import Live
    from rigtui.intent.intent import Intent, Overrides, UseCase
    from rigtui.intent.profile import Profile
    from rigtui.intent.profiles import ModelState
    from rigtui.models.library import LibraryEntry
    from rigtui.models.model import Model
    from rigtui.planning.plan import Plan
    from rigtui.rig.process_facts import ProcessFacts
    from rigtui.rig.rig import Rig
    from rigtui.runs.results import RunResult
    from rigtui.runs.state import LaunchRequest, RunState
    from rigtui.runs.tune import TrialResult
    from rigtui.tui.exporting import ExportText
    from rigtui.tui.shelf import Shelf

Level = Literal["error", "warn", "info", "debug"]


class LogChunk(Struct, frozen=True):
    """New lines of an engine's log, cleaned, and how many older ones were left out because they came too fast."""

    lines: tuple[str, ...] = ()
    dropped: int = 0


class LogLine(Struct, frozen=True):
    """One line of a log, cleaned."""

    text: str
    level: Level | None = None
    """None: the line does not say."""


class LineChunk(Struct, frozen=True):
    """New lines with their levels, and how many before them were left out because they came too fast."""

    lines: tuple[LogLine, ...] = ()
    dropped: int = 0


class LineSource(Protocol):
    """A growing log from near its beginning."""

    def read_lines(self) -> LineChunk:
        """What came since the last call; never blocks for more than a disk read."""


class LogSource(Protocol):
    """The end of a growing log."""

    def read(self) -> LogChunk:
        """What came since the last call; never blocks for more than a disk read."""


class LiveSource(Protocol):
    """How one run works, asked again and again."""

    def read(self) -> Live | None:
        """Now; None where its engine does not say. May take some seconds."""


class ProfileRow(Struct, frozen=True, kw_only=True):
    """A profile, where it lies, and whether its model is here."""

    profile: Profile
    model_state: ModelState
    missing: str = ""
    """How to get the model where it is not here, one sentence."""
    shipped: bool
    path: str


class SavedRig(Struct, frozen=True, kw_only=True):
    """A rig file of the user's."""

    name: str
    rig: Rig | None = None
    problem: str = ""
    """Why it cannot be used, one sentence."""

    @property
    def summary(self) -> str:
        """Its cards in a few words."""
        return ", ".join(short_name(gpu.name) for gpu in (self.rig.gpus if self.rig else ())) or "no GPU"


class LoadedProfile(Struct, frozen=True):
    """A profile's model and what it asks for."""

    model: LibraryEntry
    intent: Intent


class TuningView(Struct, frozen=True, kw_only=True):
    """How far the tuning of a profile is."""

    axes: tuple[str, ...]
    """The settings that are tried; none: the user has set them all, or the rig leaves no choice."""
    limit: int
    """As many trials at most."""
    trials: tuple[TrialResult, ...] = ()
    """Oldest first."""
    best: Overrides | None = None
    """None: nothing worked yet."""
    following: Overrides | None = None
    """What is tried now, or next; None: it is over."""
    cards: dict[str, str] = {}
    """Cards as settings name them -> how people are told of them."""


class Tuner(Protocol):
    """The tuning of one profile. All of it may block and may raise RigtuiError, one sentence."""

    def look(self) -> TuningView:
        """How far it is."""

    def run(self, told: Callable[[TuningView], object], watching: Callable[[RunState], object], given_up: Callable[[], bool]) -> None:
        """Run the trials that are left. `told` hears of each when it is over, `watching` of the one that runs.

        No engine is left at the end, which comes soon after `given_up` says so.
        """

    def save(self) -> str:
        """Write the best settings into the profile; returns where it lies."""


class RemovedProfile(Struct, frozen=True):
    """A profile that was deleted, as it was written."""

    name: str
    text: str


class ProfileStore(Protocol):
    """The user's profiles and the ones rigtui ships. All of it may block and may raise RigtuiError, one sentence."""

    def read(self) -> tuple[tuple[ProfileRow, ...], tuple[str, ...]]:
        """All profiles, and one sentence for each file that cannot be used."""

    def results(self, name: str) -> tuple[RunResult, ...]:
        """What the runs of a profile measured, oldest first."""

    def model_results(self, name: str) -> tuple[RunResult, ...]:
        """What other runs of a profile's model measured here, oldest first."""

    def load(self, name: str) -> LoadedProfile:
        """Resolve a profile; its model has to be here."""

    def duplicate(self, name: str, new: str) -> str:
        """Store it once more under another name; returns where."""

    def rename(self, name: str, new: str) -> str:
        """Give it another name; returns where it lies now."""

    def remove(self, name: str) -> str:
        """Delete it; returns which file is gone."""

    def restore(self, text: str) -> str:
        """Store one that was removed, as it was written, where none has its name now; returns where."""

    def text(self, name: str) -> str:
        """It as it is written, comments and all."""

    def write(self, name: str, text: str) -> str:
        """Store another text in its place, if it is a valid profile; returns where."""

    def edit_outside(self, name: str) -> str | None:
        """Let the user's own editor have the terminal; returns where the profile lies, None when nothing was changed."""

    def export(self, name: str) -> tuple[ExportText, ...]:
        """It in every format."""

    @property
    def untunable(self) -> str:
        """Why no profile can be tuned from here, one sentence; empty: they can."""

    def tuner(self, name: str, again: bool, say: Callable[[str], object]) -> Tuner:
        """Its tuning, the last one or one that begins anew; `say` is told where an engine has to be asked first."""


Others = Literal["attach", "replace", "beside"]
"""What a launch does about runs that are there: show one of the same model instead, stop them all, or leave them running."""


class Launch(Struct, frozen=True):
    """A run that was launched."""

    run: str
    note: str = ""
    """What is not as it was shown, one sentence; empty: all of it is."""


class Turn(Struct, frozen=True):
    """One part of a conversation."""

    role: Literal["user", "assistant"]
    text: str


class Speed(Struct, frozen=True, kw_only=True):
    """What an answer cost; None: the engine did not say, or it cannot be told."""

    first_s: float | None = None
    """From the question to the first piece."""
    tokens: int | None = None
    tok_s: float | None = None


class Conversation(Protocol):
    """An answer in pieces as they arrive. Iterating may block and may raise RigtuiError."""

    speed: Speed
    """Known as far as the answer has come."""

    def __iter__(self) -> Iterator[str]:
        """The pieces of the answer."""

    def close(self) -> None:
        """Stop waiting, from any thread."""


ScanReport: TypeAlias = "Callable[[tuple[LibraryEntry, ...], int], None]"
"""Called while models are searched, with those found so far and how many files were looked at."""


class Services(Struct, frozen=True, kw_only=True):
    """Everything outside the screen. All of it may block (it is called on threads) and may raise RigtuiError, one sentence."""

    watch_rig: Callable[[Callable[[Rig], object]], Callable[[], None]]
    """Tell of every reading of the rig, from a thread of its own; what comes back ends that."""
    hurry: Callable[[bool], None]
    """Read the rig more often (an engine loads and peaks matter), or at rest again."""
    read_use_cases: Callable[[], tuple[UseCase, ...]]
    find_builds: Callable[[], tuple[Build, ...]]
    scan: Callable[[ScanReport, Callable[[], bool]], tuple[LibraryEntry, ...]]
    """All models on this machine; the second argument says when to give up."""
    model_folders: Callable[[], tuple[str, ...]]
    """Where models are looked for, for people."""
    read_shelf: Callable[[], Shelf]
    """Favourites and the order of the models, as they were kept."""
    keep_shelf: Callable[[Shelf], None]
    last_used: Callable[[], dict[str, str]]
    """When each model was last run (ISO 8601), by path."""
    keep_theme: Callable[[str], None]
    """Keep the name of the chosen theme in the user's configuration."""
    add_folder: Callable[[str], None]
    """Keep another folder with models in the user's configuration."""
    derive: Callable[[Rig, Model, Intent, tuple[Build, ...]], Plan]
    """Pure and quick."""
    derive_others: Callable[[Rig, Model, Intent, tuple[Build, ...]], tuple[Plan, ...]]
    """The next best plans that differ from the best one."""
    read_rigs: Callable[[], tuple[SavedRig, ...]]
    load_rig: Callable[[str], Rig]
    """The rig of a rig file."""
    save_rig: Callable[[str, Rig], str]
    """Keep a rig under a name that is not taken; returns where."""
    can_verify: Callable[[Plan, tuple[Build, ...]], bool]
    """Whether the plan is an estimate that its engine could verify. Never blocks."""
    verify: Callable[[Plan, Model, Intent, tuple[Build, ...], Callable[[], bool]], None]
    """Let the engine say what it would do with a plan; derivations know it from then on. The last argument says when to give up."""
    read_runs: Callable[[], tuple[RunState, ...]]
    """Runs of this rig, oldest first; ended ones only as long as they are worth showing."""
    read_history: Callable[[], tuple[RunState, ...]]
    """All runs of this rig that are kept, oldest first."""
    read_request: Callable[[str], LaunchRequest | None]
    """What a run was launched with; None where that cannot be read."""
    open_log: Callable[[str], LogSource]
    open_lines: Callable[[str], LineSource]
    """The log of a run with more of its past, for its page."""
    open_live: Callable[[RunState], LiveSource]
    launches_unasked: Callable[[LibraryEntry], bool]
    """Whether a model may be launched on this machine without a question although the plan is for the rig of a file: the demo's own."""
    launch: Callable[[LibraryEntry, Intent, Plan, Others, Callable[[str], object]], Launch]
    """Derive again from a fresh reading and launch; the plan is the one that was shown, the last argument is told what has to be waited
    for."""
    stop: Callable[[str], None]
    take_step: Callable[[str, int], None]
    """Have a run give up its attempt for another of its `steps`."""
    ask: Callable[[RunState, tuple[Turn, ...]], Conversation]
    """What was said so far, the last a question, to the running model; nothing is sent before the answer is iterated."""
    save_profile: Callable[[str, LibraryEntry, Intent, bool], str]
    """Keep the choices under a name; returns where. The flag means: in place of a profile of that name."""
    read_process: Callable[[int], ProcessFacts]
    """Whose a process is and since when it runs."""
    examine: Callable[[], tuple[Check, ...]]
    """Is this rig ready? Takes some seconds."""
    profiles: ProfileStore
    export: Callable[[LibraryEntry, Intent, Plan], tuple[ExportText, ...]]
    """The choices in every format."""
    write_export: Callable[[str, str, bool], str]
    """Write a text to a file, in place of one that is there only when the flag says so; returns which. UsageError: it is there."""
    read_tips: Callable[[], frozenset[str]]
    """The first steps that were taken once, by id."""
    keep_tips: Callable[[frozenset[str]], None]
    begins_with: str | None = None
    """Path of the model that is chosen at first; None: the first of the list."""
    run_interval_s: float = 0.25
    place_delay_s: float = 0.2
    """How long the choice stands still before all models are derived for it: who turns a setting waits for the plan alone."""
    verify_delay_s: float = 1.0
    """How long a plan stands still before its engine is asked."""
    live_interval_s: float = 1.0

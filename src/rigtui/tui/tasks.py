"""The background work of the screen: plain functions for threads that call the services and post messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from textual.message import Message
from textual.worker import Worker, get_current_worker

from rigtui.errors import RigtuiError, UsageError
from rigtui.text import clean
from rigtui.tui.messages import (
    Answered,
    Examined,
    ExportReady,
    HistoryRead,
    Launched,
    LaunchSaid,
    LinesRead,
    LogRead,
    ModelsFound,
    Noted,
    OthersDerived,
    Placed,
    PlanDerived,
    PlanVerified,
    Prepared,
    ProcessesRead,
    RigsRead,
    RigTried,
    RunsRead,
    Saved,
    ShelfRead,
    Taken,
    TipsRead,
    VerifyStarted,
)
from rigtui.tui.placing import Placement, placement

if TYPE_CHECKING:
    from rigtui.engines.engine import Build
    from rigtui.intent.intent import Intent
    from rigtui.models.library import LibraryEntry
    from rigtui.models.model import Model
    from rigtui.planning.plan import Plan
    from rigtui.rig.rig import Rig
    from rigtui.runs.state import RunState
    from rigtui.tui.rig_watch import RigWatch
    from rigtui.tui.services import Conversation, LogSource, Others, Services
    from rigtui.tui.state import Cockpit

Post = Callable[[Message], object]

IDLE_FACTOR = 4
"""How much more seldom runs are looked at while none is live."""
PLACED_EVERY_S = 0.15
"""How often models that were derived meanwhile are passed on."""
RESTS = 2
"""How much longer than it worked for a model that thread rests before the next one."""
_KEEPING = threading.Lock()


def cancelled(worker: Worker[object]) -> bool:
    """Whether the screen wants this thread to end; it may change between any two looks."""
    return worker.is_cancelled


def begin(services: Services, post: Post, watch: RigWatch) -> None:
    """What comes behind the first picture: the cards, which first steps are known, and what does not change while the screen is open."""
    watch.begin()
    post(TipsRead(services.read_tips()))
    prepare(services, post)


def prepare(services: Services, post: Post) -> None:
    """Read what does not change while the screen is open: use cases, installed engines, folders."""
    told(post, "favourites", lambda: post(ShelfRead(services.read_shelf(), services.last_used())))
    try:
        message: Message = Prepared(services.read_use_cases(), services.find_builds(), services.model_folders())
    except RigtuiError as error:
        message = Noted(str(error), title="settings", failed=True)
    if not cancelled(get_current_worker()):
        post(message)


def scan(services: Services, post: Post) -> None:
    """Search the models and report as they are found."""
    worker = get_current_worker()

    def report(found: tuple[LibraryEntry, ...], looked_at: int) -> None:
        if not cancelled(worker):
            post(ModelsFound(found, looked_at, done=False))

    try:
        found = services.scan(report, lambda: cancelled(worker))
    except RigtuiError as error:
        found = ()
        post(Noted(str(error), title="models", failed=True))
    if not cancelled(worker):
        post(ModelsFound(found, len(found), done=True))


def derive(services: Services, post: Post, stamp: int, rig: Rig, model: Model, intent: Intent, builds: tuple[Build, ...]) -> None:
    """One plan."""
    worker = get_current_worker()
    if cancelled(worker):
        return
    plan, problem = None, None
    try:
        plan = services.derive(rig, model, intent, builds)
    except RigtuiError as error:
        problem = str(error)
    if not cancelled(worker):
        post(PlanDerived(stamp, plan, problem))


def place(
    services: Services,
    post: Post,
    stamp: int,
    choice: int,
    rig: Rig,
    wanted: Mapping[str, tuple[Model, Intent]],
    builds: tuple[Build, ...],
) -> None:
    """Where each of the models would go, once the choice has stood still. The thread rests longer than it works, so that few keys find
    it at work."""
    worker = get_current_worker()
    if worker.cancelled_event.wait(services.place_delay_s):
        return
    post(Placed(stamp, {}, done=False))
    found: dict[str, Placement] = {}
    reported = time.monotonic()
    for path, (model, intent) in wanted.items():
        began = time.monotonic()
        try:
            found[path] = placement(services.derive(rig, model, intent, builds), rig, choice)
        except RigtuiError:
            found[path] = Placement(status="no_fit", choice=choice)
        now = time.monotonic()
        if now - reported > PLACED_EVERY_S and not cancelled(worker):
            post(Placed(stamp, found, done=False))
            found, reported = {}, now
        if worker.cancelled_event.wait(RESTS * (now - began)):
            return
    if not cancelled(worker):
        post(Placed(stamp, found, done=True))


def told(post: Post, title: str, work: Callable[[], object]) -> None:
    """Do it; why it could not be done is told under this title."""
    try:
        work()
    except RigtuiError as error:
        post(Noted(str(error), title=title, failed=True))


def keep_latest(post: Post, title: str, keep: Callable[[], object]) -> None:
    """Keep something of the user's: `keep` reads what holds when it is its turn, so that of several at once the last one writes that."""
    with _KEEPING:
        told(post, title, keep)


def verify(services: Services, post: Post, stamp: int, plan: Plan, model: Model, intent: Intent, builds: tuple[Build, ...]) -> None:
    """Have the plan verified, once it has stood still for a moment."""
    worker = get_current_worker()
    if worker.cancelled_event.wait(services.verify_delay_s):
        return
    post(VerifyStarted(stamp))
    problem = ""
    try:
        services.verify(plan, model, intent, builds, lambda: cancelled(worker))
    except RigtuiError as error:
        problem = str(error)
    if not cancelled(worker):
        post(PlanVerified(stamp, problem))


class RunWatch:
    """Watches all runs and the log of the one that is shown; `shown` is set by the screen, read by the thread."""

    def __init__(self, services: Services, post: Post) -> None:
        self._services, self._post = services, post
        self.shown: str | None = None

    def loop(self) -> None:
        """Until the screen goes."""
        worker = get_current_worker()
        before: tuple[RunState, ...] | None = None
        opened: tuple[str, LogSource] | None = None
        while not cancelled(worker):
            runs = self._services.read_runs()
            if cancelled(worker):
                return
            if runs != before:
                known = {run.run for run in before or ()}
                requests = {run.run: self._services.read_request(run.run) for run in runs if run.run not in known}
                before = runs
                self._post(RunsRead(runs, {name: request for name, request in requests.items() if request is not None}))
            opened = self._read_log(opened)
            self._rest(worker, 1 if any(run.live for run in runs) else IDLE_FACTOR)

    def _rest(self, worker: Worker[object], steps: int) -> None:
        shown = self.shown
        for _ in range(steps):
            # A run that was just launched is worth a look at once.
            if worker.cancelled_event.wait(self._services.run_interval_s) or self.shown != shown:
                return

    def _read_log(self, opened: tuple[str, LogSource] | None) -> tuple[str, LogSource] | None:
        """Pass on what the shown run's log says; returns which log is open."""
        shown = self.shown
        if shown is None:
            return None
        try:
            if opened is None or opened[0] != shown:
                opened = (shown, self._services.open_log(shown))
            chunk = opened[1].read()
        except RigtuiError:
            # The run's folder was tidied away; the runs themselves tell what is left.
            return None
        if chunk.lines or chunk.dropped:
            self._post(LogRead(shown, chunk))
        return opened


def derive_others(
    services: Services,
    post: Post,
    rig: Rig,
    model: Model,
    intent: Intent,
    builds: tuple[Build, ...],
    answer: Callable[[tuple[Plan, ...]], Message] = OthersDerived,
) -> None:
    """What would work instead, as the message that `answer` makes of it."""
    worker = get_current_worker()
    try:
        plans = services.derive_others(rig, model, intent, builds)
    except RigtuiError:
        # Then there is no present plan either, and the cockpit says why.
        return
    if not cancelled(worker):
        post(answer(plans))


def take(services: Services, post: Post, state: Cockpit, plan: Plan) -> None:
    """Which settings give `plan`, one of those that would work instead."""
    from rigtui.tui.state import derivation
    from rigtui.tui.taking import fewest

    def derive(chosen: Cockpit) -> Plan:
        asked = derivation(chosen)
        if asked is None:
            raise UsageError("the model is gone; compare again")
        return services.derive(*asked)

    told(post, "instead", lambda: post(Taken(state.choice, *fewest(state, plan, derive))))


def read_rigs(services: Services, post: Post) -> None:
    """The saved rigs."""
    post(RigsRead(services.read_rigs()))


def imagine(post: Post, make: Callable[[], Rig]) -> None:
    """Make a rig up."""
    told(post, "rig", lambda: post(RigTried(make())))


def read_history(services: Services, post: Post) -> None:
    """All runs, the ended ones too."""
    post(HistoryRead(services.read_history()))


def read_lines(services: Services, post: Post, run: str) -> None:
    """Pass a log on to its page until the page goes."""
    worker = get_current_worker()
    try:
        source = services.open_lines(run)
        while not cancelled(worker):
            chunk = source.read_lines()
            if chunk.lines or chunk.dropped:
                post(LinesRead(chunk))
            worker.cancelled_event.wait(services.run_interval_s)
    except RigtuiError as error:
        post(Noted(str(error), title="log", failed=True))


def launch(services: Services, post: Post, candidate: LibraryEntry, intent: Intent, plan: Plan, others: Others) -> None:
    """Launch; the run goes on whatever happens to the screen."""
    try:
        post(Launched(services.launch(candidate, intent, plan, others, lambda text: post(LaunchSaid(text)))))
    except RigtuiError as error:
        post(Launched(None, str(error)))


def stop(services: Services, post: Post, run: RunState) -> None:
    """Ask a run to stop."""
    told(post, "stop", lambda: services.stop(run.run))


def take_step(services: Services, post: Post, run: RunState, number: int) -> None:
    """Have a run take a step of its ladder by hand."""
    told(post, "step", lambda: services.take_step(run.run, number))


def listen(conversation: Conversation, post: Post) -> None:
    """Pass an answer on as it arrives, and, however it ends, that it is over; `conversation.close()` ends this from outside."""
    worker = get_current_worker()
    problem = "a fault in rigtui itself ended the answer"
    try:
        for piece in conversation:
            if cancelled(worker):
                break
            post(Answered(piece))
        problem = ""
    except RigtuiError as error:
        problem = clean(str(error))
    finally:
        if not cancelled(worker):
            post(Answered(problem, done=True, failed=bool(problem), speed=None if problem else conversation.speed))


def save_profile(services: Services, post: Post, candidate: LibraryEntry, intent: Intent, overwrite: bool, name: str) -> None:
    """Keep the choices as a profile. Raises UsageError where one of this name is not to be replaced, RigtuiError where that cannot be."""
    post(Saved(name, services.save_profile(name, candidate, intent, overwrite)))


def export(services: Services, post: Post, candidate: LibraryEntry, intent: Intent, plan: Plan) -> None:
    """Make the export preview."""
    told(post, "export", lambda: post(ExportReady(services.export(candidate, intent, plan))))


def write_export(write: Callable[[str, str, bool], str], post: Post, text: str, replaces: bool, path: str) -> None:
    """Write an export to a file. Raises UsageError where one is there that is not to be replaced, RigtuiError where that cannot be."""
    post(Noted(f"written to {write(path, text, replaces)}", title="export"))


def read_processes(services: Services, post: Post, pids: Iterable[int]) -> None:
    """Look at processes that hold VRAM."""
    post(ProcessesRead({pid: services.read_process(pid) for pid in pids}))


def examine(services: Services, post: Post) -> None:
    """Let the doctor look."""
    told(post, "doctor", lambda: post(Examined(services.examine())))

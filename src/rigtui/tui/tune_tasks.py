"""The background work of the tuning's page: functions for threads that call the tuner and post messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.worker import get_current_worker

from rigtui.errors import RigtuiError
from rigtui.tui.messages import Noted, TrialSeen, TunerReady, TuningEnded, TuningSaid, TuningSeen
from rigtui.tui.tasks import Post, cancelled, told

if TYPE_CHECKING:
    from rigtui.tui.services import ProfileStore, Tuner

TITLE = "tuning"


def open_tuner(store: ProfileStore, post: Post, name: str, again: bool) -> None:
    """What can be tried, and what was."""
    try:
        tuner = store.tuner(name, again, lambda text: post(TuningSaid(text)))
        post(TunerReady(tuner, tuner.look()))
    except RigtuiError as error:
        post(TuningEnded(str(error)))


def run_trials(tuner: Tuner, post: Post) -> None:
    """Trials until they are done, or the page wants no more of them. However it ends, that is told when no engine is left."""
    worker = get_current_worker()
    problem = "a fault in rigtui itself ended the tuning"
    try:
        tuner.run(lambda view: post(TuningSeen(view)), lambda run: post(TrialSeen(run)), lambda: cancelled(worker))
        problem = ""
    except RigtuiError as error:
        problem = str(error)
    finally:
        post(TuningEnded(problem))


def save(tuner: Tuner, post: Post) -> None:
    """The best settings become the profile's."""
    told(post, TITLE, lambda: post(Noted(f"the best settings are written to {tuner.save()}", title=TITLE)))

"""The background work of the profiles' page: functions for threads that call the store and post messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rigtui.errors import RigtuiError
from rigtui.tui.messages import ExportReady, Noted, ProfileLoaded, ProfilesRead, ProfileStored, ResultsRead

if TYPE_CHECKING:
    from rigtui.tui.services import ProfileStore
    from rigtui.tui.tasks import Post

TITLE = "profiles"


def told(post: Post, work: Callable[[], object]) -> None:
    """Do it; a problem is told."""
    try:
        work()
    except RigtuiError as error:
        post(Noted(str(error), title=TITLE, failed=True))


def read(store: ProfileStore, post: Post) -> None:
    """All profiles."""
    told(post, lambda: post(ProfilesRead(*store.read())))


def results(store: ProfileStore, post: Post, name: str) -> None:
    """What the runs of one measured."""
    try:
        post(ResultsRead(name, store.results(name)))
    except RigtuiError as error:
        post(ResultsRead(name, (), str(error)))


def load(store: ProfileStore, post: Post, name: str) -> None:
    """Resolve one."""
    told(post, lambda: post(ProfileLoaded(store.load(name))))


def duplicate(store: ProfileStore, post: Post, name: str, new: str) -> None:
    """Once more under another name."""
    told(post, lambda: post(ProfileStored(new, f"copied to {store.duplicate(name, new)}")))


def rename(store: ProfileStore, post: Post, name: str, new: str) -> None:
    """Under another name."""
    told(post, lambda: post(ProfileStored(new, f"{name} is called {new} now, in {store.rename(name, new)}")))


def export(store: ProfileStore, post: Post, name: str) -> None:
    """In every format."""
    told(post, lambda: post(ExportReady(store.export(name))))

"""The background work of the profiles' page: functions for threads that call the store and post messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rigtui.errors import RigtuiError
from rigtui.tui.messages import ExportReady, NotRestored, ProfileLoaded, ProfilesRead, ProfileStored, ProfileText, ResultsRead
from rigtui.tui.services import RemovedProfile
from rigtui.tui.tasks import Post, told

if TYPE_CHECKING:
    from rigtui.tui.services import ProfileStore

TITLE = "profiles"


def read(store: ProfileStore, post: Post) -> None:
    """All profiles."""
    told(post, TITLE, lambda: post(ProfilesRead(*store.read())))


def results(store: ProfileStore, post: Post, name: str) -> None:
    """What the runs of one measured."""
    try:
        own = store.results(name)
        post(ResultsRead(name, own, () if own else store.model_results(name)))
    except RigtuiError as error:
        post(ResultsRead(name, (), (), str(error)))


def load(store: ProfileStore, post: Post, name: str) -> None:
    """Resolve one."""
    told(post, TITLE, lambda: post(ProfileLoaded(store.load(name))))


def text(store: ProfileStore, post: Post, name: str) -> None:
    """One as it is written."""
    told(post, TITLE, lambda: post(ProfileText(name, store.text(name))))


def remove(store: ProfileStore, names: Iterable[str]) -> tuple[tuple[RemovedProfile, ...], tuple[str, ...]]:
    """Delete some; returns what is needed to bring them back, and one sentence for each that could not be deleted."""
    removed, problems = [], []
    for name in names:
        try:
            text = store.text(name)
            store.remove(name)
            removed.append(RemovedProfile(name, text))
        except RigtuiError as error:
            problems.append(str(error))
    return tuple(removed), tuple(problems)


def restore(store: ProfileStore, post: Post, removed: RemovedProfile) -> None:
    """Bring one back."""
    try:
        post(ProfileStored(removed.name, f"{removed.name} is back, in {store.restore(removed.text)}"))
    except RigtuiError as error:
        post(NotRestored(removed, str(error)))


def duplicate(store: ProfileStore, post: Post, name: str, new: str) -> None:
    """Once more under another name. Raises RigtuiError where that cannot be."""
    post(ProfileStored(new, f"copied to {store.duplicate(name, new)}"))


def rename(store: ProfileStore, post: Post, name: str, new: str) -> None:
    """Under another name. Raises RigtuiError where that cannot be."""
    post(ProfileStored(new, f"{name} is called {new} now, in {store.rename(name, new)}"))


def export(store: ProfileStore, post: Post, name: str) -> None:
    """In every format."""
    told(post, TITLE, lambda: post(ExportReady(store.export(name))))

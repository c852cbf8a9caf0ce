"""A screen that only shows: whatever launches, stops, asks, writes or opens a file by its name is refused where it leaves the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from msgspec.structs import replace

from rigtui.errors import RigtuiError

if TYPE_CHECKING:
    from rigtui.runs.results import RunResult
    from rigtui.tui.exporting import ExportText
    from rigtui.tui.services import LoadedProfile, ProfileRow, ProfileStore, Services, Tuner

REFUSED = "this screen only shows; nothing can be launched, stopped or changed from here"
WRITES = frozenset(
    {
        "engine.launch",
        "engine.stop",
        "engine.ask",
        "model.folder",
        "model.favourite",
        "profile.save",
        "runs.stop",
        "profiles.duplicate",
        "profiles.rename",
        "profiles.remove",
        "profiles.undo",
        "profiles.new",
        "profiles.edit",
        "profiles.edit_outside",
        "profiles.tune",
        "export.write",
        "tips.hide",
    }
)
"""Ids of the actions that are not offered then."""


def refuse(*_args: object, **_options: object) -> NoReturn:
    """In the place of whatever would change something. Raises RigtuiError."""
    raise RigtuiError(REFUSED)


def _nothing(*_args: object) -> None:
    """In the place of what is kept without being asked for."""


def _never(*_args: object) -> bool:
    """In the place of whatever asks whether something could be started."""
    return False


class ShownProfiles:
    """Profiles that can be looked at, loaded into the screen and exported as text."""

    def __init__(self, store: ProfileStore) -> None:
        self._store = store

    def read(self) -> tuple[tuple[ProfileRow, ...], tuple[str, ...]]:
        """All of them."""
        return self._store.read()

    def results(self, name: str) -> tuple[RunResult, ...]:
        """What its runs measured."""
        return self._store.results(name)

    def model_results(self, name: str) -> tuple[RunResult, ...]:
        """What other runs of its model measured."""
        return self._store.model_results(name)

    def load(self, name: str) -> LoadedProfile:
        """Its model and what it asks for."""
        return self._store.load(name)

    def export(self, name: str) -> tuple[ExportText, ...]:
        """It in every format."""
        return self._store.export(name)

    def text(self, name: str) -> str:
        """As it is written."""
        return self._store.text(name)

    @property
    def untunable(self) -> str:
        """Tuning launches."""
        return REFUSED

    duplicate: Callable[[str, str], str] = staticmethod(refuse)
    rename: Callable[[str, str], str] = staticmethod(refuse)
    remove: Callable[[str], str] = staticmethod(refuse)
    restore: Callable[[str], str] = staticmethod(refuse)
    write: Callable[[str, str], str] = staticmethod(refuse)
    edit_outside: Callable[[str], str | None] = staticmethod(refuse)
    tuner: Callable[[str, bool, Callable[[str], object]], Tuner] = staticmethod(refuse)


def read_only(services: Services) -> Services:
    """The same services without those that change anything outside the screen."""
    return replace(
        services,
        launch=refuse,
        stop=refuse,
        take_step=refuse,
        verify=refuse,
        can_verify=_never,
        ask=refuse,
        keep_theme=_nothing,
        add_folder=refuse,
        save_profile=refuse,
        load_rig=refuse,
        save_rig=refuse,
        keep_tips=_nothing,
        keep_shelf=_nothing,
        write_export=refuse,
        profiles=ShownProfiles(services.profiles),
    )

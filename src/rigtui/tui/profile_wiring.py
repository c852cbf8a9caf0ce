"""The profiles of this machine behind the functions the screen calls."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from rigtui.errors import RigtuiError
from rigtui.models.library import LibraryEntry
from rigtui.runs.results import RunResult, move_results, results_of_profile
from rigtui.tui.services import LoadedProfile, ProfileRow, Tuner

if TYPE_CHECKING:
    from rigtui.intent.intent import Intent
    from rigtui.intent.profile import Profile
    from rigtui.models.model import Model
    from rigtui.tui.exporting import ExportText


class LocalProfiles:
    """Profiles as the command line's global options find them."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self.tuning = threading.Lock()
        """Held while trials run: one tuning at a time, and no dry run beside it."""

    def _dirs(self) -> tuple[Path, ...]:
        from rigtui.intent.profiles import directories

        return directories(self._args.profiles_dir)

    def read(self) -> tuple[tuple[ProfileRow, ...], tuple[str, ...]]:
        """All of them, with the state of their models."""
        from rigtui.intent.profiles import all_profiles, model_found

        found = all_profiles(self._dirs())
        rows = []
        for entry in found.entries:
            state, missing = model_found(entry.profile)
            row = ProfileRow(profile=entry.profile, model_state=state, missing=missing, shipped=entry.shipped, path=str(entry.path))
            rows.append(row)
        return tuple(rows), found.problems

    def results(self, name: str) -> tuple[RunResult, ...]:
        """What its runs measured."""
        return tuple(results_of_profile(name))

    def model_results(self, name: str) -> tuple[RunResult, ...]:
        """What other runs of its model measured; nothing where that is not here."""
        from rigtui.runs import memory

        try:
            return memory.of_model(self._model(name)[1].fingerprint)
        except RigtuiError:
            return ()

    def _model(self, name: str) -> tuple[Profile, Model]:
        """A profile and its model, which has to be here."""
        from rigtui.intent.config import load_config
        from rigtui.intent.profiles import find
        from rigtui.models.resolve import resolve

        profile = find(name, self._dirs()).profile
        return profile, resolve(profile.model, load_config().models.folders)

    def load(self, name: str) -> LoadedProfile:
        """Its model and what it asks for."""
        from rigtui.intent.use_cases import load_use_cases

        profile, model = self._model(name)
        intent: Intent = profile.intent(load_use_cases())
        ref = profile.model if profile.model.startswith(("hf:", "ollama:")) else model.path
        entry = LibraryEntry(ref=ref, name=model.name, source="profile", path=model.path, size_bytes=model.weights_bytes, model=model)
        return LoadedProfile(entry, intent)

    def duplicate(self, name: str, new: str) -> str:
        """Once more under another name, in the user's folder."""
        from rigtui.intent.profile_copies import duplicate
        from rigtui.intent.profiles import find

        return str(duplicate(find(name, self._dirs()), new, self._dirs()[0]))

    def rename(self, name: str, new: str) -> str:
        """Under another name; its results go with it."""
        from rigtui.intent.profile_copies import rename
        from rigtui.intent.profiles import find

        path = rename(find(name, self._dirs()), new, self._dirs()[0])
        move_results(name, new)
        return str(path)

    def remove(self, name: str) -> str:
        """Gone."""
        from rigtui.intent.profiles import remove

        return str(remove(name, self._dirs()))

    def restore(self, text: str) -> str:
        """Back in the user's folder."""
        from rigtui.intent.profiles import save_text

        return str(save_text(text.encode("utf-8"), self._dirs()[0]))

    def text(self, name: str) -> str:
        """As it is written."""
        from rigtui.files import read_text
        from rigtui.intent.profiles import find

        return read_text(find(name, self._dirs()).path)

    def write(self, name: str, text: str) -> str:
        """Another text in its place; one that rigtui ships stays, the text becomes the user's."""
        from rigtui.intent.profiles import find, save_text

        return str(save_text(text.encode("utf-8"), self._dirs()[0], was=find(name, self._dirs())))

    def edit_outside(self, name: str) -> str | None:
        """In the user's own editor."""
        from rigtui.intent.profile_editor import edit_profile
        from rigtui.intent.profiles import find

        path = edit_profile(find(name, self._dirs()), self._dirs()[0])
        return None if path is None else str(path)

    def export(self, name: str) -> tuple[ExportText, ...]:
        """It in every format, with what the user should know of it as comments."""
        from rigtui.export.profiles import exported, planned
        from rigtui.tui.exporting import in_every_format

        # One plan for all formats: they differ in words only.
        plan = cache(partial(planned, self._args))

        def write(format_: str) -> str:
            told: list[str] = []
            text = exported(self._args, [name], format_, tell=told.append, plan=plan)
            return "".join(f"# {line}\n" for line in told) + text

        return in_every_format(write, name, self.text(name))

    @property
    def untunable(self) -> str:
        """Only this machine can be measured."""
        from rigtui.runs.tune_profile import NOT_HERE

        return NOT_HERE if self._args.rig_file else ""

    def tuner(self, name: str, again: bool, say: Callable[[str], object]) -> Tuner:
        """Its tuning on this machine."""
        from rigtui.runs.tune_profile import save_best, tuning_of
        from rigtui.tui.tune_wiring import LocalTuner

        tuning = tuning_of(self._args, name, again=again, say=say)
        return LocalTuner(tuning, self.tuning, lambda best: save_best(self._args, name, best))

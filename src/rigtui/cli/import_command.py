"""`rigtui import`: profiles from a models.conf, or one that somebody shares as a profile."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rigtui.cli.output import note
from rigtui.errors import EXIT_DONE, UsageError
from rigtui.text import clean, counted

if TYPE_CHECKING:
    from rigtui.intent.profile import Profile

_MOST_NAMES = 8
"""Of models that are not there; a list may name dozens."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="a models.conf, or a profile (.toml)")
    parser.add_argument(
        "--models-dir",
        metavar="DIR",
        help="the folder that MODEL is relative to (default: the one that rigtui wrote into FILE, else `models` beside it)",
    )
    parser.add_argument("--replace", action="store_true", help="replace profiles of the same name")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code. Either every section becomes a profile or none does."""
    from rigtui.export.conf_profiles import read
    from rigtui.files import read_text
    from rigtui.intent.profiles import directories, save
    from rigtui.runs.reading import current_rig

    path = Path(args.file)
    if path.suffix.lower() == ".toml":
        return _take_profile(path, directories(args.profiles_dir)[0], args.replace)
    text = read_text(path)
    models_dir = Path(args.models_dir).expanduser() if args.models_dir else _models_dir(text, path)
    found = read(text, str(path), str(models_dir.absolute()), current_rig(args).gpus)
    if not found.profiles:
        raise UsageError(f"{path} has no section; a models.conf has [id] lines with KEY=VALUE lines below")
    directory = directories(args.profiles_dir)[0]
    _refuse_taken([profile.name for profile in found.profiles], directory, args.replace)
    missing = _missing(found.profiles, models_dir.absolute())
    for profile in found.profiles:
        save(profile, directory, overwrite=args.replace)
        print(profile.name)
    for remark in found.remarks:
        note(f"{path}, {remark}")
    if missing:
        note(missing)
    note(f"{len(found.profiles)} profile{'s' if len(found.profiles) != 1 else ''} in {directory}")
    return EXIT_DONE


def _take_profile(path: Path, directory: Path, replace: bool) -> int:
    """A profile as it is written, comments and all."""
    from rigtui.files import read_text
    from rigtui.intent.profiles import load, model_found, save_text

    profile = load(path)
    _refuse_taken([profile.name], directory, replace)
    remarks = (model_found(profile)[1], _use_case_problem(profile))
    print(profile.name)
    note(f"stored in {save_text(read_text(path).encode(), directory, overwrite=replace)}")
    for remark in filter(None, remarks):
        note(remark)
    return EXIT_DONE


def _use_case_problem(profile: Profile) -> str:
    """What is wrong with the use case; it may be one of the person's who shares the profile. Empty where nothing is."""
    from rigtui.intent.use_cases import load_use_cases, user_dir

    try:
        profile.intent(load_use_cases())
    except UsageError as error:
        return f"{error}; use cases of one's own are files of {user_dir()}"
    return ""


def _missing(profiles: Sequence[Profile], models_dir: Path) -> str:
    """One sentence on the models that are not there; empty where all are."""
    from rigtui.intent.profiles import model_state

    files = dict.fromkeys(profile.model for profile in profiles)
    absent = dict.fromkeys(profile.model for profile in profiles if model_state(profile) != "here")
    if not absent:
        return ""
    names = [clean(name.removeprefix(f"{models_dir}/")) for name in absent]
    shown = ", ".join(names[:_MOST_NAMES]) + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
    are = "is" if len(names) == 1 else "are"
    return f"{len(names)} of {counted(len(files), 'model')} {are} not below {models_dir}: {shown}; --models-dir names another folder"


def _refuse_taken(names: list[str], directory: Path, replace: bool) -> None:
    """Raise UsageError, before anything is stored, when one of the profiles cannot be."""
    from rigtui.intent.profiles import ensure_free, file_of

    files: dict[Path, str] = {}
    for name in names:
        path = file_of(name, directory)
        if path in files:
            raise UsageError(f"[{files[path]}] and [{name}] would both be stored in {path}; rename one; nothing was imported")
        files[path] = name
        try:
            ensure_free(name, directory, overwrite=replace)
        except UsageError as error:
            raise UsageError(f"{error}{'' if replace else ' (--replace)'}; nothing was imported") from error


def _models_dir(text: str, path: Path) -> Path:
    """The folder that rigtui wrote into the file, if it is there, else `models` beside it, as that tool has it."""
    from rigtui.export.models_conf import MODELS_DIR_COMMENT

    for line in text.splitlines():
        if line.startswith(MODELS_DIR_COMMENT) and (folder := Path(line.removeprefix(MODELS_DIR_COMMENT).strip())).is_dir():
            return folder
    return path.parent / "models"

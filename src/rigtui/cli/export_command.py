"""`rigtui export`: profiles in another tool's format."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rigtui.cli.output import note
from rigtui.errors import EXIT_DONE, RigtuiError
from rigtui.text import clean

if TYPE_CHECKING:
    from rigtui.export.exported import Exported
    from rigtui.rig.rig import Gpu


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    from rigtui.export.exported import FORMATS

    parser.add_argument("profile", nargs="+", metavar="PROFILE", help="names of profiles")
    parser.add_argument("--to", required=True, choices=FORMATS, help="the format")
    parser.add_argument("-o", "--output", metavar="FILE", help="write here instead of standard output")
    parser.add_argument(
        "--models-dir", metavar="DIR", help="models.conf: the folder that MODEL is relative to (default: the one all models lie in)"
    )


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    text = exported(args)
    if args.output is None:
        print(text, end="")
        return EXIT_DONE
    from rigtui.export.written import write_out

    note(f"wrote {write_out(Path(args.output), text)}")
    return EXIT_DONE


def exported(args: argparse.Namespace, tell: Callable[[str], object] = note) -> str:
    """The profiles `args.profile` in the format `args.to`; `tell` gets what the user should know of them.

    Raises RigtuiError and its kin, one sentence.
    """
    return _script(args) if args.to == "sh" else _models_conf(args, tell)


def _planned(name: str, args: argparse.Namespace) -> Exported:
    from rigtui.cli.target import plan_for_profile
    from rigtui.export.exported import Exported

    return Exported(*plan_for_profile(name, args))


def _script(args: argparse.Namespace) -> str:
    from rigtui.export.sh import write

    return write([_planned(name, args) for name in args.profile])


def _models_conf(args: argparse.Namespace, tell: Callable[[str], object]) -> str:
    from rigtui.export.conf_profiles import as_written
    from rigtui.export.exported import Exported
    from rigtui.export.models_conf import ConfOptions, write
    from rigtui.intent.profiles import directories, find

    dirs = directories(args.profiles_dir)
    entries: list[Exported] = []
    for name in args.profile:
        profile = find(name, dirs).profile
        # What came from a models.conf and was not changed since goes back as it was, whether or not the model lies here.
        entries.append(Exported(profile, None) if as_written(profile) else _planned(name, args))
    models_dir = None if args.models_dir is None else str(Path(args.models_dir).expanduser().absolute())
    for profile, plan in entries:
        _look_at_link(profile.name, Path(plan.model.path if plan else profile.model), models_dir, tell)
    planned = any(entry.plan is not None for entry in entries)
    return write(entries, ConfOptions(models_dir=models_dir, gpus=_gpus(args) if planned else ()))


def _gpus(args: argparse.Namespace) -> tuple[Gpu, ...]:
    from rigtui.runs.reading import current_rig

    return current_rig(args).gpus


def _look_at_link(name: str, path: Path, models_dir: str | None, tell: Callable[[str], object]) -> None:
    """A model that is a link out of the models folder (the Hugging Face cache is full of them) leads nowhere in the container."""
    inside = Path(models_dir) if models_dir else path.parent
    if not path.is_symlink() or not path.is_relative_to(inside) or path.resolve().is_relative_to(inside.resolve()):
        return
    text = f"{clean(str(path))} is a link to {clean(str(path.resolve()))}"
    if models_dir:
        raise RigtuiError(
            f"{clean(name)} cannot be written to a models.conf: {text}, which the container does not see below {clean(models_dir)}; "
            "copy or move the file itself"
        )
    tell(f"{text}: name a folder that holds both with --models-dir, or copy the file")

"""How do these profiles read in another tool's format?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from rigtui.errors import RigtuiError
from rigtui.export import models_conf, writers
from rigtui.export.conf_profiles import as_written
from rigtui.export.exported import Exported
from rigtui.intent.config import load_config
from rigtui.intent.profiles import directories, find
from rigtui.intent.use_cases import load_use_cases
from rigtui.models.resolve import resolve
from rigtui.options import Options
from rigtui.runs.builds import builds_for
from rigtui.runs.memory import derive
from rigtui.runs.reading import current_rig
from rigtui.text import clean

Say = Callable[[str], object]


def exported(
    options: Options,
    names: Iterable[str],
    to: str,
    *,
    models_dir: str | None = None,
    tell: Say,
    say: Say | None = None,
    plan: Callable[[str], Exported] | None = None,
) -> str:
    """The profiles called `names` in the format `to`.

    `models_dir` is the folder that a container sees; paths in a models.conf are relative to it. `tell` gets what the user should know of
    the profiles, `say` is told where an engine has to be asked first. `plan` is asked for plans in the place of `planned`, where one
    serves several formats.
    Raises RigtuiError and its kin, one sentence.
    """
    plan = plan or partial(planned, options, say=say)
    if to != "models.conf":
        return writers.write(to, [plan(name) for name in names], models_dir)
    dirs = directories(options.profiles_dir)
    gpus = current_rig(options).gpus
    entries: list[Exported] = []
    for name in names:
        profile = find(name, dirs).profile
        # What came from a models.conf and was not changed since goes back as it was, whether or not the model lies here.
        entries.append(Exported(profile, None) if as_written(profile, gpus) else plan(name))
    folder = None if models_dir is None else str(Path(models_dir).expanduser().absolute())
    for profile, its in entries:
        _look_at_link(profile.name, Path(its.model.path if its else profile.model), folder, tell)
    return models_conf.write(entries, models_conf.ConfOptions(models_dir=folder, gpus=gpus))


def planned(options: Options, name: str, say: Say | None = None) -> Exported:
    """The profile called `name` and the plan for it on this rig, or on that of `--rig`.

    Raises UsageError when there is no such profile.
    """
    profile = find(name, directories(options.profiles_dir)).profile
    intent = profile.intent(load_use_cases())
    model = resolve(profile.model, load_config().models.folders)
    builds = builds_for(model, intent, needed=False, say=say)
    return Exported(profile, derive(current_rig(options), model, intent, builds).plan)


def _look_at_link(name: str, path: Path, models_dir: str | None, tell: Say) -> None:
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

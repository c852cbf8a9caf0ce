"""What is tuned when a profile is, and where is the best of it kept?"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from rigtui.errors import UsageError
from rigtui.intent.config import load_config
from rigtui.intent.intent import Overrides, with_settings
from rigtui.intent.profile import profile_of
from rigtui.intent.profiles import directories, find, save
from rigtui.intent.use_cases import load_use_cases
from rigtui.models.resolve import resolve
from rigtui.options import Options
from rigtui.runs.builds import builds_for
from rigtui.runs.reading import current_rig
from rigtui.runs.tune import Asked, Tuning

NOT_HERE = "tuning measures this machine: it cannot be done for the rig of a rig file"


def tuning_of(
    options: Options, name: str, *, again: bool = False, probe: str = "quick", say: Callable[[str], object] | None = None
) -> Tuning:
    """The tuning of the profile called `name` on this machine; `say` is told where an engine has to be asked first.

    Raises UsageError where there is no such profile or a rig file is planned for, RigtuiError where nothing can be tuned now.
    """
    if options.rig_file:
        raise UsageError(NOT_HERE)
    profile = find(name, directories(options.profiles_dir)).profile
    model, intent = resolve(profile.model, load_config().models.folders), profile.intent(load_use_cases())
    asked = Asked(name=profile.name, model=model, intent=intent, builds=builds_for(model, intent, say=say), probe=probe)
    return Tuning(asked, lambda: current_rig(options), again=again)


def save_best(options: Options, name: str, best: Overrides) -> str:
    """Write the best settings into the profile's file, where the user set nothing; returns which file."""
    dirs = directories(options.profiles_dir)
    profile = find(name, dirs).profile
    intent = with_settings(profile.intent(load_use_cases()), best)
    best_of_it = replace(profile_of(intent, profile.name, profile.model), description=profile.description)
    return str(save(best_of_it, dirs[0], overwrite=True))

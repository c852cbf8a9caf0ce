"""What does a check-up of this machine find?"""

from __future__ import annotations

from rigtui.doctor.check import Check
from rigtui.doctor.examine import examine
from rigtui.doctor.facts import read_facts
from rigtui.engines.engine import Build, Found
from rigtui.engines.rooms import MODULES, room
from rigtui.errors import RigtuiError
from rigtui.intent.config import EnginesConfig, load_config
from rigtui.options import Options
from rigtui.runs.builds import surveyed
from rigtui.runs.reading import current_rig


def check_up(options: Options) -> tuple[Check, ...]:
    """Examine this machine, or the rig of `--rig` with this machine's engines."""
    found, misnamed = _engines()
    facts = read_facts(options.profiles_dir, found.builds)
    return examine(current_rig(options), found.builds, found.problems, facts, misnamed=misnamed)


def _engines() -> tuple[Found, tuple[str, ...]]:
    """Every engine that works with one sentence for each that does not, and one for each line of config.toml that names none.

    Those that were never asked what they can do are asked now.
    """
    try:
        named = load_config().engines
    except RigtuiError:
        named = EnginesConfig()  # what is wrong with it is a check of its own
    builds: list[Build] = []
    problems: list[str] = []
    misnamed: list[str] = []
    for engine in MODULES:
        try:
            found = surveyed(engine, named)
        except RigtuiError as error:
            misnamed.append(str(error))
            continue
        problems += found.problems
        for build in found.builds:
            try:
                builds.append(room(engine).learn(build))
            except RigtuiError as error:
                problems.append(str(error))
    return Found(builds=tuple(builds), problems=tuple(problems)), tuple(misnamed)

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
from rigtui.runs.reading import current_rig


def check_up(options: Options) -> tuple[Check, ...]:
    """Examine this machine, or the rig of `--rig` with this machine's engines."""
    found = _engines()
    return examine(current_rig(options), found.builds, found.problems, read_facts(options.profiles_dir, found.builds))


def _engines() -> Found:
    """Every engine that works, and one sentence for each that does not. Those that were never asked what they can do are asked now."""
    try:
        named = load_config().engines
    except RigtuiError:
        named = EnginesConfig()  # what is wrong with it is a check of its own
    builds: list[Build] = []
    problems: list[str] = []
    for engine in MODULES:
        try:
            found = room(engine).survey(named.of(engine))
        except RigtuiError as error:
            problems.append(str(error))
            continue
        problems += found.problems
        for build in found.builds:
            try:
                builds.append(room(engine).learn(build))
            except RigtuiError as error:
                problems.append(str(error))
    return Found(builds=tuple(builds), problems=tuple(problems))

"""Which engines are here, and what can the one that will run a model do?"""

from __future__ import annotations

import os
from collections.abc import Callable

from rigtui.engines.engine import Build, Found
from rigtui.engines.rooms import MODULES, room
from rigtui.errors import MissingError, RigtuiError
from rigtui.intent.config import ENGINE_KEYS, EnginesConfig, config_file, load_config
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.choose import engine_for


def surveyed(engine: str, named: EnginesConfig) -> Found:
    """What is found of an engine here.

    Raises MissingError that says which line of config.toml is in the way when the program named there cannot be used.
    """
    program = named.of(engine)
    try:
        return room(engine).survey(program)
    except RigtuiError as error:
        if program is None:
            raise
        line = f"{ENGINE_KEYS[engine]} under [engines] in {config_file()}"
        raise MissingError(f"{line} cannot be followed: {error}; or take the line out") from error


def installed_builds() -> tuple[Build, ...]:
    """The engines found here, best first."""
    named = load_config().engines
    return tuple(build for engine in MODULES for build in surveyed(engine, named).builds)


def build_started_by(program: str) -> Build | None:
    """The llama.cpp found here that a command with this program starts; None where it starts another one, or none that works."""
    import shutil

    path = shutil.which(program)
    try:
        builds = surveyed("llama.cpp", load_config().engines).builds if path is not None else ()
    except RigtuiError:
        return None
    return next((one for one in builds if not one.embedded and os.path.realpath(one.argv[0]) == os.path.realpath(path or "")), None)


def builds_for(model: Model, intent: Intent, *, needed: bool = True, say: Callable[[str], object] | None = None) -> tuple[Build, ...]:
    """The engines found here, and the one that will run `model` asked what it can do; `say` is told where that takes a while.

    A build that does not work is left out. Raises RigtuiError when one is `needed` and none works.
    """
    engine = engine_for(model, intent)
    builds = installed_builds()
    broken: list[RigtuiError] = []
    for build in builds if engine in MODULES else ():
        if build.engine != engine:
            continue
        if say is not None and not build.options:
            say(f"asking {build.label} what it can do; that takes up to a minute, and is done once")
        try:
            learned = room(engine).learn(build)
        except RigtuiError as error:
            broken.append(error)
            builds = tuple(other for other in builds if other is not build)
        else:
            return tuple(learned if other is build else other for other in builds)
    if broken and needed:
        raise broken[0]
    return builds

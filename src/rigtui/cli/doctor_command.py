"""`rigtui doctor`: is this rig ready, and which command mends what is not."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rigtui.cli.output import print_json
from rigtui.doctor.check import Check
from rigtui.errors import EXIT_DONE, EXIT_FAILED
from rigtui.runs.reading import current_rig

if TYPE_CHECKING:
    from rigtui.engines.engine import Build, Found

WORDS = {"ok": "ok", "warn": "warning", "fail": "FAILED", "unknown": "unknown"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="as JSON (rigtui.doctor/1)")


def run(args: argparse.Namespace) -> int:
    """Print every check; exit code 1 when one failed."""
    checks = check_up(args)
    if args.json:
        print_json({"schema": "rigtui.doctor/1", "checks": checks})
    else:
        for check in checks:
            print(f"{WORDS[check.status]:<8} {check.text}")
            if check.mend:
                print(f"{'':<8} -> {check.mend}")
    return EXIT_FAILED if any(check.status == "fail" for check in checks) else EXIT_DONE


def check_up(args: argparse.Namespace) -> tuple[Check, ...]:
    """Examine this machine, or the rig of `--rig` with this machine's engines."""
    from rigtui.doctor.examine import examine
    from rigtui.doctor.facts import read_facts

    found = _engines()
    return examine(current_rig(args), found.builds, found.problems, read_facts(args.profiles_dir, found.builds))


def _engines() -> Found:
    """Every engine that works, and one sentence for each that does not. Those that were never asked what they can do are asked now."""
    from rigtui.engines.engine import Found
    from rigtui.engines.rooms import MODULES, room
    from rigtui.errors import RigtuiError
    from rigtui.intent.config import EnginesConfig, load_config

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

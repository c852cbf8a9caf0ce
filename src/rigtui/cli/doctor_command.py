"""`rigtui doctor`: is this rig ready, and which command mends what is not."""

from __future__ import annotations

import argparse

from rigtui.cli.output import print_json
from rigtui.cli.target import current_rig
from rigtui.doctor.check import Check
from rigtui.errors import EXIT_DONE, EXIT_FAILED

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
    from rigtui.engines.engine import Found
    from rigtui.engines.llamacpp.builds import survey
    from rigtui.errors import RigtuiError
    from rigtui.intent.config import load_config

    try:
        named = load_config().engines.llama_server
    except RigtuiError:
        named = None  # what is wrong with it is a check of its own
    try:
        found = survey(named)
    except RigtuiError as error:
        found = Found(builds=(), problems=(str(error),))
    return examine(current_rig(args), found.builds, found.problems, read_facts(args.profiles_dir))

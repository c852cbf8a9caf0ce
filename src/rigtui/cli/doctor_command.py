"""`rigtui doctor`: is this rig ready, and which command mends what is not."""

from __future__ import annotations

import argparse

from rigtui.cli.output import print_json
from rigtui.doctor.check import WORDS
from rigtui.errors import EXIT_DONE, EXIT_FAILED


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="as JSON (rigtui.doctor/1)")


def run(args: argparse.Namespace) -> int:
    """Print every check; exit code 1 when one failed."""
    from rigtui.doctor.check_up import check_up

    checks = check_up(args)
    if args.json:
        print_json({"schema": "rigtui.doctor/1", "checks": checks})
    else:
        for check in checks:
            print(f"{WORDS[check.status]:<8} {check.text}")
            if check.mend:
                print(f"{'':<8} -> {check.mend}")
    return EXIT_FAILED if any(check.status == "fail" for check in checks) else EXIT_DONE

"""Which commands launch, stop or write, and are refused with `--read-only`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping

from rigtui.errors import UsageError


def _always(_args: argparse.Namespace) -> bool:
    return True


CHANGES: Mapping[str, Callable[[argparse.Namespace], bool]] = {
    # A dry run of the engine is a process that takes memory, however short.
    "plan": lambda args: bool(args.verify),
    "run": lambda args: not args.dry_run,
    "stop": _always,
    "step": lambda args: args.number is not None,
    "profiles": lambda args: args.action in ("edit", "remove"),
    "tune": _always,
    "forget": _always,
    "export": lambda args: args.output is not None,
    "import": _always,
    "serve": lambda args: bool(args.allow_control),
    "rig": _always,
    "demo": lambda args: args.headless or not sys.stdout.isatty(),
}
"""Whether what is asked of a command would change anything; a command that is not here only shows."""

INSTEAD = {
    "plan": "leave out --verify",
    "run": "add --dry-run to see the plan alone",
    "step": "leave out the number to see the steps",
    "export": "leave out -o to see the text",
    "serve": "leave out --allow-control",
    "demo": "leave out --headless, in a terminal",
}
"""What of a command only shows; one that is not here changes something whatever is asked of it."""


def refuse_changes(args: argparse.Namespace) -> None:
    """Raise UsageError for what launches, stops or writes; `args` are those of a command line with `--read-only`."""
    changes = CHANGES.get(args.command)
    if changes is not None and changes(args):
        instead = INSTEAD.get(args.command, "leave out --read-only")
        raise UsageError(f"with --read-only nothing is launched, stopped or written, so not `rigtui {args.command}` this way; {instead}")

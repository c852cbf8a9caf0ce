"""The `rigtui` command: picks the sub-command, turns errors into one sentence and an exit code.

Only the chosen command's module is imported, so `rigtui gpus` never pays for what `rigtui run` needs.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from rigtui.cli.commands import command
from rigtui.cli.ending import exit_code, take_sigterm_as_interrupt
from rigtui.errors import EXIT_DONE, EXIT_FAILED, RigtuiError, UsageError
from rigtui.text import utf8_problem

if TYPE_CHECKING:
    import argparse

SCREENS = ("demo", "serve")
"""Commands that answer SIGTERM in their own way."""


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse a command line; global options get their defaults here."""
    if argv:
        # Only here: a bare `rigtui` says nothing, and the screen need not wait for a parser.
        from rigtui.cli import parser

        args = parser.parse(argv)
    else:
        args = cast("argparse.Namespace", SimpleNamespace(command=None))
    for option, default in (("rig_file", None), ("profiles_dir", None), ("no_color", False), ("read_only", False)):
        if not hasattr(args, option):
            setattr(args, option, default)
    return args


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    if argv is not None:
        return _main(argv)
    # Imports make many objects that live to the end: looking through them again and again is a tenth of a short command's time.
    gc.set_threshold(50_000, 20, 50)
    try:
        return _main(sys.argv[1:], own_process=True)
    finally:
        gc.freeze()


def _do(args: argparse.Namespace, *, own_process: bool) -> int:
    """Open the screen, or do what the command does."""
    if args.command is None:
        if own_process:
            # Nothing that its first picture takes is garbage; the screen begins to look for some behind it.
            gc.disable()
        # By name: the command line must not depend on the screen, and must not load textual for any other command.
        return int(import_module("rigtui.tui.app").main(args))
    if own_process and args.command not in SCREENS:
        take_sigterm_as_interrupt()
    code = command(args.command).run(args)
    sys.stdout.flush()
    return code


def _main(argv: list[str], *, own_process: bool = False) -> int:
    try:
        if problem := next(filter(None, map(utf8_problem, argv)), None):
            raise UsageError(problem)
        args = parse(argv)
        if not args.read_only:
            return _do(args, own_process=own_process)
        from rigtui.cli.read_only import refuse_changes
        from rigtui.files import nothing_written

        refuse_changes(args)
        with nothing_written():
            return _do(args, own_process=own_process)
    except RigtuiError as error:
        print(f"rigtui: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        return exit_code(interrupt)
    except UnicodeEncodeError as error:
        # A name from the file system, on its way into JSON or a file.
        if (problem := utf8_problem(str(error.object))) is None:
            raise
        print(f"rigtui: {problem}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is wrong, and nothing more can be written.
        sys.stdout = None
        return EXIT_DONE

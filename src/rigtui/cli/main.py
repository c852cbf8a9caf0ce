"""The `rigtui` command: picks the sub-command, turns errors into one sentence and an exit code.

Only the chosen command's module is imported, so `rigtui gpus` never pays for what `rigtui run` needs.
"""

from __future__ import annotations

import argparse
import gc
import sys
from importlib import import_module
from typing import NoReturn, Protocol, cast

from rigtui import __version__
from rigtui.cli.ending import exit_code, take_sigterm_as_interrupt
from rigtui.cli.read_only import refuse_changes
from rigtui.errors import EXIT_DONE, EXIT_FAILED, EXIT_USAGE, RigtuiError, UsageError
from rigtui.text import utf8_problem

COMMANDS = {
    "gpus": "what every card has, by kind of use",
    "models": "the models found on this machine",
    "plan": "how a model would run on this rig, and why",
    "preview": "what a llama-server or vllm command would do on this rig",
    "run": "launch a model or a profile and watch it",
    "ps": "runs on this rig",
    "logs": "what a run's engine said",
    "stop": "stop a run",
    "step": "the steps that would mend a run; take one by hand",
    "profiles": "list, show, edit or remove profiles",
    "results": "what earlier runs of a profile measured",
    "tune": "try what a profile leaves open, keep the best",
    "forget": "learn nothing more from the runs so far",
    "export": "a profile in another tool's format",
    "import": "profiles from a models.conf",
    "serve": "the screen in a browser on this machine",
    "doctor": "is this rig ready, and what mends it",
    "rig": "save this rig as a rig file",
    "demo": "the whole thing with no GPU and no download",
}


SCREENS = ("demo", "serve")
"""Commands that answer SIGTERM in their own way."""


class Parser(argparse.ArgumentParser):
    """A parser that says in one sentence what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Leave with the exit code of a wrong usage."""
        self.exit(EXIT_USAGE, f"rigtui: {message}; `{self.prog} --help` shows what there is\n")


class Command(Protocol):
    """What every module in `rigtui.cli` that carries a command offers."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; returns the exit code."""


def _command(name: str) -> Command:
    return cast(Command, import_module(f"rigtui.cli.{name}_command"))


def _global_options() -> Parser:
    """Options that may stand before or after the command; absent ones leave no attribute, so neither place overwrites the other."""
    options = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--rig", dest="rig_file", metavar="FILE", help="plan for the rig of this rig file instead of this machine")
    options.add_argument("--profiles-dir", metavar="DIR", help="read and write profiles here")
    options.add_argument("--read-only", action="store_true", help="only show: nothing is launched, stopped or written")
    options.add_argument("--no-color", action="store_true", help="no colours")
    return options


def build_parser(name: str | None) -> argparse.ArgumentParser:
    """The parser; only the command `name` gets its own arguments, the others just their line of help."""
    options = _global_options()
    parser = Parser(
        prog="rigtui", description="Run local LLMs well on one rig of unequal GPUs. Without a command: the screen.", parents=[options]
    )
    parser.add_argument("--version", action="version", version=f"rigtui {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for command, text in COMMANDS.items():
        sub = commands.add_parser(command, help=text, description=text[0].upper() + text[1:] + ".", parents=[options])
        if command == name:
            _command(command).configure(sub)
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse a command line; global options get their defaults here."""
    if argv:
        name = next((word for word in argv if word in COMMANDS), None)
        args = build_parser(name).parse_args(argv)
    else:
        # Nothing was said: the screen need not wait for a parser.
        args = argparse.Namespace(command=None)
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


def _main(argv: list[str], *, own_process: bool = False) -> int:
    try:
        if problem := next(filter(None, map(utf8_problem, argv)), None):
            raise UsageError(problem)
        args = parse(argv)
        if args.command is None:
            if own_process:
                # Nothing that its first picture takes is garbage; the screen begins to look for some behind it.
                gc.disable()
            # By name: the command line must not depend on the screen, and must not load textual for any other command.
            return int(import_module("rigtui.tui.app").main(args))
        refuse_changes(args)
        if own_process and args.command not in SCREENS:
            take_sigterm_as_interrupt()
        code = _command(args.command).run(args)
        sys.stdout.flush()
        return code
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

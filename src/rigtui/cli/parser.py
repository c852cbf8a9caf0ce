"""What can be said on the command line?"""

from __future__ import annotations

import argparse
from typing import NoReturn

from rigtui import __version__
from rigtui.cli.commands import COMMANDS, command
from rigtui.errors import EXIT_USAGE


class Parser(argparse.ArgumentParser):
    """A parser that says in one sentence what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Leave with the exit code of a wrong usage."""
        self.exit(EXIT_USAGE, f"rigtui: {message}; `{self.prog} --help` shows what there is\n")


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
    for one, text in COMMANDS.items():
        sub = commands.add_parser(one, help=text, description=text[0].upper() + text[1:] + ".", parents=[options])
        if one == name:
            command(one).configure(sub)
    return parser

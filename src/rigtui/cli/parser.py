"""What can be said on the command line?"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from rigtui import __version__
from rigtui.cli.commands import COMMANDS, command
from rigtui.errors import EXIT_USAGE
from rigtui.text import clean, nearest

_COMMAND = "COMMAND"
_WRONG_CHOICE = re.compile(r"argument (.+?): invalid choice: '(.*)' \(choose from (.*)\)", re.DOTALL)
"""What argparse says of a value that is none of an argument's choices."""


class Parser(argparse.ArgumentParser):
    """A parser that says in one sentence what is wrong."""

    def __init__(self, *args: Any, **more: Any) -> None:
        """As argparse's, but that an option is written in full: the beginning of one may mean another in the next version."""
        super().__init__(*args, **{"allow_abbrev": False} | more)

    def error(self, message: str) -> NoReturn:
        """Leave with the exit code of a wrong usage; a mistyped command or choice is told its nearest."""
        if wrong := _WRONG_CHOICE.fullmatch(message):
            what, value, choices = wrong.groups()
            known = [choice.strip("'") for choice in choices.split(", ")]
            close = nearest(value, known)
            if what == _COMMAND:
                hint = f"did you mean {close}?" if close else f"there are {', '.join(known)}"
                message = f"there is no command '{value}' ({hint})"
            elif close:
                message += f" (did you mean {close}?)"
        self.exit(EXIT_USAGE, f"rigtui: {message}; `{self.prog} --help` shows what there is\n")

    def unknown(self, words: Sequence[str]) -> NoReturn:
        """Leave because of words that mean nothing here; a mistyped option is told its nearest."""
        options = [option for action in self._actions for option in action.option_strings]
        close = next(filter(None, (nearest(word.partition("=")[0], options) for word in words if word.startswith("-"))), None)
        self.error(f"unrecognized arguments: {clean(' '.join(words))}" + (f" (did you mean {close}?)" if close else ""))


def _global_options() -> Parser:
    """Options that may stand before or after the command; absent ones leave no attribute, so neither place overwrites the other."""
    options = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--rig", dest="rig_file", metavar="FILE", help="plan for the rig of this rig file instead of this machine")
    options.add_argument("--profiles-dir", metavar="DIR", help="read and write profiles here")
    options.add_argument("--read-only", action="store_true", help="only show: nothing is launched, stopped or written")
    options.add_argument("--no-color", action="store_true", help="no colours")
    return options


def parse(argv: list[str]) -> argparse.Namespace:
    """What the command line says; leaves with one sentence where it cannot be understood."""
    parsers = _parsers(next((word for word in argv if word in COMMANDS), None))
    args, unknown = parsers[""].parse_known_args(argv)
    if unknown:
        parsers[args.command or ""].unknown(unknown)
    return args


def _parsers(name: str | None) -> dict[str, Parser]:
    """That of the whole, by an empty name, and those of the commands; only `name` gets its own arguments, the others a line of help."""
    options = _global_options()
    parser = Parser(
        prog="rigtui", description="Run local LLMs well on one rig of unequal GPUs. Without a command: the screen.", parents=[options]
    )
    parser.add_argument("--version", action="version", version=f"rigtui {__version__}")
    commands = parser.add_subparsers(dest="command", metavar=_COMMAND, title="commands")
    found = {"": parser}
    for one, text in COMMANDS.items():
        found[one] = sub = commands.add_parser(one, help=text, description=text[0].upper() + text[1:] + ".", parents=[options])
        if one == name:
            command(one).configure(sub)
    return found

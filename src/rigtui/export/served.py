"""A plan as what serves it: the program, its arguments without an address, and the address that was asked for. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unicodedata import category

from msgspec import Struct

from rigtui.errors import RigtuiError
from rigtui.export.arguments import EMBEDDED
from rigtui.export.exported import CannotSayError, Exported
from rigtui.intent.profile import refuse_secrets
from rigtui.planning.plan import Plan
from rigtui.text import clean, slug, utf8_problem

LOOPBACK = "127.0.0.1"
NAME = "--served-model-name"
WATCHING = (("--log-jsonl",), ("-lv", "4"), ("--verbosity", "4"))
"""What a plan for llama.cpp asks of the log (engines/llamacpp/command.py)."""
_OPTION = re.compile(r"--?[A-Za-z]")


class Served(Struct, frozen=True, kw_only=True):
    """A plan that a command starts."""

    title: str
    """The profile's name, for people."""
    plan: Plan
    program: tuple[str, ...]
    """What starts the server; of vLLM up to the model."""
    args: tuple[str, ...]
    """The rest of the plan's command, without address, port and what only rigtui needs of the log."""
    host: str = LOOPBACK
    port: str | None = None
    """What the user's own arguments ask for; None: nothing."""

    @property
    def api_name(self) -> str:
        """By which name vLLM's API knows the model: the user's own, else the plan's. (llama-server answers to any.)"""
        return _taken(list(self.args), NAME)[0] or self.plan.model.name

    def arguments(self, host: str, port: str) -> tuple[str, ...]:
        """All arguments behind `program`; the user's own stay last, as in a launch."""
        own_name = _taken(list(self.args), NAME)[0] is not None
        named = () if self.plan.engine != "vllm" or own_name else (NAME, self.plan.model.name)
        return ("--host", host, "--port", port, *named, *self.args)


@contextmanager
def refusing(entry: Exported, what: str) -> Iterator[None]:
    """Turns a CannotSayError into the sentence that a user sees: this profile cannot be written as `what`."""
    try:
        yield
    except CannotSayError as reason:
        raise RigtuiError(f"{clean(entry.profile.name)} cannot be written as {what}: {reason}") from None


def served(entry: Exported, what: str) -> Served:
    """The plan of an entry taken apart.

    Raises CannotSayError when there is nothing to start, UsageError (beginning with the profile and `what`) for a secret in it.
    """
    profile, plan = entry
    name = clean(profile.name)
    if plan is None or not plan.command:
        raise CannotSayError(f"{plan.engine if plan else 'it'} is not started by a command")
    if plan.status == "no_fit":
        raise CannotSayError("it does not fit this rig")
    refuse_secrets(plan.env, plan.command, f"{name} cannot be written as {what}")
    if not plan.model.path.startswith("/"):
        raise CannotSayError(f"the path of its model, {clean(plan.model.path)}, is not known from the root")
    if problem := next(filter(None, map(utf8_problem, (*plan.command, *plan.env.values()))), None):
        raise CannotSayError(problem)
    start = program_words(plan)
    host, args = _taken(_unwatched(plan.command[start:]), "--host")
    port, args = _taken(args, "--port")
    return Served(title=name, plan=plan, program=plan.command[:start], args=tuple(args), host=host or LOOPBACK, port=port)


def local_command(plan: Plan) -> tuple[str, ...]:
    """The plan's command. vLLM, which listens on every address unless it is told, is told this machine's own; llama-server has it so."""
    if plan.engine != "vllm" or _taken(list(plan.command), "--host")[0] is not None:
        return plan.command
    start = program_words(plan)
    return (*plan.command[:start], "--host", LOOPBACK, *plan.command[start:])


def program_words(plan: Plan) -> int:
    """How many words of the command come before its options."""
    if plan.engine == "vllm" and plan.model.path in plan.command:
        return plan.command.index(plan.model.path) + 1
    return 3 if plan.command[1:3] == ("-m", EMBEDDED) else 1


def _unwatched(args: Sequence[str]) -> list[str]:
    """Without what rigtui asks for to read a log by itself: a person reads what another tool keeps. The user's own come later, and stay."""
    rest = list(args)
    for words in WATCHING:
        at = next((at for at in range(len(rest)) if tuple(rest[at : at + len(words)]) == words), None)
        if at is not None:
            del rest[at : at + len(words)]
    return rest


def _taken(args: list[str], option: str) -> tuple[str | None, list[str]]:
    """The last value of `option`, as two words or as one with `=`, and the arguments without it."""
    value, rest, at = None, [], 0
    while at < len(args):
        if args[at] == option and at + 1 < len(args):
            value, at = args[at + 1], at + 2
        elif args[at].startswith(f"{option}="):
            value, at = args[at].partition("=")[2], at + 1
        else:
            rest.append(args[at])
            at += 1
    return value, rest


def by_option(words: Sequence[str]) -> list[list[str]]:
    """Arguments in lines for people: each option with what follows it."""
    lines: list[list[str]] = []
    for word in words:
        if _OPTION.match(word) or not lines:
            lines.append([])
        lines[-1].append(word)
    return lines


def plain(text: str) -> str:
    """Foreign text for a comment: one line in every format. (YAML ends lines also at U+2028, and reads no unassigned characters.)"""
    return "".join(char if char.isprintable() or category(char) == "Zs" else "?" for char in clean(text))


def title(plan: Plan) -> str:
    """One line that says what is served."""
    return f"{plain(plan.model.name)}, context {plan.context:,}"


def needs(plan: Plan) -> list[str]:
    """What must be in the same place on the machine that starts it, in sentences."""
    program, path = plan.command[0], plain(plan.model.path)
    sentences = [f"Needs the model at {path}."]
    if EMBEDDED in plan.command:
        sentences.append(
            f"Starts rigtui's embedded engine in {plain(program)}; elsewhere put `llama-server` in the place of "
            f"`{plain(shlex.join(plan.command[: plan.command.index(EMBEDDED) + 1]))}`."
        )
    elif program.startswith("/"):
        sentences.append(f"Needs the engine at {plain(program)}.")
    return sentences


def distinct(entries: Sequence[Exported], where: str) -> list[str]:
    """An identifier of letters, digits, `-` and `_` for each entry. Raises RigtuiError when two would have the same one."""
    names = [slug(entry.profile.name) for entry in entries]
    if twice := next((name for at, name in enumerate(names) if name in names[:at]), None):
        raise RigtuiError(f"two of these profiles would both be called {twice} in {where}; rename one")
    return names


def several(entries: Sequence[Exported], what: str, holds: str) -> None:
    """Raise RigtuiError when there is more than one entry for a format that holds one."""
    if len(entries) != 1:
        names = ", ".join(clean(entry.profile.name) for entry in entries)
        raise RigtuiError(f"{what} {holds} one model, not {len(entries)} ({names}); write a file for each")

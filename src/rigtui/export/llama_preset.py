"""Profiles and their plans as the presets of llama-server's router (`--models-preset FILE`). Pure.

A section is a model; its keys are llama-server's options (common/preset.cpp). The router gives each model an address, and its own
environment to all of them: the cards are named there, and a model that takes fewer, or in another order, says so with `device`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from rigtui.export.arguments import ALIASES
from rigtui.export.exported import CannotSayError, Exported
from rigtui.export.served import LOOPBACK, Served, by_option, plain, refusing, served, title
from rigtui.text import clean

WHAT = "a preset for llama-server"
PORT = "8080"
CARDS = "CUDA_VISIBLE_DEVICES"
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
# Comments begin at these characters wherever they stand, and there are no quotes.
_UNSAYABLE = re.compile(r"[;#\r\n]|^[ \t]|[ \t]$")
_LONG = {option: next(one for one in options if one.startswith("--")) for options in ALIASES.values() for option in options}
_LAST_WINS = {one.removeprefix("--") for name, options in ALIASES.items() for one in options if name != "override"}


def write(entries: Sequence[Exported]) -> str:
    """The text of a preset file with one section per entry. Raises RigtuiError with the profile and the reason."""
    models: dict[str, Served] = {}
    for entry in entries:
        with refusing(entry, WHAT):
            name = entry.profile.name
            if name in models:
                raise CannotSayError("it is named twice")
            if "]" in name or name == "*":
                raise CannotSayError("a section cannot have its name; rename it")
            models[name] = _checked(served(entry, WHAT), next(iter(models.values()), None))
    seen = tuple(dict.fromkeys(card for one in models.values() for card in _cards(one)))
    lines = _heading(list(models.values()), seen)
    for entry in entries:
        with refusing(entry, WHAT):
            lines += ["", *_section(entry.profile.name, models[entry.profile.name], seen)]
    return "\n".join(lines) + "\n"


def _checked(one: Served, first: Served | None) -> Served:
    """`one`, when the router of `first` can start it."""
    if one.plan.engine != "llama.cpp":
        raise CannotSayError(f"it runs with {one.plan.engine}, and the router starts llama-server only")
    if own := next((variable for variable in sorted(one.plan.env) if variable.startswith("LLAMA_ARG_")), None):
        raise CannotSayError(f"{own} would hold for the router itself; give it as an argument")
    if first is not None and one.program != first.program:
        raise CannotSayError(f"it is planned for another build than {first.title}, and a router starts its own; write a file for each")
    if first is not None and _shared(one) != _shared(first):
        raise CannotSayError(f"its environment is another than that of {first.title}, and a router has one; write a file for each")
    if first is not None and bool(_cards(one)) != bool(_cards(first)):
        raise CannotSayError(f"only one of it and {first.title} names its cards; write a file for each")
    return one


def _shared(one: Served) -> dict[str, str]:
    return {variable: value for variable, value in one.plan.env.items() if variable != CARDS}


def _cards(one: Served) -> tuple[str, ...]:
    return tuple(one.plan.env[CARDS].split(",")) if one.plan.env.get(CARDS) else ()


def _heading(models: Sequence[Served], seen: tuple[str, ...]) -> list[str]:
    """How the router is started: with the environment of the plans, and one model at a time, since each was planned for free cards."""
    env = _shared(models[0]) | ({CARDS: ",".join(seen)} if seen else {})
    program = models[0].program[0] if len(models[0].program) == 1 else "llama-server"
    host = next((one.host for one in models if one.host != LOOPBACK), LOOPBACK)
    words = [f"{variable}={shlex.quote(value)}" for variable, value in sorted(env.items())]
    words += [shlex.quote(program), "--models-preset FILE --models-max 1", "--host", shlex.quote(host)]
    return ["; Written by `rigtui export --to llama-preset`. Start it with:", f"; {plain(' '.join(words))} --port {PORT}"]


def _section(name: str, one: Served, seen: tuple[str, ...]) -> list[str]:
    options = _options(one.args)
    own = _cards(one)
    if own != seen and "device" not in options:
        options["device"] = ",".join(f"CUDA{seen.index(card)}" for card in own)
    comments = (title(one.plan), f"Needs the model at {plain(one.plan.model.path)}.")
    return [*(f"; {line}" for line in comments), f"[{name}]", *(f"{key} = {value}" for key, value in options.items())]


def _options(args: Sequence[str]) -> dict[str, str]:
    """The arguments as keys and values; of an option that counts once the last one, as on a command line."""
    options: dict[str, str] = {}
    for option, *values in by_option(args):
        long = _LONG.get(option, option.replace("_", "-") if option.startswith("--") else option)
        key, value = long.lstrip("-"), values[0] if values else "true"
        if not option.startswith("-") or not _KEY.fullmatch(key):
            raise CannotSayError(f"`{clean(option)}` is no option of llama-server")
        if len(values) > 1:
            raise CannotSayError(f"{option} has several values, and a preset holds one for each option")
        if not value or _UNSAYABLE.search(value):
            raise CannotSayError(
                f"`{clean(value)}`, the value of {option}, is empty or has a comment mark, a line end or a blank at an end"
            )
        if options.get(key, value) != value and key not in _LAST_WINS:
            raise CannotSayError(f"{option} is given twice, and a preset holds each option once")
        opposite = key.removeprefix("no-") if key.startswith("no-") else f"no-{key}"
        options.pop(opposite, None)
        options[key] = value
    return options

"""Profiles and their plans as the `config.yaml` of llama-swap (mostlygeek/llama-swap). Pure.

That tool starts the model that a request names and stops the one before, each on a port of its own. It splits `cmd` like a shell, after it
has put values in the place of every `${…}`; there is no escape for that, so quotes are set between the two characters.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rigtui.export.exported import CannotSayError, Exported
from rigtui.export.served import LOOPBACK, Served, by_option, needs, refusing, served, title
from rigtui.export.yaml_text import block, listed, quoted
from rigtui.text import clean

WHAT = "a llama-swap configuration"
LOAD_SECONDS = 600
"""How long a model may take until it answers; 120 s, that tool's default, is short for one of 60 GB."""
_HEADING = (
    "# Written by `rigtui export --to llama-swap`.",
    "# yaml-language-server: $schema=https://raw.githubusercontent.com/mostlygeek/llama-swap/main/config-schema.json",
    "# Start it with: llama-swap --config FILE --listen 127.0.0.1:8080",
    f"healthCheckTimeout: {LOAD_SECONDS}  # seconds that a model may take to load",
    "models:",
)
_PORT = "\0"
"""Stands for the port until the command is written; no argument can hold it."""
_REACHED = (LOOPBACK, "localhost", "0.0.0.0", "")  # noqa: S104 compared, not bound


def write(entries: Sequence[Exported]) -> str:
    """The text of a configuration with one model per entry. Raises RigtuiError with the profile and the reason."""
    lines, ids = list(_HEADING), set()
    for entry in entries:
        with refusing(entry, WHAT):
            name = entry.profile.name
            if name in ids:
                raise CannotSayError("it is named twice")
            ids.add(name)
            lines += _model(name, served(entry, WHAT))
    return "\n".join(lines) + "\n"


def _model(name: str, one: Served) -> list[str]:
    if "${" in name:
        raise CannotSayError("llama-swap takes what follows `${` in a name for a macro; rename it")
    env = [f"{variable}={value}" for variable, value in sorted(one.plan.env.items())]
    if macro := next((word for word in env if "${" in word), None):
        raise CannotSayError(f"llama-swap takes `${{` in {clean(macro)} for a macro of its own")
    command = (*one.program, *one.arguments(one.host, _PORT))
    if broken := next((word for word in command if set(word) & set("\n\r")), None):
        raise CannotSayError(f"`{clean(broken)}` has more than one line, which llama-swap does not keep together")
    lines = [f"  {quoted(name)}:", *(f"    # {line}" for line in (title(one.plan), *needs(one.plan)))]
    if env:
        lines += ["    env:", *listed(env, "      ")]
    if one.host not in _REACHED:
        lines.append(f"    proxy: {quoted(f'http://{one.host}:' + '${PORT}')}")
    if one.plan.engine == "vllm":
        lines.append(f"    useModelName: {quoted(one.api_name)}")
    return [*lines, *block("cmd", [" ".join(map(_word, group)) for group in by_option(command)], "    ")]


def _word(word: str) -> str:
    """A word as llama-swap's splitting gives it back."""
    return "${PORT}" if word == _PORT else shlex.quote(word).replace("${", "$''{")

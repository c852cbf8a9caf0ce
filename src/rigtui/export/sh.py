"""Profiles and their plans as a shell script that starts the engine just as the plan says. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rigtui.errors import RigtuiError
from rigtui.export.exported import Exported
from rigtui.intent.profile import refuse_secrets
from rigtui.planning.plan import Plan
from rigtui.text import clean, slug

EMBEDDED = "rigtui.engines.llamacpp.embedded"
"""The module that the embedded engine's command starts with Python."""


def write(entries: Sequence[Exported]) -> str:
    """A POSIX shell script; with several entries its first argument says which one. Further arguments go to the engine.

    Raises RigtuiError when an entry has nothing that a script could start.
    """
    heading = "#!/bin/sh\n# Written by `rigtui export --to sh`.\n"
    if len(entries) == 1:
        return f"{heading}{_block(entries[0])}\n"
    names = [slug(entry.profile.name) for entry in entries]
    if twice := next((name for at, name in enumerate(names) if name in names[:at]), None):
        raise RigtuiError(f"two of these profiles would both be called {twice} in the script; rename one")
    usage = f"usage: $0 {'|'.join(names)} [engine arguments]"
    blocks = [f"{name})\nshift\n{_block(entry)}\n;;" for name, entry in zip(names, entries, strict=True)]
    blocks.append(f'*)\necho "{usage}" >&2\nexit 2\n;;')
    return heading + 'case "${1:-}" in\n' + "\n".join(blocks) + "\nesac\n"


def _block(entry: Exported) -> str:
    profile, plan = entry
    name = clean(profile.name)
    if plan is None or not plan.command:
        raise RigtuiError(f"{name} cannot be written as a shell script: {plan.engine if plan else 'it'} is not started by a command")
    if plan.status == "no_fit":
        raise RigtuiError(f"{name} cannot be written as a shell script: it does not fit this rig")
    refuse_secrets(plan.env, plan.command, f"{name} cannot be written as a shell script")
    exports = [f"export {variable}={shlex.quote(value)}" for variable, value in sorted(plan.env.items())]
    title = f"# {name}: {clean(plan.model.name)}, context {plan.context:,}"
    return "\n".join([title, *_needs(plan), *exports, f'exec {shlex.join(plan.command)} "$@"'])


def _needs(plan: Plan) -> list[str]:
    """Comments: what must be in the same place on the machine that the script runs on."""
    program, path = plan.command[0], clean(plan.model.path)
    needs = [f"# Needs the model at {path}."]
    if EMBEDDED in plan.command:
        needs.append(
            f"# Starts rigtui's embedded engine in {clean(program)}; elsewhere put `llama-server` in the place of "
            f"`{clean(shlex.join(plan.command[: plan.command.index(EMBEDDED) + 1]))}`."
        )
    elif program.startswith("/"):
        needs.append(f"# Needs the engine at {clean(program)}.")
    return needs

"""Profiles and their plans as a shell script that starts the engine just as the plan says. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rigtui.errors import RigtuiError
from rigtui.export.exported import Exported
from rigtui.export.served import distinct, local_command, needs, title
from rigtui.intent.profile import refuse_secrets
from rigtui.text import clean


def write(entries: Sequence[Exported]) -> str:
    """A POSIX shell script; with several entries its first argument says which one. Further arguments go to the engine.

    Raises RigtuiError when an entry has nothing that a script could start.
    """
    heading = "#!/bin/sh\n# Written by `rigtui export --to sh`.\n"
    if len(entries) == 1:
        return f"{heading}{_block(entries[0])}\n"
    names = distinct(entries, "the script")
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
    comments = (f"{name}: {title(plan)}", *needs(plan))
    return "\n".join([*(f"# {line}" for line in comments), *exports, f'exec {shlex.join(local_command(plan))} "$@"'])

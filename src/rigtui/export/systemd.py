"""A profile and its plan as a systemd user unit. Pure.

Quoting as in systemd.syntax(7) and systemd.service(5): words in double quotes with C escapes, `%` doubled, and `$` doubled in a command
but not in `Environment=`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rigtui.export.exported import CannotSayError, Exported
from rigtui.export.served import Served, by_option, needs, plain, refusing, served, several, title
from rigtui.text import clean, slug

WHAT = "a systemd unit"
PORT = "8080"
# Words that mean themselves in a unit. A word that begins with a comment mark or a semicolon is never one of them.
_BARE = re.compile(r"[A-Za-z0-9_@+=:,./-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What an environment variable cannot hold there; systemd leaves such a line out with a warning.
_UNSAYABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def write(entries: Sequence[Exported]) -> str:
    """The text of a unit that starts the one entry. Raises RigtuiError with the profile and the reason."""
    several(entries, "a systemd unit", "starts")
    (entry,) = entries
    with refusing(entry, WHAT):
        one = served(entry, WHAT)
        return "\n".join([*_heading(one), "", *_unit(one), "", *_service(one), "", "[Install]", "WantedBy=default.target"]) + "\n"


def _heading(one: Served) -> list[str]:
    name, program = slug(one.title), one.program[0]
    bare = "/" not in program
    return [
        "# Written by `rigtui export --to systemd`.",
        f"# {plain(one.title)}: {title(one.plan)}",
        *(f"# {line}" for line in needs(one.plan)),
        *([f"# systemd looks for {plain(program)} in /usr/local/bin and /usr/bin; elsewhere give its whole path."] if bare else []),
        f"# Keep it as ~/.config/systemd/user/{name}.service, then:",
        f"#   systemctl --user daemon-reload && systemctl --user enable --now {name}",
        "# It starts when you log in; `loginctl enable-linger` starts it with the machine. Its log: journalctl --user -u " + name,
    ]


def _unit(one: Served) -> list[str]:
    return [
        "[Unit]",
        # In parentheses last: a backslash at the end of the line would join the next one to it.
        f"Description={plain(one.title).replace('%', '%%')} ({one.plan.engine})",
        # A launch that runs out of memory after a minute of loading is not tried for ever.
        "StartLimitIntervalSec=1800",
        "StartLimitBurst=3",
    ]


def _service(one: Served) -> list[str]:
    program = one.program[0]
    if "$" in program or ("/" in program and not program.startswith("/")):
        raise CannotSayError(f"systemd cannot start {clean(program)}: it takes a path from the root, without a dollar sign")
    lines = ["[Service]", "Type=exec", "Restart=on-failure", "RestartSec=10"]
    for variable, value in sorted(one.plan.env.items()):
        if _UNSAYABLE.search(value):
            raise CannotSayError(f"the variable {clean(variable)} has a control character, which systemd leaves out")
        lines.append(f"Environment={_word(f'{variable}={value}')}")
    command = (*one.program, *one.arguments(one.host, one.port or PORT))
    groups = [" ".join(_word(word).replace("$", "$$") for word in group) for group in by_option(command)]
    return [*lines, "ExecStart=" + " \\\n    ".join(groups)]


def _word(word: str) -> str:
    """A word as systemd's splitting gives it back, specifiers included."""
    if _BARE.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return '"' + _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", escaped) + '"'

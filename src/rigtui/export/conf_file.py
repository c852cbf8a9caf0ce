"""The grammar of `models.conf` (nerdpudding/llama_cpp, start.sh and dashboard.py), and nothing about what its values mean.

Sections `[id]`, lines `KEY=VALUE` with the value raw to the end of the line, comments only where a line begins with `#`. Two programs
read it, a bash script and a Python one; where they differ, rigtui accepts what both understand alike.
"""

from __future__ import annotations

import re

from msgspec import Struct

from rigtui.errors import UsageError
from rigtui.text import clean, nearest

KEYS = ("NAME", "DESCRIPTION", "SPEED", "MODEL", "CTX_SIZE", "N_GPU_LAYERS", "FIT", "FIT_TARGET", "EXTRA_ARGS")
"""What that tool knows, in the order rigtui writes it."""

BLANK = " \t\r\v\f"
"""What is cut from the ends of lines and values: other blanks, such as U+00A0, are part of them."""
_SECTION = re.compile(r"\[([a-zA-Z0-9_-]+)\]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_KEY = re.compile(r"[A-Za-z0-9_]+")


class Section(Struct, frozen=True, kw_only=True):
    """One model."""

    id: str
    values: dict[str, str]
    line: int = 0
    """Where its heading stands; 0 when it does not come from a file."""
    lines: dict[str, int] = {}
    """Where each key stands."""
    comments: tuple[str, ...] = ()
    """Written above the heading; never read."""


class Conf(Struct, frozen=True):
    """A file's sections, and what its reader would do that its writer may not expect."""

    sections: tuple[Section, ...]
    remarks: tuple[str, ...] = ()


def valid_id(text: str) -> bool:
    """Whether `text` can be a section's id."""
    return _SECTION.fullmatch(f"[{text}]") is not None


def parse(text: str, path: str) -> Conf:
    """The sections of a file's text.

    Raises UsageError with `path`, the number and the fault of the first bad line, and how many more there are.
    """
    found: dict[str, Section] = {}
    remarks: list[str] = []
    bad: list[str] = []
    # Keys below a bad heading are nobody's; what is wrong is the heading.
    current: Section | None = None
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip(BLANK)
        if not line or line.startswith("#"):
            continue
        if fault := _fault(line, found):
            bad.append(f"{path}, line {number}: {fault}")
            current = None if line.startswith("[") else current
        elif heading := _SECTION.fullmatch(line):
            current = found[heading[1]] = Section(id=heading[1], values={}, line=number, lines={})
        elif current is not None:
            key, _, value = line.partition("=")
            remarks += _remarks(current, key, number)
            current.values[key] = value.strip(BLANK)
            current.lines[key] = number
        elif not bad:
            bad.append(f"{path}, line {number}: this stands before the first [id]")
    bad += [f"{path}, line {s.line}: [{s.id}] has no MODEL" for s in found.values() if not s.values.get("MODEL")]
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise UsageError(bad[0] + more)
    return Conf(tuple(found.values()), tuple(remarks))


def _fault(line: str, found: dict[str, Section]) -> str | None:
    """What is wrong with a line for itself."""
    shown = clean(line)[:80]
    if _CONTROL.search(line):
        return f"`{shown}` has control characters"
    if line.startswith("["):
        heading = _SECTION.fullmatch(line)
        if heading is None:
            return f"`{shown}` is no heading; an id has only letters, digits, - and _"
        if heading[1] in found:
            return f"[{heading[1]}] stands already in line {found[heading[1]].line}"
        return None
    key, equals, _ = line.partition("=")
    if not equals:
        return f"`{shown}` is neither [id] nor KEY=VALUE"
    return None if _KEY.fullmatch(key) else f"`{clean(key)[:80]}` is no key; write KEY=VALUE with no space before the `=`"


def _remarks(section: Section, key: str, number: int) -> list[str]:
    if key in section.values:
        return [f"line {number}: [{section.id}] has {key} twice; the last one counts"]
    if key not in KEYS:
        close = nearest(key, KEYS)
        hint = f"did you mean {close}? It" if close else "it"
        return [f"line {number}: models.conf knows no {key}; {hint} is kept but does nothing"]
    return []


def ordered(values: dict[str, str]) -> list[tuple[str, str]]:
    """Keys in the order rigtui writes them; what that tool does not know comes last."""
    known = [(key, values[key]) for key in KEYS if key in values]
    return known + [(key, value) for key, value in values.items() if key not in KEYS]


def render(sections: list[Section], heading: str) -> str:
    """The text of a file with these sections."""
    blocks = [heading]
    for section in sections:
        lines = [f"# {comment}" for comment in section.comments]
        lines += [f"[{section.id}]", *(f"{key}={value}" for key, value in ordered(section.values))]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"

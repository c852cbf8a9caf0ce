"""The text of a profile's file with only those lines changed that a new profile says otherwise: comments and order are the user's. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from rigtui.errors import UsageError
from rigtui.intent.profile import Profile, ProfileOverrides, dump, parse_text

_HEAD = ("model", "use_case", "engine", "description")
_COMMENT = re.compile(r"""\s+#[^"'\[\]]*$""")
"""Behind a value, where it cannot be a part of one."""


def rewritten(text: str, profile: Profile) -> bytes | None:
    """`text` saying what `profile` says; None where lines alone cannot do that, or it is no valid profile of that name."""
    try:
        was = parse_text(text.encode("utf-8"), "the profile")
        new = tomllib.loads(dump(profile).decode("utf-8"))
        lines = text.splitlines()
        for table, key in _differing(was, profile):
            lines = _with(lines, table, key, new.get(table, {}).get(key))
        found = ("\n".join(lines) + "\n").encode("utf-8")
        # Whatever a file may look like: only what reads as the profile is taken.
        return found if was.name == profile.name and not any(_differing(parse_text(found, "the profile"), profile)) else None
    except UsageError:
        return None


def _differing(one: Profile, other: Profile) -> Iterator[tuple[str, str]]:
    """Tables and keys in which two profiles differ, however they are spelled."""
    for key in _HEAD:
        if getattr(one, key) != getattr(other, key):
            yield "profile", key
    for key in ProfileOverrides.__struct_fields__:
        if getattr(one.own, key) != getattr(other.own, key):
            yield "overrides", key


def _with(lines: list[str], table: str, key: str, value: object) -> list[str]:
    """The lines with another value of a key; without the key where there is none."""
    import tomli_w

    said = tomli_w.dumps({key: value}, multiline_strings=True).splitlines() if value is not None else []
    header = re.compile(rf"\s*\[\s*{table}\s*\]\s*(#.*)?")
    start = next((at for at, line in enumerate(lines) if header.fullmatch(line)), None)
    if start is None:
        return [*lines, "", f"[{table}]", *said]
    for at in range(start + 1, len(lines)):
        if re.match(r"\s*\[", lines[at]):
            break
        if re.match(rf"\s*{key}\s*=", lines[at]):
            end = _end(lines, at)
            if len(said) == 1 and (comment := _COMMENT.search(lines[end - 1])):
                said = [said[0] + comment[0]]
            return [*lines[:at], *said, *lines[end:]]
    return [*lines[: start + 1], *said, *lines[start + 1 :]]


def _end(lines: list[str], at: int) -> int:
    """The line behind the value that begins at this one: lists and texts may take several."""
    for end in range(at + 1, len(lines) + 1):
        try:
            tomllib.loads("\n".join(lines[at:end]))
        except tomllib.TOMLDecodeError:
            continue
        return end
    return at + 1

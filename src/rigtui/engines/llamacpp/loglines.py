"""llama.cpp's log taken apart into messages: text with or without a head, or JSON lines.

Text goes to stderr (llama.cpp 0.5.0-dev, common/log.cpp): `M.SS.mmm.uuu L message`, L one of I W E D; continuation lines,
usage errors and what is printed while aborting have no head. `--log-jsonl` writes
`{"type":"log","time":…,"level":"info","msg":"…\\n"}` to stdout.
"""

from __future__ import annotations

import re

import msgspec

from rigtui.text import clean

MAX_LINE = 1 << 16
_HEAD = re.compile(r"\d{1,6}\.\d\d\.\d{3}\.\d{3} (?P<level>[IWED]) (?P<text>.*)", re.DOTALL)
# Server messages carry a tag and a function name cut to twelve characters: "srv    load_model: …", "slot print_timing: id  3 | task 0 | …".
_TAG = re.compile(r"(?:srv|cmn|slot|que|spec|res|init) {1,16}(?:\w{1,16}: )(?:id +-?\d+ \| task -?\d+ \| ?)?")
_LEVELS = {"I": "info", "W": "warn", "E": "error", "D": "debug"}


class Message(msgspec.Struct, frozen=True):
    """One message: its level (None where the log says none) and its text, without head and server tag."""

    level: str | None
    text: str
    line: str
    """The cleaned text with its tag, to show."""


class _Json(msgspec.Struct):
    type: str
    level: str = ""
    msg: str = ""


_DECODER = msgspec.json.Decoder(_Json)


def messages(line: str) -> list[Message]:
    """The messages in one line of output; several where a JSON line holds several lines. Never raises."""
    line = line[:MAX_LINE]
    if line.startswith('{"type":'):
        try:
            entry = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return []
        if entry.type != "log":
            return []
        return [_message(_said(entry.level), text) for text in entry.msg.splitlines()]
    text = clean(line)
    head = _HEAD.match(text)
    return [_message(_LEVELS[head["level"]], head["text"]) if head else _message(None, text)]


def readable(line: str) -> list[tuple[str | None, str]]:
    """One line of output as people read it, with its level where the line says one: the text of a JSON line, any other line cleaned;
    nothing for structured events."""
    line = line[:MAX_LINE]
    if line.startswith('{"type":'):
        try:
            entry = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return [(None, clean(line))]
        return [(_said(entry.level), clean(text)) for text in entry.msg.splitlines()] if entry.type == "log" else []
    text = clean(line)
    head = _HEAD.match(text)
    return [(_LEVELS[head["level"]] if head else None, text)]


def _said(level: str) -> str | None:
    return None if level in {"cont", "none"} else level


def _message(level: str | None, text: str) -> Message:
    line = clean(text)
    tag = _TAG.match(line)
    return Message(level, line[tag.end() :] if tag else line, line)

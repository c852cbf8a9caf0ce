"""The little YAML that exports are written in. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence


def quoted(text: str) -> str:
    """`text` as a double-quoted scalar, which reads the same in every YAML: a JSON string, with what is no print as its code point."""
    return "".join(char if char.isprintable() else _escaped(char) for char in json.dumps(text, ensure_ascii=False))


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 1 << 16 else f"\\U{ord(char):08x}"


def listed(words: Iterable[str], indent: str) -> list[str]:
    """A list of texts, a line each."""
    return [f"{indent}- {quoted(word)}" for word in words]


def block(key: str, lines: Sequence[str], indent: str) -> list[str]:
    """A text of several lines as a literal block, or as a quoted scalar of one line where it holds what a block cannot.

    No line may be empty or begin with a blank.
    """
    if all(line.isprintable() for line in lines):
        return [f"{indent}{key}: |", *(f"{indent}  {line}" for line in lines)]
    return [f"{indent}{key}: {quoted(' '.join(lines))}"]

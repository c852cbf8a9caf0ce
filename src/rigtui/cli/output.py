"""Where output goes: data to stdout, everything for people beside data to stderr."""

from __future__ import annotations

import sys
from typing import Any

import msgspec


def print_json(value: Any) -> None:
    """`value` as indented JSON on stdout, alone."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def note(text: str) -> None:
    """A remark for people, on stderr."""
    print(text, file=sys.stderr)

"""What a person types into a line: what is wrong with it, and the number that it means. Pure."""

from __future__ import annotations

import re

from rigtui.text import kilo

_NUMBER = re.compile(r"[0-9]{1,9}|[0-9]{1,3}(?:[,._][0-9]{3}){1,2}")
"""With or without separators of thousands: 3.5 is not 35."""


def number(text: str) -> int | None:
    """The number that a line without a problem means; None where it is empty."""
    if (short := kilo(text)) is not None:
        return short
    digits = re.sub(r"[,._]", "", text.strip())
    return int(digits) if digits else None


def number_problem(text: str, least: int, most: int, what: str = "a number") -> str | None:
    """What is wrong with a typed number, or None; an empty line gives the decision back to rigtui."""
    line = text.strip()
    known = kilo(line) is not None or _NUMBER.fullmatch(line)
    if not line or (known and least <= (number(line) or 0) <= most):
        return None
    return f"type {what} from {least:,} to {most:,}, or nothing to let rigtui decide"


def name_problem(text: str) -> str | None:
    """What is wrong with a typed name, or None."""
    return None if text.strip() else "type a name"

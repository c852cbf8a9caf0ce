"""What a reader of foreign bytes owes the person who has such a file: a value, or one sentence that can be shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from rigtui.errors import RigtuiError

MOST_CHARACTERS = 1000
"""Of a sentence: a file's own text must not fill the screen."""
DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that make what follows read as something else."""


def refusal(read: Callable[[], object]) -> str:
    """What `read` says in its RigtuiError; empty where it gives a value. Anything else that it raises is a fault and passes through."""
    try:
        read()
    except RigtuiError as error:
        return str(error) or "(nothing said)"
    return ""


def showable(text: str) -> bool:
    """Whether a terminal shows the text as the one line that it is, and all of it."""
    controls = any(unicodedata.category(char) in ("Cc", "Cs") or char in DIRECTION for char in text)
    return not controls and len(text) <= MOST_CHARACTERS

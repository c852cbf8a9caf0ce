"""The choices, or a profile, in every format that an export can have."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from rigtui.errors import RigtuiError
from rigtui.export.exported import FORMATS


class ExportText(Struct, frozen=True, kw_only=True):
    """An export in one format, or one sentence why it cannot be written in it."""

    format: str
    text: str = ""
    problem: str = ""

    @property
    def file(self) -> str:
        """What such a file is usually called."""
        return FORMATS[self.format]


def in_every_format(write: Callable[[str], str]) -> tuple[ExportText, ...]:
    """What `write` gives for each format; it may raise RigtuiError."""
    return tuple(_in(name, write) for name in FORMATS)


def _in(name: str, write: Callable[[str], str]) -> ExportText:
    try:
        return ExportText(format=name, text=write(name))
    except RigtuiError as error:
        return ExportText(format=name, problem=str(error))

"""The choices, or a profile, in every format that an export can have."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from rigtui.errors import RigtuiError
from rigtui.export.exported import FORMATS
from rigtui.text import slug

SHARED = "profile"
"""Beside the formats of others rigtui's own, which `rigtui import` takes on another rig."""


class ExportText(Struct, frozen=True, kw_only=True):
    """An export in one format, or one sentence why it cannot be written in it."""

    format: str
    text: str = ""
    problem: str = ""
    named: str = ""
    """What its file is called, where that is not the format's usual name."""

    @property
    def file(self) -> str:
        """What such a file is usually called."""
        return self.named or FORMATS[self.format]


def in_every_format(write: Callable[[str], str], name: str, profile: str) -> tuple[ExportText, ...]:
    """What `write` gives for each format; it may raise RigtuiError. Behind them the profile itself, by its name and its file's text."""
    return (*(_in(one, write) for one in FORMATS), ExportText(format=SHARED, text=profile, named=f"{slug(name)}.toml"))


def _in(name: str, write: Callable[[str], str]) -> ExportText:
    try:
        return ExportText(format=name, text=write(name))
    except RigtuiError as error:
        return ExportText(format=name, problem=str(error))

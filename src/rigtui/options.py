"""The options that go with every command and with the screen: which rig, whose profiles, and whether anything may be written."""

from __future__ import annotations

from typing import Protocol


class Options(Protocol):
    """As they stand on the command line; what parsed it is one of these."""

    rig_file: str | None
    """Plan for the rig of this file instead of this machine."""
    profiles_dir: str | None
    """Where profiles are read and written; None: the user's usual folder."""
    read_only: bool
    """Nothing is launched, stopped or written."""

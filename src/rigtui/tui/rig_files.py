"""The user's rig files: `~/.config/rigtui/rigs/*.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rigtui import files
from rigtui.errors import RigtuiError
from rigtui.paths import config_dir
from rigtui.rig import rigfile
from rigtui.text import clean, slug
from rigtui.tui.services import SavedRig

if TYPE_CHECKING:
    from rigtui.rig.rig import Rig

MOST = 50
"""Shown at most."""


def folder() -> Path:
    """Where they lie."""
    return config_dir() / "rigs"


def read() -> tuple[SavedRig, ...]:
    """All of them; one that cannot be used says why."""
    return tuple(_read(path) for path in sorted(folder().glob("*.toml"))[:MOST])


def _read(path: Path) -> SavedRig:
    try:
        rig = rigfile.load(path)
    except RigtuiError as error:
        return SavedRig(name=path.stem, problem=str(error))
    return SavedRig(name=rig.name, rig=rig)


def load(path: str) -> Rig:
    """The rig of a file anywhere. Raises UsageError."""
    return rigfile.load(Path(path).expanduser())


def save(name: str, rig: Rig) -> str:
    """Keep a rig under this name; returns where. Raises RigtuiError when the name is taken or it cannot be written."""
    path = folder() / f"{slug(name)}.toml"
    if path.exists():
        raise RigtuiError(f"{path} is already there; choose another name")
    files.write_atomic(path, rigfile.dump(replace(rig, name=clean(name))))
    return str(path)

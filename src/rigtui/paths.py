"""Where rigtui keeps its files (XDG base directories) and where its shipped data lies."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _xdg(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    # The XDG specification says to ignore relative paths.
    base = Path(value) if value.startswith("/") else Path.home() / default
    return base / "rigtui"


def config_dir() -> Path:
    """The user's profiles, themes, use cases, rigs and `config.toml`."""
    return _xdg("XDG_CONFIG_HOME", ".config")


def data_dir() -> Path:
    """Results of runs."""
    return _xdg("XDG_DATA_HOME", ".local/share")


def state_dir() -> Path:
    """Running state and logs."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def cache_dir() -> Path:
    """What can be read again at a price: model headers, engine abilities."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def shipped(name: str) -> Path:
    """The folder `themes` or `profiles` that rigtui ships.

    A wheel carries them as `rigtui/_data/<name>`; an editable install has no `_data`, there they lie at the
    repository's root, two levels above the package.
    """
    in_wheel = _PACKAGE / "_data" / name
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parents[1] / name

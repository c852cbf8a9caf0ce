"""The user's `config.toml`: folders with models, the theme, where engines lie."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from rigtui import files, paths


class ModelsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[models]`."""

    folders: tuple[str, ...] = ()
    """Searched for models besides the usual places; `~` is the home folder."""


ENGINE_KEYS = {"llama.cpp": "llama_server", "vllm": "vllm"}
"""Engine -> the key of `[engines]` that names its program."""


class EnginesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[engines]`."""

    llama_server: str | None = None
    """The llama-server to use instead of the one on PATH."""
    vllm: str | None = None
    """The `vllm` to use, or the folder of its virtual environment."""

    def of(self, engine: str) -> str | None:
        """The program named for an engine, or None."""
        return getattr(self, ENGINE_KEYS[engine]) if engine in ENGINE_KEYS else None


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the user set for all runs; every key may be left out."""

    models: ModelsConfig = ModelsConfig()
    engines: EnginesConfig = EnginesConfig()
    theme: str | None = None


def config_file() -> Path:
    """Where the user's configuration lies, whether or not it is there."""
    return paths.config_dir() / "config.toml"


def load_config() -> Config:
    """The user's configuration; defaults where there is no `config.toml`.

    Raises UsageError that names the file and the key for a file that cannot be followed.
    """
    path = config_file()
    return files.convert(files.read_toml(path), Config, path) if path.exists() else Config()

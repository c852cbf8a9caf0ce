"""Adding a folder with models to the user's config.toml without touching what stands there already."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rigtui import files, paths
from rigtui.errors import UsageError
from rigtui.text import clean

_TABLE = re.compile(r"^\[models\][ \t]*(?:#.*)?$", re.MULTILINE)
_FOLDERS = re.compile(r"^folders[ \t]*=[ \t]*\[", re.MULTILINE)
_NEXT_TABLE = re.compile(r"^\[", re.MULTILINE)


def add_folder(folder: str) -> None:
    """Keep `folder` under `[models] folders` in config.toml.

    The file is edited as text, so that comments and order stay. Raises UsageError when there is no such folder, or when the file is
    written in a way this cannot follow; RigtuiError when it cannot be written.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise UsageError(f"{clean(folder)} is not a folder; nothing was added")
    path = paths.config_dir() / "config.toml"
    with files.locked(path):
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        known = list(_folders(files.read_toml(path)) if text else [])
        if folder in known:
            return
        changed = with_folder(text, folder)
        files.write_atomic(path, changed.encode("utf-8"))


def with_folder(text: str, folder: str) -> str:
    """The text of config.toml with one more model folder, first in the list. Raises UsageError when it cannot be put there."""
    import tomllib

    before = tomllib.loads(text)
    # A JSON string is a TOML basic string.
    entry = json.dumps(folder)
    table = _TABLE.search(text)
    if table is None:
        separator = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        changed = f"{text}{separator}[models]\nfolders = [{entry}]\n"
    else:
        following = _NEXT_TABLE.search(text, table.end())
        inside = _FOLDERS.search(text, table.end(), following.start() if following else len(text))
        if inside is None:
            changed = f"{text[: table.end()]}\nfolders = [{entry}]{text[table.end() :]}"
        else:
            comma = ", " if _folders(before) else ""
            changed = f"{text[: inside.end()]}{entry}{comma}{text[inside.end() :]}"
    try:
        after = tomllib.loads(changed)
    except tomllib.TOMLDecodeError:
        after = {}
    expected = {**before, "models": {**before.get("models", {}), "folders": [folder, *_folders(before)]}}
    if after != expected:
        raise UsageError(f"config.toml is written in a way that rigtui cannot add to; add {entry} to `folders` under [models] yourself")
    return changed


def _folders(data: dict[str, object]) -> list[str]:
    models = data.get("models")
    folders = models.get("folders", []) if isinstance(models, dict) else []
    return list(folders) if isinstance(folders, list) else []

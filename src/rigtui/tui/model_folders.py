"""Adding a folder with models to the user's config.toml without touching what stands there already."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rigtui import files
from rigtui.errors import UsageError
from rigtui.text import clean
from rigtui.tui.config_edit import edit, held_to

_TABLE = re.compile(r"^\[models\][ \t]*(?:#.*)?$", re.MULTILINE)
_FOLDERS = re.compile(r"^folders[ \t]*=[ \t]*\[", re.MULTILINE)
_NEXT_TABLE = re.compile(r"^\[", re.MULTILINE)


def add_folder(folder: str) -> None:
    """Keep `folder` under `[models] folders`, first in the list.

    Raises UsageError when there is no such folder or it cannot be put there, RigtuiError when the file cannot be written.
    """
    if not Path(folder).expanduser().is_dir():
        raise UsageError(f"{clean(folder)} is not a folder; nothing was added")
    edit(lambda text: with_folder(text, folder))


def with_folder(text: str, folder: str) -> str:
    """The text of config.toml with one more model folder. Raises UsageError when it cannot be put there."""
    before = files.parse_toml(text, "config.toml")
    if folder in _folders(before):
        return text
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
    expected = {**before, "models": {**before.get("models", {}), "folders": [folder, *_folders(before)]}}
    return held_to(expected, changed, f"add {entry} to `folders` under [models] yourself")


def _folders(data: dict[str, object]) -> list[str]:
    models = data.get("models")
    folders = models.get("folders", []) if isinstance(models, dict) else []
    return list(folders) if isinstance(folders, list) else []

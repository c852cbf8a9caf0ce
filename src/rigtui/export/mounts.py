"""Which folder must a container see for a model, links followed?"""

from __future__ import annotations

import os
from pathlib import Path

from rigtui.export.compose import INSIDE, Mount
from rigtui.export.exported import CannotSayError
from rigtui.text import clean


def mount_of(path: str, models_dir: str | None = None) -> Mount:
    """What the container of the model at `path` sees: `models_dir`, or the model's folder and what its links lead to.

    The Hugging Face cache is full of links to a folder beside. Raises CannotSayError when one folder cannot hold both.
    """
    folder = path if os.path.isdir(path) else os.path.dirname(path)  # noqa: PTH112, PTH120 - text from a plan, which may not exist here
    if models_dir is not None:
        return _named(path, folder, str(Path(models_dir).expanduser().absolute()))
    real, targets = os.path.realpath(folder), _targets(path, folder)
    if all(_within(target, real) for target in targets):
        return Mount(folder, ((folder, INSIDE),))
    both = os.path.commonpath([real, *targets])
    home = os.path.realpath(os.path.expanduser("~"))  # noqa: PTH111 - never raises
    if _within(home, both):
        raise CannotSayError(
            f"{clean(path)} is a link, and {clean(both)}, the folder that holds it and its file, is more than a container should see; "
            "name one with --models-dir, or copy the file"
        )
    return Mount(both, ((folder, os.path.join(INSIDE, os.path.relpath(real, both))), (both, INSIDE)))


def _named(path: str, folder: str, models_dir: str) -> Mount:
    if not _within(folder, models_dir):
        raise CannotSayError(f"its model {clean(path)} lies outside {clean(models_dir)}; name its folder with --models-dir")
    real = os.path.realpath(models_dir)
    if outside := next((target for target in _targets(path, folder) if not _within(target, real)), None):
        raise CannotSayError(f"{clean(path)} is a link to {clean(outside)}, which the container does not see below {clean(models_dir)}")
    return Mount(models_dir, ((models_dir, INSIDE),))


def _targets(path: str, folder: str) -> list[str]:
    """The folders in which the model's files really lie."""
    try:
        files = [entry.path for entry in os.scandir(folder)] if path == folder else [path]
    except OSError as error:
        raise CannotSayError(f"{clean(folder)} cannot be read: {error.strerror}") from error
    return [os.path.dirname(os.path.realpath(file)) for file in files]  # noqa: PTH120


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")

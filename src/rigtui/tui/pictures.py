"""Where a picture of the screen is kept: the user's folder of pictures or downloads, or else one of rigtui's own."""

from __future__ import annotations

from pathlib import Path

from rigtui.errors import RigtuiError
from rigtui.paths import state_dir


def picture_folder() -> Path:
    """The first of them that is there; rigtui's own is made. Raises RigtuiError when it cannot be made."""
    for name in ("Pictures", "Downloads"):
        if (folder := Path.home() / name).is_dir():
            return folder
    own = state_dir() / "pictures"
    try:
        own.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RigtuiError(f"the folder {own} cannot be made for the picture: {error.strerror or error}") from error
    return own

"""Where models lie on this machine: the user's folders and the stores of other programs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from msgspec import Struct


class Place(Struct, frozen=True, kw_only=True):
    """One folder that is searched."""

    path: Path
    label: str
    """For people."""
    kind: Literal["folder", "hub", "ollama"]


def places(folders: Iterable[str] = (), *, stores: bool = True) -> tuple[Place, ...]:
    """Every folder to search, the user's first (there, single files too). Those that do not exist are left out.

    Layouts: huggingface_hub's constants.py (HF_HUB_CACHE, HF_HOME), LM Studio's `models`, llama.cpp's LLAMA_CACHE (common/common.cpp),
    Ollama's OLLAMA_MODELS and the folder of its service user.
    """
    home = Path.home()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    hub = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    hub_path = Path(hub) if hub else Path(os.environ.get("HF_HOME") or cache / "huggingface") / "hub"
    llama = Path(os.environ.get("LLAMA_CACHE") or cache / "llama.cpp")
    own_folders = [Place(path=Path(folder).expanduser(), label=folder, kind="folder") for folder in folders]
    found = [
        *own_folders,
        Place(path=home / "models", label="~/models", kind="folder"),
        Place(path=hub_path, label="Hugging Face cache", kind="hub"),
        Place(path=home / ".lmstudio" / "models", label="LM Studio", kind="folder"),
        Place(path=cache / "lm-studio" / "models", label="LM Studio", kind="folder"),
        Place(path=llama, label="llama.cpp cache", kind="folder"),
    ]
    own = os.environ.get("OLLAMA_MODELS")
    ollama = (Path(own) if own else home / ".ollama" / "models", Path("/usr/share/ollama/.ollama/models"))
    found += [Place(path=path, label="Ollama", kind="ollama") for path in ollama]
    kept: dict[str, Place] = {}
    for place in found if stores else own_folders:
        # os.path: a store of another user that may not even be looked into is simply not there (Path.is_dir raises).
        if os.path.isdir(place.path) or (place.kind == "folder" and os.path.isfile(place.path)):  # noqa: PTH112, PTH113
            kept.setdefault(os.path.realpath(place.path), place)
    return tuple(kept.values())

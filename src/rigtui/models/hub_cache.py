"""The Hugging Face cache as it lies on disk: `models--<owner>--<repo>/snapshots/<revision>/…`, links to blobs. Read without the library,
whose import costs more than all the rest of a plan.

Layout: huggingface_hub's documentation of its cache (manage-cache).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

MAX_REF_BYTES = 256


class Repository(Struct, frozen=True):
    """One downloaded repository."""

    name: str
    """`owner/repo`."""
    snapshot: Path
    """Its files, of the revision that `main` points to, or of the newest one."""


def repositories(cache: Path) -> Iterator[Repository]:
    """The repositories in `cache` that hold models."""
    for folder in sorted(cache.glob("models--*")):
        snapshot = _snapshot(folder)
        if snapshot is not None:
            yield Repository(folder.name.removeprefix("models--").replace("--", "/", 1), snapshot)


def find(cache: Path, name: str) -> Path | None:
    """The snapshot of `owner/repo` (upper and lower case alike, as on the hub), or None."""
    return next((entry.snapshot for entry in repositories(cache) if entry.name.lower() == name.lower()), None)


def _snapshot(folder: Path) -> Path | None:
    try:
        with open(folder / "refs" / "main", "rb") as stream:
            revision = stream.read(MAX_REF_BYTES).decode("ascii", errors="replace").strip()
    except OSError:
        revision = ""
    try:
        if revision and "/" not in revision and revision not in (".", "..") and (folder / "snapshots" / revision).is_dir():
            return folder / "snapshots" / revision
        snapshots = [path for path in (folder / "snapshots").iterdir() if path.is_dir()]
        return max(snapshots, key=lambda path: path.stat().st_mtime, default=None)
    except OSError:
        return None

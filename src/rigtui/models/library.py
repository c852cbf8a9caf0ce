"""Every model on this machine: found in folders and stores, read from headers, remembered."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from rigtui.errors import RigtuiError
from rigtui.models import hub_cache, ollama_store, shards
from rigtui.models.gguf import NotAModelError, read_gguf
from rigtui.models.header_cache import HeaderCache, Known
from rigtui.models.model import Model
from rigtui.models.places import Place, places
from rigtui.text import storable

MAX_DEPTH = 6
MAX_FILES = 100_000
"""Bounds of one place, against links in circles and a `/` as folder."""
REPORT_EVERY = 20


class LibraryEntry(Struct, frozen=True, kw_only=True):
    """One model, or a file that looks like one and cannot be read."""

    ref: str
    """What commands take: a path, `hf:owner/repo:file`, `ollama:name:tag`."""
    name: str
    source: str
    """Where it was found, for people."""
    path: str
    size_bytes: int
    model: Model | None = None
    error: str | None = None


class _Found(Struct, frozen=True):
    path: Path
    ref: str
    source: str


Report = Callable[[tuple[LibraryEntry, ...], int], None]


def scan(
    folders: Iterable[str] = (),
    on_progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
    *,
    stores: bool = True,
) -> tuple[LibraryEntry, ...]:
    """The models in `folders`, and with `stores` in `~/models` and the stores of other programs, by name.

    `on_progress` is told now and then what was found and how many files were looked at; `cancelled` ends the search early. A file that
    cannot be read is an entry with its error; companions of models (mmproj, adapters, drafts) are left out; what is reached on two ways
    is listed once.
    """
    cache = HeaderCache()
    entries: list[LibraryEntry] = []
    seen: set[Path] = set()
    looked = 0
    for found in _candidates(places(folders, stores=stores)):
        if cancelled is not None and cancelled():
            break
        looked += 1
        entry = _entry(found, seen, cache)
        if entry is not None:
            entries.append(entry)
        if on_progress is not None and looked % REPORT_EVERY == 0:
            on_progress(_sorted(entries), looked)
    cache.save()
    if on_progress is not None:
        on_progress(_sorted(entries), looked)
    return _sorted(entries)


def _sorted(entries: list[LibraryEntry]) -> tuple[LibraryEntry, ...]:
    return tuple(sorted(entries, key=lambda entry: (entry.name.lower(), entry.ref)))


def _candidates(where: tuple[Place, ...]) -> Iterator[_Found]:
    for place in where:
        if place.kind == "ollama":
            for stored in ollama_store.stored(place.path):
                yield _Found(stored.blob, f"ollama:{stored.name}", place.label)
        elif place.kind == "hub":
            for repository in hub_cache.repositories(place.path):
                for path in model_files(repository.snapshot):
                    inside = path.relative_to(repository.snapshot)
                    ref = f"hf:{repository.name}" if path.is_dir() else f"hf:{repository.name}:{inside}"
                    yield _Found(path, ref, place.label)
        elif place.path.is_file():
            yield _Found(_first_part(place.path), str(place.path), place.label)
        else:
            for path in model_files(place.path):
                yield _Found(path, str(path), place.label)


def _first_part(path: Path) -> Path:
    try:
        return shards.all_shards(path)[0]
    except RigtuiError:
        return path


def model_files(root: Path) -> Iterator[Path]:
    """GGUF files (of split ones the first part) and safetensors folders below `root`, links followed, bounded in depth and number."""
    visited: set[tuple[int, int]] = set()
    count = 0
    for folder, folders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        try:
            state = here.stat()
        except OSError:
            folders.clear()
            continue
        depth = len(here.relative_to(root).parts)
        if (state.st_dev, state.st_ino) in visited or depth > MAX_DEPTH or count > MAX_FILES:
            folders.clear()
            continue
        visited.add((state.st_dev, state.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        count += len(files)
        if "config.json" in files and any(name.endswith(".safetensors") for name in files):
            yield here
        for name in sorted(files):
            if name.lower().endswith(".gguf") and not name.startswith(".") and shards.shard_number(name) in (None, 1):
                yield here / name


def _entry(found: _Found, seen: set[Path], cache: HeaderCache) -> LibraryEntry | None:
    try:
        real = found.path.resolve(strict=True)
        stamp = _stamp(found.path)
    except (OSError, RuntimeError):
        return None  # a link to nothing, or in a circle
    if real in seen:
        return None
    seen.add(real)
    # By the path it was found under: parts of a split model lie side by side there, the blobs they link to do not.
    known = cache.get(found.path, *stamp, lambda: _read(found.path, stamp))
    if known.not_a_model:
        return None
    model = known.model
    return LibraryEntry(
        ref=storable(found.ref),
        name=model.name if model else storable(shards.stem(found.path.name)),
        source=storable(found.source),
        path=storable(str(found.path)),
        size_bytes=model.weights_bytes if model else stamp[0],
        model=model,
        error=known.error,
    )


def _stamp(path: Path) -> tuple[int, int]:
    """Total size of a model's files and when the last of them changed: a part that is still coming in changes both."""
    try:
        files = [p for p in path.iterdir() if p.suffix in (".json", ".safetensors")] if path.is_dir() else shards.all_shards(path)
    except RigtuiError:  # a part is missing, which reading the model will say
        files = [path]
    states = [file.stat() for file in files]
    return sum(s.st_size for s in states), max((s.st_mtime_ns for s in states), default=0)


def _read(path: Path, stamp: tuple[int, int]) -> Known:
    try:
        return Known(*stamp, read_model(path))
    except NotAModelError:
        return Known(*stamp, not_a_model=True)
    except RigtuiError as error:
        return Known(*stamp, error=str(error))


def read_model(path: Path) -> Model:
    """The model of a GGUF file or of a safetensors folder. Raises RigtuiError, one sentence."""
    if path.is_dir():
        from rigtui.models.safetensors import read_safetensors

        return read_safetensors(path)
    return read_gguf(path)

"""From what a user calls a model to the model."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from rigtui.errors import MissingError, RigtuiError, UsageError
from rigtui.models import download, hub_cache, ollama_store, shards
from rigtui.models.gguf import NotAModelError, read_gguf
from rigtui.models.library import LibraryEntry, model_files, read_model, scan
from rigtui.models.model import Model
from rigtui.models.places import places
from rigtui.text import clean, nearest

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[^/]+)?")


def resolve(reference: str, folders: Iterable[str] = ()) -> Model:
    """The model that `reference` means: a GGUF file (any shard), a folder, `hf:owner/repo[:file or quant]`, `ollama:name[:tag]`, or a
    name that exactly one model on this machine has.

    Raises MissingError for what is not on this machine, UsageError for a name that is not clear, RigtuiError for a file that cannot be
    read; one sentence each.
    """
    if reference.startswith("hf:"):
        return _from_hub(reference.removeprefix("hf:"))
    if reference.startswith("ollama:"):
        return _from_ollama(reference.removeprefix("ollama:"))
    path = Path(reference).expanduser()
    if _exists(path):
        return _from_folder(path) if os.path.isdir(path) else read_gguf(path)  # noqa: PTH112 - never raises
    if "/" in reference or reference.lower().endswith(".gguf"):
        if path.is_symlink():
            raise MissingError(f"{clean(reference)} is a link to a file that is not there; download the model again")
        repository = _REPOSITORY.fullmatch(reference) and not reference.lower().endswith(".gguf")
        hint = f"; did you mean hf:{clean(reference)}?" if repository else ""
        raise MissingError(f"there is no file {clean(reference)}{hint}")
    return _by_name(reference, folders)


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError:
        return True  # reading it will say so
    except (OSError, ValueError):
        return False
    return True


def _from_folder(folder: Path) -> Model:
    found = list(model_files(folder))
    if folder in found:
        return read_model(folder)
    return read_model(_only(found, clean(str(folder)), ""))


def _only(found: list[Path], where: str, wanted: str) -> Path:
    """The one file of `found` whose name holds `wanted`; companions such as mmproj are passed over."""
    fitting = [path for path in found if wanted.lower() in path.name.lower() and "mmproj" not in path.name.lower()]
    exact = [path for path in fitting if path.name.lower() == wanted.lower()]
    fitting = exact or (fitting if len(fitting) < 2 else [path for path in fitting if not _companion(path)])
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        what = f"no file with '{clean(wanted)}' in its name" if wanted else "no GGUF file and no safetensors model"
        raise MissingError(f"{where} holds {what}" + _listing(found))
    raise UsageError(f"{where} holds several models, say which" + _listing(fitting))


def _companion(path: Path) -> bool:
    """Belongs to another model: an adapter, a draft, data for quantizing."""
    try:
        read_model(path)
    except NotAModelError:
        return True
    except RigtuiError:
        return False
    return False


def _listing(found: list[Path]) -> str:
    names = sorted(clean(path.name) for path in found)[:12]
    return f": {', '.join(names)}" if names else ""


def _from_hub(reference: str) -> Model:
    name, _, wanted = reference.partition(":")
    if name.count("/") != 1 or not all(name.split("/")):
        raise UsageError(f"hf:{clean(reference)} is not hf:owner/repo[:file or quant]")
    for place in places():
        if place.kind == "hub" and (snapshot := hub_cache.find(place.path, name)) is not None:
            inside = snapshot / wanted
            if wanted and inside.is_file():
                return read_model(inside)
            try:
                return read_model(_only(list(model_files(snapshot)), f"hf:{clean(name)}", wanted))
            except MissingError as error:
                raise MissingError(f"{error}; {_download(name, wanted)}") from error
    raise MissingError(f"hf:{clean(reference)} is not downloaded; {_download(name, wanted)}")


def _download(name: str, wanted: str) -> str:
    include = None if not wanted else wanted if wanted.endswith(".gguf") else f"*{wanted}*"
    return f"get it with: {download.command(name, include=include)}"


def _from_ollama(name: str) -> Model:
    stores = [place.path for place in places() if place.kind == "ollama"]
    for store in stores:
        blob = ollama_store.find(store, name)
        if blob is not None:
            return read_model(blob)
    known = [entry.name.removesuffix(":latest") for store in stores for entry in ollama_store.stored(store)]
    close = nearest(name, known)
    hint = f"did you mean ollama:{close}?" if close else f"get it with: ollama pull {clean(name)}"
    raise MissingError(f"ollama:{clean(name)} is not in Ollama's store; {hint}")


def _by_name(name: str, folders: Iterable[str]) -> Model:
    entries = scan(folders)
    wanted = name.lower()
    fitting = [entry for entry in entries if wanted in _names(entry)]
    if not fitting:
        close = nearest(name, [n for entry in entries for n in _names(entry)])
        hint = f"did you mean {close}?" if close else "`rigtui models` lists what is there"
        raise MissingError(f"no model and no profile is called {clean(name)}; {hint}")
    if len(fitting) > 1:
        raise UsageError(f"{clean(name)} means several models, say which: {', '.join(clean(entry.ref) for entry in fitting[:8])}")
    if fitting[0].model is None:
        raise RigtuiError(fitting[0].error or f"{clean(name)} cannot be read")
    return fitting[0].model


def _names(entry: LibraryEntry) -> set[str]:
    """What an entry is called, in lower case: its display name, its file's name without parts and ending, its reference."""
    return {entry.name.lower(), shards.stem(Path(entry.path).name).lower(), entry.ref.lower(), entry.ref.removeprefix("ollama:").lower()}

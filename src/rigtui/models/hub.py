"""Models that are only on the Hugging Face hub: found by a query, and read from the first bytes of their files.

All that comes from the hub is foreign: names are checked before they become paths, sizes before they are believed. A token of the user's
is sent by huggingface_hub to the hub alone and appears in no message. Only this file imports huggingface_hub, and only when it is asked.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from rigtui import paths
from rigtui.errors import MissingError, RigtuiError, UsageError
from rigtui.files import locked
from rigtui.models import download, shards
from rigtui.models.gguf import read_gguf
from rigtui.models.gguf_header import MAX_HEADER_BYTES, ShortHeaderError, read_header
from rigtui.models.model import Model
from rigtui.text import clean, gib

MOST_REPOSITORIES = 10
MOST_FILES = 2000
MOST_NAME = 300
MOST_SIZE = 1 << 44
TIMEOUT_S = 15.0
KEPT_HEADERS = 40
"""Repositories whose headers are kept; some MiB each."""
_FIRST_BYTES = 4 << 20
_FOREIGN = (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, RuntimeError)
"""What huggingface_hub lets through when a hub answers other than it should."""


class HubModel(Struct, frozen=True, kw_only=True):
    """One GGUF model of a repository; the parts of a split one together."""

    ref: str
    """`hf:owner/repo:file`."""
    repository: str
    files: tuple[str, ...]
    size_bytes: int
    revision: str = "main"
    gated: bool = False


def search(query: str) -> tuple[HubModel, ...]:
    """The GGUF models of the most downloaded repositories that answer to `query`. Raises RigtuiError, one sentence."""
    from huggingface_hub import HfApi

    try:
        api = HfApi(endpoint=_endpoint())
        found = [str(info.id) for info in api.list_models(search=query, filter="gguf", sort="downloads", limit=MOST_REPOSITORIES)]
    except _failures() as error:
        raise _unreachable(error) from error
    return tuple(model for name in found[:MOST_REPOSITORIES] if _is_repository(name) for model in files(name))


def files(repository: str) -> tuple[HubModel, ...]:
    """The GGUF models of `owner/repo`, by name. Raises MissingError when there is no such repository, RigtuiError otherwise."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        info = HfApi(endpoint=_endpoint()).model_info(repository, files_metadata=True, timeout=TIMEOUT_S)
        listed = [(sibling.rfilename, sibling.size) for sibling in (info.siblings or [])[:MOST_FILES]]
        revision, gated = str(info.sha or "main"), bool(info.gated)
    except GatedRepoError as error:
        raise MissingError(f"hf:{clean(repository)} asks for consent: give it in a browser, then log in with: hf auth login") from error
    except RepositoryNotFoundError as error:
        raise MissingError(f"the hub has no {clean(repository)}, or it is private; `rigtui models --hub QUERY` searches it") from error
    except _failures() as error:
        raise _unreachable(error) from error
    sizes = {name: size for name, size in listed if _is_model_file(name) and isinstance(size, int) and 0 < size <= MOST_SIZE}
    if not revision.isalnum():
        revision = "main"
    return tuple(_models(repository, revision, gated, sizes))


def _models(repository: str, revision: str, gated: bool, sizes: dict[str, int]) -> Iterable[HubModel]:
    for name in sorted(sizes):
        if shards.shard_number(Path(name).name) not in (None, 1):
            continue
        parts = _parts(name)
        if all(part in sizes for part in parts):
            total = sum(sizes[part] for part in parts)
            ref = f"hf:{repository}:{name}"
            yield HubModel(ref=ref, repository=repository, files=parts, size_bytes=total, revision=revision, gated=gated)


def _parts(name: str) -> tuple[str, ...]:
    """The files of a model, from the name of its first one."""
    path = Path(name)
    count = shards.shard_count(path.name)
    return tuple(str(path.with_name(shards.part_name(path.name, number))) for number in range(1, count + 1)) if count else (name,)


def fetch(repository: str, wanted: str) -> Model:
    """The model of `owner/repo` whose file's name holds `wanted` (a file or a quantization), read from its first bytes.

    Raises MissingError for what is not there, UsageError when several answer, RigtuiError when the hub cannot be reached or its file
    is no model; one sentence each.
    """
    if not _is_repository(repository):
        raise UsageError(f"hf:{clean(repository)} is not hf:owner/repo[:file or quant]")
    found = _chosen(files(repository), repository, wanted)
    folder = _folder(repository) / found.revision
    with locked(folder / "headers"):
        for name in found.files:
            _header(found, name, folder / name)
    os.utime(folder.parent)
    _tidy(folder.parent.parent)
    model = read_gguf(folder / found.files[0])
    more = " …" if len(found.files) > 3 else ""
    note = f"not downloaded ({gib(found.size_bytes)}); get it with: {download.command(repository, *found.files[:3])}{more}"
    # The path is that of no file here: what it will be is up to who downloads it.
    return replace(model, path=found.ref, files=(found.ref,), notes=(*model.notes, clean(note)))


def hole_of(reference: str) -> str | None:
    """A file of the full size of a fetched model with nothing but its header, which an engine's dry run can be given in its place."""
    repository, _, name = reference.removeprefix("hf:").partition(":")
    holes = [revision / name for revision in _folder(repository).glob("*") if (revision / name).is_file()]
    return str(max(holes, key=lambda hole: hole.stat().st_mtime)) if holes else None


def _folder(repository: str) -> Path:
    return paths.cache_dir() / "hub" / repository.replace("/", "--")


def _chosen(models: tuple[HubModel, ...], repository: str, wanted: str) -> HubModel:
    models = tuple(model for model in models if "mmproj" not in model.files[0].lower())
    exact = [model for model in models if wanted in model.files or Path(model.files[0]).name.lower() == wanted.lower()]
    fitting = exact or [model for model in models if wanted.lower() in model.files[0].lower()]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(clean(model.files[0]) for model in (fitting or models)[:12])
    if not fitting:
        what = f"no GGUF file with '{clean(wanted)}' in its name" if wanted else "no GGUF file"
        raise MissingError(f"hf:{clean(repository)} holds {what}" + (f"; there are: {names}" if names else ""))
    raise UsageError(f"hf:{clean(repository)} holds several models, say which: {names}")


def _header(found: HubModel, name: str, path: Path) -> None:
    """Have the header of one file at `path`, followed by a hole of its full size."""
    if path.is_file():
        return
    fresh = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(fresh, "wb") as stream:
            wanted, have, size = _FIRST_BYTES, 0, 0
            while True:
                data, size = _range(found, name, have, wanted)
                stream.write(data)
                stream.flush()
                have += len(data)
                try:
                    read_header(fresh, size=size)
                    break
                except ShortHeaderError:
                    if len(data) < wanted or have >= MAX_HEADER_BYTES:
                        raise
                    wanted = have
            stream.truncate(size)
        fresh.replace(path)
    except OSError as error:
        raise RigtuiError(f"cannot write {fresh}: {error.strerror or error}") from error
    finally:
        fresh.unlink(missing_ok=True)


def _range(found: HubModel, name: str, start: int, count: int) -> tuple[bytes, int]:
    """`count` bytes of a file from `start` on, fewer at its end, and its full size."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session

    url = hf_hub_url(found.repository, name, revision=found.revision, endpoint=_endpoint())
    headers = {**build_hf_headers(), "Range": f"bytes={start}-{start + count - 1}", "Accept-Encoding": "identity"}
    data = bytearray()
    try:
        with get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=TIMEOUT_S) as answer:
            answer.raise_for_status()
            whole = str(answer.headers.get("content-range", "")).rpartition("/")[2]
            if answer.status_code != 206 or not whole.isdigit():
                raise RigtuiError(f"the hub does not give parts of {clean(name)}; download it first")
            size = int(whole)
            for chunk in answer.iter_raw():
                data += chunk
                if len(data) >= count:
                    break
    except _failures() as error:
        raise _unreachable(error) from error
    if not 0 < size <= MOST_SIZE:
        raise RigtuiError(f"the hub says that {clean(name)} has {size:,} bytes, which cannot be")
    return bytes(data[:count]), size


def _tidy(root: Path) -> None:
    """Forget the headers that were asked for longest ago."""
    try:
        folders = sorted((folder for folder in root.iterdir() if folder.is_dir()), key=lambda folder: folder.stat().st_mtime)
    except OSError:
        return
    for folder in folders[:-KEPT_HEADERS]:
        shutil.rmtree(folder, ignore_errors=True)


def _endpoint() -> str | None:
    """Another hub, as huggingface_hub names it; read when it is used."""
    return os.environ.get("HF_ENDPOINT") or None


def _is_repository(name: str) -> bool:
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except _FOREIGN:
        return False
    return name.count("/") == 1


def _is_model_file(name: Any) -> bool:
    """A GGUF file whose name can be a path below a folder of ours."""
    if not isinstance(name, str) or len(name) > MOST_NAME or not name.lower().endswith(".gguf") or clean(name) != name:
        return False
    parts = Path(name).parts
    return bool(parts) and not Path(name).is_absolute() and ".." not in parts and "\\" not in name


def _failures() -> tuple[type[BaseException], ...]:
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    return (HfHubHTTPError, HTTPError, OfflineModeIsEnabled, *_FOREIGN)


def _unreachable(error: BaseException) -> RigtuiError:
    """One sentence without anything that was sent."""
    if isinstance(error, RigtuiError):
        return error
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return RigtuiError("the hub refuses access (a gated or private model?); log in with: hf auth login")
    if status is not None:
        return RigtuiError(f"the hub answered with status {status}; try again later")
    if isinstance(error, (ValueError, TypeError, KeyError, AttributeError, IndexError)) and not isinstance(error, OSError):
        return RigtuiError("the hub's answer cannot be understood; a newer huggingface_hub may")
    return RigtuiError("the hub cannot be reached: check the network (or HF_ENDPOINT, HF_HUB_OFFLINE)")

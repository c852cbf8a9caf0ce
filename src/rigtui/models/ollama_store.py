"""Ollama's store: `manifests/<host>/<namespace>/<name>/<tag>` is JSON that names the blob with the weights.

Layout and media type: ollama@fb30760, server/modelpath.go and server/images.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from rigtui.decoding import known

WEIGHTS = "application/vnd.ollama.image.model"
DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
MAX_MANIFEST_BYTES = 1 << 20
_DIGEST = re.compile(r"sha256[:-][0-9a-f]{64}")


class _Layer(Struct):
    mediaType: str = ""  # noqa: N815 - the manifest's own spelling
    digest: str = ""


class _Manifest(Struct):
    layers: tuple[_Layer, ...] = ()


class Stored(Struct, frozen=True):
    """One model of the store."""

    name: str
    """As `ollama run` takes it: `llama3.1:8b`, `someone/model:latest`."""
    blob: Path


def stored(root: Path) -> Iterator[Stored]:
    """The models of the store at `root`, by name; manifests that cannot be read are passed over."""
    manifests = root / "manifests"
    for path in sorted(manifests.glob("*/*/*/*")):
        blob = _blob(root, path)
        if blob is not None:
            yield Stored(_name(path.relative_to(manifests).parts), blob)


def find(root: Path, name: str) -> Path | None:
    """The blob of `name[:tag]` (`latest` when there is no tag), or None."""
    wanted = name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"
    return next((entry.blob for entry in stored(root) if entry.name == wanted), None)


def _name(parts: tuple[str, ...]) -> str:
    host, namespace, name, tag = parts
    if host != DEFAULT_HOST:
        return f"{host}/{namespace}/{name}:{tag}"
    return f"{name}:{tag}" if namespace == DEFAULT_NAMESPACE else f"{namespace}/{name}:{tag}"


def _blob(root: Path, path: Path) -> Path | None:
    try:
        with open(path, "rb") as stream:
            manifest = msgspec.json.decode(stream.read(MAX_MANIFEST_BYTES), type=known(_Manifest))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    digest = next((layer.digest for layer in manifest.layers if layer.mediaType == WEIGHTS), "")
    # The digest is part of a path: nothing but a digest may come from the file.
    return root / "blobs" / digest.replace(":", "-") if _DIGEST.fullmatch(digest) else None

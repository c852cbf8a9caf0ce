"""Folders of safetensors: the files' headers and config.json, nothing else is read.

Header: 8 bytes length, then that much JSON (safetensors 0.5, README "Format").
"""

from __future__ import annotations

import os
import re
import stat
from math import prod
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from rigtui.decoding import known
from rigtui.errors import RigtuiError
from rigtui.models import hf_config
from rigtui.models.build import Origin, build
from rigtui.models.gguf import NotAModelError
from rigtui.models.keys import Keys
from rigtui.models.model import Model, Tensor
from rigtui.text import clean, utf8_problem

MAX_JSON_BYTES = 100 << 20
"""The format's own limit for a header."""
MAX_FILES = 1000
_PART = re.compile(r".*-(\d{5})-of-(\d{5})\.safetensors")
_PACKED = (".qweight", ".weight_packed", "_blocks")
_BESIDE = (".scales", ".qzeros", ".g_idx", ".weight_scale", ".weight_scale_2", ".weight_scale_inv", ".weight_shape", "_scales", "_scale")


class _Entry(Struct):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


class _Index(Struct):
    weight_map: dict[str, str]


def read_safetensors(folder: Path | str) -> Model:
    """The model in `folder`. Raises RigtuiError, one sentence, for what is missing, damaged or cut off."""
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow the links of a cache to files without names
    if problem := utf8_problem(str(folder)):
        raise RigtuiError(problem)
    config = _json(folder / "config.json", dict[str, Any])
    text = hf_config.text_part(config)
    if "_class_name" in config or not isinstance(text.get("model_type", ""), str):
        raise NotAModelError(f"{clean(str(folder))} is not a language model: its config.json describes a part of an image pipeline")
    files = _files(folder)
    tensors = tuple(tensor for file in files for tensor in _header(file))
    if not tensors:
        raise RigtuiError(f"{clean(str(folder))} holds no tensors")
    keys = Keys(hf_config.values(text), clean(str(folder)))
    label, bits = hf_config.quantization(config if "quantization_config" in config else text)
    vocabulary = text.get("vocab_size")
    return build(
        keys,
        tensors,
        Origin(
            name=_name(folder),
            path=str(folder),
            files=tuple(str(file) for file in files),
            format="safetensors",
            architecture=clean(str(text.get("model_type") or _first_class(config) or "unknown"))[:100],
            quantization=label,
            vocabulary=vocabulary if isinstance(vocabulary, int) and 0 < vocabulary < 1 << 31 else 0,
            chat_template=any((folder / name).exists() for name in ("chat_template.jinja", "chat_template.json")),
            embedding_model=_makes_vectors(config, folder),
            parameters=sum(_elements(tensor, bits) for tensor in tensors),
            transformers=hf_config.loading(config, text),
        ),
        hf_config.layer_kinds(text, keys),
    )


def _name(folder: Path) -> str:
    """The folder's name; in the Hugging Face cache, where that is a hash, the repository's."""
    repository = folder.parent.parent.name
    if folder.parent.name == "snapshots" and repository.startswith("models--"):
        return clean(repository.rsplit("--", 1)[-1])
    return clean(folder.name)


def _first_class(config: dict[str, Any]) -> str:
    classes = config.get("architectures")
    return str(classes[0]) if isinstance(classes, list) and classes else ""


def _makes_vectors(config: dict[str, Any], folder: Path) -> bool:
    """No text generator by its class, or laid out for sentence-transformers (`modules.json`)."""
    named = _first_class(config)
    return (folder / "modules.json").exists() or bool(
        named and not named.endswith(("LMHeadModel", "ForCausalLM", "ForConditionalGeneration"))
    )


def _elements(tensor: Tensor, bits: int) -> int:
    """Weights in a tensor: several per element where they are packed, none where it only scales others."""
    count = prod(tensor.shape)
    if bits and tensor.name.endswith(_PACKED):
        return count * {"i32": 32, "u8": 8, "i8": 8}.get(tensor.type, bits) // bits
    return 0 if bits and tensor.name.endswith(_BESIDE) else count


def _open(path: Path) -> tuple[int, int]:
    """A descriptor of a regular file, and its size; never waits for a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise RigtuiError(f"cannot read {clean(str(path))}: {error.strerror or error}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise RigtuiError(f"{clean(str(path))} is not a file")
    return descriptor, status.st_size


def _json(path: Path, kind: type[Any]) -> Any:
    descriptor, size = _open(path)
    with open(descriptor, "rb") as stream:
        if size > MAX_JSON_BYTES:
            raise RigtuiError(f"{clean(str(path))} is larger than any such file; it was not read")
        return _decoded(stream.read(size), kind, path)


def _decoded(data: bytes | msgspec.Raw, kind: type[Any], path: Path) -> Any:
    try:
        return msgspec.json.decode(data, type=known(kind))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RigtuiError(f"{clean(str(path))} is damaged: {clean(str(error))}; download it again") from error


def _files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.exists():
        names = sorted(set(_json(index, _Index).weight_map.values()))
        if any("/" in name or "\0" in name or name in ("", ".", "..") for name in names) or len(names) > MAX_FILES:
            raise RigtuiError(f"{clean(str(index))} names files that cannot be its own")
    elif (folder / "model.safetensors").exists():
        names = ["model.safetensors"]
    else:
        names = sorted(path.name for path in folder.glob("*.safetensors"))[:MAX_FILES]
        if names and (part := _PART.fullmatch(names[0])) and int(part[2]) <= MAX_FILES:
            names = [f"{names[0][: part.start(1)]}{n:05d}-of-{part[2]}.safetensors" for n in range(1, int(part[2]) + 1)]
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise RigtuiError(f"{clean(str(folder))} is incomplete: {clean(missing[0])} is missing; download it again")
    return [folder / name for name in names]


def _header(path: Path) -> list[Tensor]:
    """The tensors of one file; its data is only measured."""
    where = clean(str(path))
    descriptor, size = _open(path)
    with open(descriptor, "rb", buffering=0) as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= MAX_JSON_BYTES:
            raise RigtuiError(f"{where} is not a safetensors file: it claims a header of {length:,} bytes")
        if 8 + length > size:
            raise RigtuiError(f"{where} is cut off within its header; download it again")
        data = stream.read(length)
    entries = _decoded(data, dict[str, msgspec.Raw], path)
    entries.pop("__metadata__", None)
    tensors = []
    end = 0
    for name, raw in entries.items():
        entry = _decoded(raw, _Entry, path)
        first, last = entry.data_offsets
        if not 0 <= first <= last < 1 << 63 or any(not 0 <= dimension < 1 << 63 for dimension in entry.shape):
            raise RigtuiError(f"{where} is damaged: tensor {clean(name)[:80]} has an impossible place or shape")
        end = max(end, last)
        tensors.append(Tensor(name, tuple(reversed(entry.shape)), clean(entry.dtype).lower(), last - first))
    if 8 + length + end > size:
        raise RigtuiError(f"{where} is incomplete: {8 + length + end:,} bytes are needed, {size:,} are there; download it again")
    return tensors

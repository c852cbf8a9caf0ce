"""A GGUF file, or any shard of a split one, as a Model."""

from __future__ import annotations

import os
from pathlib import Path

from rigtui.errors import RigtuiError
from rigtui.models import architectures as arch
from rigtui.models import ggml, shards
from rigtui.models.build import Origin, build
from rigtui.models.gguf_header import Header, read_header
from rigtui.models.keys import Keys
from rigtui.models.layers import layer_kinds
from rigtui.models.model import Model, Tensor
from rigtui.text import clean, utf8_problem

_NO_POOLING = 0  # LLAMA_POOLING_TYPE_NONE, llama.cpp 0.5.0-dev, include/llama.h


class NotAModelError(RigtuiError):
    """The file is a sound GGUF file, but a part or a companion of a model (mmproj, adapter, vocabulary, draft)."""


def read_gguf(path: Path | str) -> Model:
    """The model of a GGUF file; of a split one any shard will do.

    Only headers are read. Raises RigtuiError with one sentence; NotAModelError for what belongs to another model.
    """
    given = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow the links of a cache to files without names
    if problem := utf8_problem(str(given)):
        raise RigtuiError(problem)
    try:
        given.stat()
    except FileNotFoundError as error:
        raise RigtuiError(f"{clean(str(given))} does not exist") from error
    except (OSError, ValueError) as error:
        raise RigtuiError(f"cannot read {clean(str(given))}: {getattr(error, 'strerror', None) or error}") from error
    files = shards.all_shards(given)
    headers = [read_header(file) for file in files]
    _refuse_companions(headers[0])
    _check_split(headers)
    return _model(headers[0], tuple(t for h in headers for t in h.tensors), tuple(str(f) for f in files))


def _refuse_companions(header: Header) -> None:
    kind = header.metadata.get("general.type")
    architecture = header.metadata.get("general.architecture")
    what = arch.NOT_A_MODEL.get(architecture) if isinstance(architecture, str) else None
    if kind == "adapter" or "adapter.type" in header.metadata:
        what = "an adapter (LoRA) for another model"
    elif kind == "mmproj":
        what = arch.NOT_A_MODEL["clip"]
    elif kind in ("imatrix", "dataset") or architecture == "imatrix":
        what = "data for quantizing another model"
    elif not header.tensors and "split.count" not in header.metadata:
        what = "only a vocabulary, without weights"
    elif _only_mtp(header):
        what = "only the multi-token-prediction blocks (a draft) of another model"
    if what:
        raise NotAModelError(f"{header.path} is not a model by itself: it is {what}")


def _only_mtp(header: Header) -> bool:
    """MTP blocks shipped apart: llama.cpp's own test is that the first block is absent (`mtp_only`, src/models/deepseek2.cpp)."""
    architecture = header.metadata.get("general.architecture")
    blocks = header.metadata.get(f"{architecture}.nextn_predict_layers")
    if not blocks or "split.count" in header.metadata:
        return False
    return blocks == header.metadata.get(f"{architecture}.block_count") or not any(t.name.startswith("blk.0.") for t in header.tensors)


def _check_split(headers: list[Header]) -> None:
    first = headers[0]
    count = first.metadata.get("split.count", 1)
    if isinstance(count, int) and count > 1 and len(headers) != count:
        raise RigtuiError(
            f"{first.path} is one of {count} parts, but its name does not say which; "
            f"give the parts back their names (…-00001-of-{count:05d}.gguf)"
        )
    if first.metadata.get("split.no", 0) != 0:
        raise RigtuiError(f"{first.path} is named as the first part but says that it is another one; the parts are mixed up")
    wanted, have = first.metadata.get("split.tensors.count"), sum(len(h.tensors) for h in headers)
    if len(headers) > 1 and isinstance(wanted, int) and wanted != have:
        raise RigtuiError(f"{first.path} and its other parts have {have} tensors instead of {wanted}; they are not from one download")


def _model(header: Header, tensors: tuple[Tensor, ...], files: tuple[str, ...]) -> Model:
    metadata = header.metadata
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise RigtuiError(f"{header.path} cannot be used: it does not name its architecture")
    prefix = f"{architecture}."
    keys = Keys({key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)}, header.path)
    pooling, causal = metadata.get(f"{prefix}pooling_type"), metadata.get(f"{prefix}attention.causal", True)
    name, file_type = metadata.get("general.name"), metadata.get("general.file_type")
    label = clean(name).strip()[:200] if isinstance(name, str) else ""
    return build(
        keys,
        tensors,
        Origin(
            name=label or clean(shards.stem(Path(files[0]).name)),
            path=files[0],
            files=files,
            format="gguf",
            architecture=clean(architecture)[:100],
            quantization=ggml.FILE_TYPES.get(file_type, "") if isinstance(file_type, int) else "",
            vocabulary=_vocabulary(header, keys, tensors),
            chat_template="tokenizer.chat_template" in metadata,
            embedding_model=(
                architecture in arch.EMBEDDING
                or pooling not in (None, _NO_POOLING)
                or (causal is False and architecture not in arch.DIFFUSION)
            ),
        ),
        layer_kinds(keys, architecture),
    )


def _vocabulary(header: Header, keys: Keys, tensors: tuple[Tensor, ...]) -> int:
    if tokens := header.counts.get("tokenizer.ggml.tokens"):
        return tokens
    if size := keys.number("vocab_size", 0):
        return size
    return next((t.shape[1] for t in tensors if t.name == "token_embd.weight" and len(t.shape) > 1), 0)

"""The bytes of a GGUF header (versions 2 and 3): metadata and tensor list, never the weights.

Everything in a file is foreign: counts and lengths are checked against the file's size and against limits before they are followed,
so time and memory stay bounded whatever the bytes say. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import os
import re
import stat
from functools import cache
from io import FileIO
from pathlib import Path
from struct import Struct as Layout
from struct import error as LayoutError  # noqa: N812

from msgspec import Struct

from rigtui.errors import RigtuiError
from rigtui.models import ggml
from rigtui.models.model import Tensor
from rigtui.text import clean

MAX_HEADER_BYTES = 256 << 20
"""The largest real headers (a vocabulary of 260,000 tokens with merges) have about 12 MiB."""
MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 17
MAX_NAME_BYTES = (1 << 16) - 1
MAX_KEPT_BYTES = 1 << 10
"""Longer strings (chat templates, licences) are skipped."""
MAX_KEPT_ITEMS = 1 << 12
"""Longer arrays (vocabularies) are only counted."""
_CHUNK = 1 << 20
_BATCH = 64

_U32 = Layout("<I")
_U64 = Layout("<Q")
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_LAYOUTS = {number: Layout("<" + code) for number, code in _SCALARS.items()}

Scalar = bool | int | float | str


class Header(Struct, frozen=True, kw_only=True):
    """What one GGUF file says before its weights."""

    path: str
    size: int
    version: int
    metadata: dict[str, Scalar | tuple[Scalar, ...] | None]
    """None for values that are there but not kept: long strings, long or textual arrays."""
    counts: dict[str, int]
    """Elements of every array."""
    tensors: tuple[Tensor, ...]


class ShortHeaderError(RigtuiError):
    """The file ends inside its header."""


def read_header(path: Path, *, size: int | None = None) -> Header:
    """The header of one GGUF file.

    `size`: of the whole file, where only its first bytes are at `path`. Raises RigtuiError with one sentence when it cannot be read, is
    no GGUF file, is damaged, or is shorter than its tensors; ShortHeaderError when it ends inside its header.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise RigtuiError(f"{clean(str(path))} is not a file")
        with open(path, "rb", buffering=0) as stream:
            return _Reader(stream, status.st_size if size is None else size, clean(str(path))).header()
    except OSError as error:
        raise RigtuiError(f"cannot read {clean(str(path))}: {error.strerror or error}") from error


class _Reader:
    """Walks through the header, holding about one chunk of it in memory."""

    def __init__(self, stream: FileIO, size: int, name: str) -> None:
        self._stream = stream
        self._size = size
        self._name = name
        self._data = bytearray()
        self._base = 0  # file offset of _data[0]
        self._at = 0  # index into _data

    def header(self) -> Header:
        version, tensor_count, key_count = self._preamble()
        metadata: dict[str, Scalar | tuple[Scalar, ...] | None] = {}
        counts: dict[str, int] = {}
        for _ in range(key_count):
            key = self._text(MAX_NAME_BYTES, "a key")
            if key in metadata:
                raise self._damaged(f"the key {clean(key)[:80]} stands in it twice")
            metadata[key] = self._value(key, counts)
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20 or alignment & (alignment - 1):
            raise self._damaged("its alignment is not a power of two")
        tensors, data_bytes = self._tensors(tensor_count)
        start = -(-(self._base + self._at) // alignment) * alignment
        expected = start + data_bytes
        if tensors and self._size < expected:
            raise RigtuiError(
                f"{self._name} is incomplete: it has {self._size:,} bytes of at least {expected:,}, so the download was cut off; "
                "download it again"
            )
        return Header(path=self._name, size=self._size, version=version, metadata=metadata, counts=counts, tensors=tensors)

    def _preamble(self) -> tuple[int, int, int]:
        if self._size == 0:
            raise RigtuiError(f"{self._name} is empty (0 bytes): its download never started or failed; download it again")
        start = os.read(self._stream.fileno(), 64)
        self._data += start
        if start[:4] != b"GGUF":
            if start.startswith(b"version https://git-lfs"):
                raise RigtuiError(f"{self._name} is a Git LFS pointer, not the model itself; run `git lfs pull` in its folder")
            raise RigtuiError(f"{self._name} is not a GGUF file: it does not begin with the four letters GGUF")
        self._at = 4
        version = self._unsigned(_U32)
        if version & 0xFFFF == 0:
            raise RigtuiError(f"{self._name} is a big-endian GGUF file, which engines on this machine cannot load; get the usual one")
        if version not in (2, 3):
            raise RigtuiError(f"{self._name} is a GGUF file of version {version}; versions 2 and 3 can be read")
        tensors, keys = self._unsigned(_U64), self._unsigned(_U64)
        # The smallest key has 8 + 4 + 1 bytes, the smallest tensor 8 + 4 + 4 + 8.
        if keys > MAX_KEYS or keys * 13 > self._size:
            raise self._damaged(f"it claims {keys:,} metadata keys")
        if tensors > MAX_TENSORS or tensors * 24 > self._size:
            raise self._damaged(f"it claims {tensors:,} tensors")
        return version, tensors, keys

    def _value(self, key: str, counts: dict[str, int]) -> Scalar | tuple[Scalar, ...] | None:
        kind = self._unsigned(_U32)
        if kind in _LAYOUTS:
            return self._scalar(_LAYOUTS[kind])
        if kind == _STRING:
            return self._kept_text()
        if kind != _ARRAY:
            raise self._damaged(f"the value of {clean(key)[:80]} has the unknown type {kind}")
        inner, count = self._unsigned(_U32), self._unsigned(_U64)
        counts[key] = count
        if inner == _STRING:
            self._fits(8 * count, f"the list {clean(key)[:80]} with {count:,} entries")
            self._skip_strings(count)
            return None
        if inner not in _LAYOUTS:
            raise self._damaged(f"the list {clean(key)[:80]} holds values of the type {inner}, which a list cannot hold")
        size = _LAYOUTS[inner].size * count
        self._fits(size, f"the list {clean(key)[:80]} with {count:,} entries")
        if count > MAX_KEPT_ITEMS:
            self._at += size
            return None
        self._need(size)
        items = Layout(f"<{count}{_SCALARS[inner]}").unpack_from(self._data, self._at)
        self._at += size
        return items

    def _tensors(self, count: int) -> tuple[tuple[Tensor, ...], int]:
        """The tensors, and how many bytes of data they need."""
        tensors = []
        seen = set()
        end = total = 0
        for _ in range(count):
            name = self._text(MAX_NAME_BYTES, "a tensor's name")
            if name in seen:
                raise self._damaged(f"the tensor {clean(name)[:80]} stands in it twice")
            seen.add(name)
            dimensions = self._unsigned(_U32)
            if not 0 <= dimensions <= 4:
                raise self._damaged(f"the tensor {clean(name)[:80]} has {dimensions:,} dimensions")
            shape = tuple(self._unsigned(_U64) for _ in range(dimensions)) or (1,)
            number, offset = self._unsigned(_U32), self._unsigned(_U64)
            if number not in ggml.TYPES:
                raise RigtuiError(
                    f"{self._name} cannot be used: its tensor {clean(name)[:80]} has the type {number}, which llama.cpp does not know "
                    "(the file is damaged or made for a fork)"
                )
            kind = ggml.TYPES[number][0]
            try:
                size = ggml.tensor_bytes(kind, shape)
            except ValueError as error:
                raise self._damaged(f"in the tensor {clean(name)[:80]} {error}") from error
            if size >= 1 << 63 or offset >= 1 << 63:
                raise self._damaged(f"the tensor {clean(name)[:80]} is impossibly large")
            total += size
            end = max(end, offset + size)
            tensors.append(Tensor(name, shape, kind, size))
        # Tensors cannot overlap, so their sum is a lower bound as well.
        return tuple(tensors), max(end, total)

    def _skip_strings(self, count: int) -> None:
        batch = _short_strings()
        unpack = _U64.unpack_from
        left = count
        while left:
            # The fast path: many short strings in one match of a regular expression.
            while left >= _BATCH and (match := batch.match(self._data, self._at)):
                self._at = match.end()
                left -= _BATCH
            at, data = self._at, self._data
            stop = max(left - _BATCH, 0)
            try:
                while left > stop:
                    at += 8 + unpack(data, at)[0]
                    left -= 1
            except (LayoutError, OverflowError):  # the rest is not in memory yet, or nowhere
                pass
            self._at = at
            if left:
                self._fits(8 * left, "a list of strings")
                self._need(8)

    def _kept_text(self) -> str | None:
        length = self._unsigned(_U64)
        self._fits(length, f"a string of {length:,} bytes")
        if length > MAX_KEPT_BYTES:
            self._at += length
            return None
        return self._string(length)

    def _text(self, limit: int, what: str) -> str:
        length = self._unsigned(_U64)
        if length > limit:
            raise self._damaged(f"{what} has {length:,} bytes")
        return self._string(length)

    def _string(self, length: int) -> str:
        self._need(length)
        self._at += length
        return self._data[self._at - length : self._at].decode("utf-8", "replace")

    def _scalar(self, layout: Layout) -> Scalar:
        self._need(layout.size)
        self._at += layout.size
        value: Scalar = layout.unpack_from(self._data, self._at - layout.size)[0]
        return value

    def _unsigned(self, layout: Layout) -> int:
        return int(self._scalar(layout))

    def _fits(self, size: int, what: str) -> None:
        """Refuse what cannot be in the rest of the file, before it is followed."""
        end = self._base + self._at + size
        if end > self._size:
            raise self._damaged(f"{what} does not fit into its {self._size:,} bytes")
        if end > MAX_HEADER_BYTES:
            raise self._damaged(f"{what} makes its header larger than {MAX_HEADER_BYTES >> 20} MiB")

    def _need(self, size: int) -> None:
        """Have the next `size` bytes in memory."""
        if self._at + size <= len(self._data):
            return
        self._fits(size, "its header")
        self._base += self._at
        if self._at <= len(self._data):
            del self._data[: self._at]
        else:
            self._data.clear()
        self._at = 0
        descriptor = self._stream.fileno()
        while len(self._data) < size:
            wanted = max(size - len(self._data), _CHUNK)
            part = os.pread(descriptor, wanted, self._base + len(self._data))
            if not part:
                raise ShortHeaderError(str(self._damaged("it ends inside its header")))
            self._data += part

    def _damaged(self, why: str) -> RigtuiError:
        return RigtuiError(f"{self._name} is damaged or not a model: {why}; download it again")


@cache
def _short_strings() -> re.Pattern[bytes]:
    """Exactly `_BATCH` strings of under 48 bytes, length prefix and all.

    A vocabulary and its merges are half a million strings; one at a time in Python costs twice as much. The prefix decides which
    alternative can match, so there is nothing to backtrack into.
    """
    lengths = sorted(range(48), key=lambda n: abs(n - 6))
    alternatives = b"|".join(re.escape(bytes([n])) + rb"\0{7}.{%d}" % n for n in lengths)
    return re.compile(b"(?:%b){%d}+" % (alternatives, _BATCH), re.DOTALL)

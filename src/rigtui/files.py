"""Files that matter: read with a clear error, written atomically, under a lock where two rigtuis can meet."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from rigtui.decoding import known
from rigtui.errors import RigtuiError, UsageError

T = TypeVar("T")

MAX_TOML_BYTES = 1 << 20


_only_read = threading.Event()


@contextlib.contextmanager
def nothing_written() -> Iterator[None]:
    """Within this no thread writes or locks a file from here, a cache neither: RigtuiError, as where there is no permission."""
    _only_read.set()
    try:
        yield
    finally:
        _only_read.clear()


def _allow(path: Path) -> None:
    if _only_read.is_set():
        raise RigtuiError(f"with --read-only nothing is written, so not {path}")


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old or the new content, never a part of it.

    Raises RigtuiError with the system's reason (disk full, no permission).
    """
    _allow(path)
    # A home may be shared by several machines, whose processes have the same ids.
    temporary = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise RigtuiError(f"cannot write {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that stands beside `path` (`.<name>.lock`)."""
    import fcntl

    _allow(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RigtuiError(f"cannot lock {path}: {error.strerror or error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_text(path: Path) -> str:
    """The UTF-8 text of a small file.

    Raises UsageError with the file and why it cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_TOML_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > MAX_TOML_BYTES:
        raise UsageError(f"{path} is larger than 1 MiB, which no file of this kind needs; it was not read")
    return as_text(data, path)


def as_text(data: bytes, path: Path | str) -> str:
    """`data` as UTF-8 text; raises UsageError that names `path`."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start})") from error


def read_toml(path: Path) -> dict[str, Any]:
    """The TOML file at `path`.

    Raises UsageError with the file, and the line where it is not TOML. The file is never changed.
    """
    return parse_toml(read_text(path), path)


def parse_toml(text: str, path: Path | str) -> dict[str, Any]:
    """TOML text; raises UsageError that names `path`, and the line where it is not TOML."""
    import tomllib

    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def convert(data: Any, kind: type[T], path: Path | str) -> T:
    """`data` (plain dicts and lists, as read from the file `path`) as a value of type `kind`.

    Raises UsageError with one sentence that names the file, the key and, for an unknown key or value, the nearest known one.
    Structs that shall refuse unknown keys must say `forbid_unknown_fields=True`.
    """
    import msgspec

    try:
        return msgspec.convert(data, known(kind))
    except msgspec.ValidationError as error:
        from rigtui._validation import sentence

        raise UsageError(f"{path}: {sentence(str(error), kind)}") from error


def keep_aside(path: Path) -> Path:
    """Rename a damaged file to `<name>.damaged-<n>` and return where it lies now."""
    number = 1
    while (target := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    os.replace(path, target)
    return target


def dump_toml(data: dict[str, Any]) -> bytes:
    """`data` as TOML text; None values are left out (TOML has no null)."""
    import tomli_w

    return tomli_w.dumps(_without_none(data)).encode("utf-8")


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value

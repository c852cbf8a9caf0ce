"""Names of the parts of a split GGUF file: `<name>-00002-of-00005.gguf`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rigtui.errors import RigtuiError
from rigtui.text import clean

_SHARD = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE | re.DOTALL)
MAX_SHARDS = 1000


def shard_number(name: str) -> int | None:
    """Which part a file of this name is, counted from 1; None when it is no part."""
    matched = _SHARD.fullmatch(name)
    return int(matched["number"]) if matched else None


def shard_count(name: str) -> int | None:
    """How many parts the model has that a file of this name is a part of; None when it is no part, or the name cannot be."""
    matched = _SHARD.fullmatch(name)
    return int(matched["count"]) if matched and 1 <= int(matched["number"]) <= int(matched["count"]) <= MAX_SHARDS else None


def part_name(name: str, number: int) -> str:
    """The name of part `number` of the model that the part called `name` belongs to."""
    matched = _SHARD.fullmatch(name)
    assert matched is not None
    return f"{matched['stem']}-{number:05d}{name[len(matched['stem']) :][6:]}"


def stem(name: str) -> str:
    """The file's name without its part number and `.gguf`."""
    matched = _SHARD.fullmatch(name)
    if matched:
        return matched["stem"]
    return name[: -len(".gguf")] if name.lower().endswith(".gguf") else name


def all_shards(path: Path) -> tuple[Path, ...]:
    """Every part of the model that `path` is a part of, in order; `path` alone when it is no part.

    Raises RigtuiError that names the first missing part.
    """
    matched = _SHARD.fullmatch(path.name)
    if not matched:
        return (path,)
    count, number = int(matched["count"]), int(matched["number"])
    if not 1 <= number <= count <= MAX_SHARDS:
        raise RigtuiError(f"{clean(str(path))} calls itself part {number} of {count}, which cannot be")
    parts = []
    for n in range(1, count + 1):
        part = path.with_name(part_name(path.name, n))
        if not os.path.exists(part):  # noqa: PTH110 - Path.exists raises where a folder may not be looked into
            raise RigtuiError(
                f"{clean(str(path.name))} has {count} parts, and part {n} ({clean(part.name)}) is missing beside it; download it too"
            )
        parts.append(part)
    return tuple(parts)

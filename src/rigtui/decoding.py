"""Types that several threads may read values into.

msgspec 0.22 learns what a Struct is made of when it is first read into, and marks it as learned before its fields are. A thread that
reads into it at that moment follows a null pointer (`json_decode_struct_map_inner`): the program is gone. So types are learned one after
the other, and before they are used.
"""

from __future__ import annotations

import threading
from typing import TypeVar

import msgspec

T = TypeVar("T")

_lock = threading.Lock()
_learned: set[object] = set()


def known(kind: type[T]) -> type[T]:
    """`kind`, learned whole: to be given to msgspec's `decode` and `convert`."""
    if kind not in _learned:
        with _lock:
            msgspec.json.Decoder(kind)
            _learned.add(kind)
    return kind

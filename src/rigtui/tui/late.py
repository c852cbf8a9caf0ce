"""Services before their code is loaded: the first one that is called loads it, on the thread that called, so that the first picture
waits for no engine, planner or driver.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

from rigtui.tui.services import ProfileStore, Services


def late(load: Callable[[], Services]) -> Services:
    """The services that `load` gives; it is called once, and not before one of them is. What it raises, that one raises."""
    there = _Once(load)
    required = Services.__struct_fields__[: -len(Services.__struct_defaults__)]
    calls: dict[str, Any] = {name: _call(there, name) for name in required if name != "profiles"}
    return Services(profiles=cast(ProfileStore, _Profiles(there)), **calls)


class _Once:
    def __init__(self, load: Callable[[], Services]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._loaded: Services | None = None

    def __call__(self) -> Services:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded


def _call(there: _Once, name: str) -> Callable[..., Any]:
    def service(*args: Any) -> Any:
        return getattr(there(), name)(*args)

    return service


class _Profiles:
    def __init__(self, there: _Once) -> None:
        self._there = there

    def __getattr__(self, name: str) -> Any:
        return getattr(self._there().profiles, name)

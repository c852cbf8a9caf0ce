"""Machines made of a few files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rigtui.rig.host import HostReader
from rigtui.rig.sampler import RigReader


@pytest.fixture
def root(tmp_path: Path) -> Callable[[str], Path]:
    """`root("linux")` or `root("wsl2")`: a file system that looks like that platform's."""

    def make(platform: str) -> Path:
        path = tmp_path / platform
        path.mkdir()
        if platform == "wsl2":
            (path / "usr/lib/wsl/lib").mkdir(parents=True)
            (path / "dev").mkdir()
            (path / "dev/dxg").touch()
        return path

    return make


@pytest.fixture
def reader(root: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., RigReader]]:
    """`reader()` or `reader("wsl2")`: reads that platform's rig, whatever the tests run on."""
    readers: list[RigReader] = []

    def make(platform: str = "linux") -> RigReader:
        class Uname:
            nodename, release = "toy-host", "6.8.0-generic"

        monkeypatch.setattr("os.uname", lambda: Uname)
        readers.append(RigReader(HostReader(root(platform))))
        return readers[-1]

    yield make
    for one in readers:
        one.close()

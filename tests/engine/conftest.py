"""Fixtures for tests with real llama.cpp on virtual GPUs. All tests below this folder are marked `engine`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from engine.build_llamacpp import llamacpp, virtual_gpus
from engine.virtual_rig import Card, VirtualRig, describe
from nvml_stub import StubRig


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def engine_home() -> Path:
    """The folder of real llama.cpp; built first if need be."""
    return llamacpp()


@pytest.fixture
def virtual_rig(
    engine_home: Path, tmp_path: Path, nvml_stub: Callable[[str], StubRig], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., VirtualRig]]:
    """`virtual_rig(cards=[…])`: from here on programs see these cards, through NVML and as CUDA devices of the llama-server on PATH.

    `compute=False` leaves the computing out (for sparse models, whose weights are zeros anyway), `paced=True` lets it take as long as
    the bandwidths say, `ram_gb_s` for what stays in RAM.
    """
    made: list[VirtualRig] = []

    def make(
        cards: Sequence[Card], *, compute: bool = True, paced: bool = False, ram_gb_s: float = 0, ram_total_mib: int = 65536
    ) -> VirtualRig:
        stub = nvml_stub(describe(cards, compute=compute, paced=paced, ram_gb_s=ram_gb_s))
        made.append(VirtualRig(tmp_path / "virtual", engine_home, virtual_gpus(engine_home), stub, cards, ram_total_mib))
        monkeypatch.setenv("PATH", made[-1].env["PATH"])
        return made[-1]

    yield make
    for rig in made:
        rig.end()

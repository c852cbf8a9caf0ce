"""What real llama.cpp allocates on virtual cards is what it allocated for the oracle, and what rigtui predicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.virtual_rig import VirtualRig, cards_of
from rigtui.engines.llamacpp.footprint import DeviceUse
from rigtui.text import MIB
from tools.make_gguf import model_file
from tools.oracle import CASES, RIGS, arguments, decided

DENSE_SPLIT = "llama-3.1-8b-q4_k_m@desk-3090-3060"
SLIDING_WINDOW = "gemma-3-27b-q4_k_m@octo-3060"
EXPERTS_OVERFLOW = "gpt-oss-20b-mxfp4@one-3060"
OTHERS = (
    "gpt-oss-20b-mxfp4@old-p40-1080ti-2080ti-1660",  # cards of which one has no tensor cores
    "qwen3-32b-q4_k_m@dual-3090#--fit_off_-c_16384_-ctk_q8_0_-ctv_q8_0_-ts_3,1",  # copies of a quantised KV cache
    "qwen3-32b-q4_k_m@one-3060#-c_8192_-fa_off",
    "qwen3-30b-a3b-q4_k_m@desk-3090-3060#--fit_off_-c_8192_-ngl_38",
)
FAILS = "llama-3.1-8b-q4_k_m@one-3060#--fit_off_-c_65536"


def case_of(name: str) -> dict[str, Any]:
    return next(case for case in CASES if case["id"] == name)


def loaded(rig: VirtualRig, case: dict[str, Any], folder: Path) -> list[list[float]]:
    """Weights, KV and compute that the engine says it has allocated per device, in engine order; and the cards hold as much."""
    with rig.serve(model_file(case["model"], folder), *arguments(case), "--no-warmup") as server:
        assert server.address
        said = [server.buffers[f"CUDA{i}"] for i in range(len(rig.cards))]
        for card, buffers in enumerate(said):
            assert rig.allocated(card) == pytest.approx(buffers.total, abs=MIB / 10)
    return [[buffers.weights, buffers.kv, buffers.compute] for buffers in said]


@pytest.mark.parametrize("name", [DENSE_SPLIT, SLIDING_WINDOW, EXPERTS_OVERFLOW, *OTHERS])
def test_as_the_oracle_allocated_and_as_rigtui_predicts(name: str, virtual_rig: Callable[..., VirtualRig], tmp_path: Path) -> None:
    case = case_of(name)
    rig = virtual_rig(cards_of(RIGS / f"{case['rig']}.toml"), compute=False)
    allocated = loaded(rig, case, tmp_path)
    assert len(allocated) == len(case["devices"])
    for real, (_, *expected) in zip(allocated, case["devices"], strict=True):
        assert real == pytest.approx(expected, abs=MIB)
    footprint = decided(case).footprint
    for index, (real, predicted) in enumerate(zip(allocated, footprint.devices, strict=True)):
        assert [predicted.weights, predicted.kv] == pytest.approx(real[:2], abs=MIB)
        assert predicted.compute == pytest.approx(real[2], abs=tolerance(index, predicted, footprint.offloaded_layers))
        assert predicted.compute > real[2] - 32 * MIB


def tolerance(index: int, predicted: DeviceUse, offloaded: int) -> float:
    """Of a compute buffer: those of a plan with layers in RAM are an estimate."""
    if not offloaded:
        return MIB
    return 64 * MIB if index else max(256 * MIB, predicted.compute / 4)


def test_what_did_not_fit_does_not_fit(virtual_rig: Callable[..., VirtualRig], tmp_path: Path) -> None:
    case = case_of(FAILS)
    rig = virtual_rig(cards_of(RIGS / f"{case['rig']}.toml"), compute=False)
    with rig.serve(model_file(case["model"], tmp_path), *arguments(case), "--no-warmup") as server:
        assert server.ended() == 1
        assert "cudaMalloc failed: out of memory" in server.log
    assert rig.allocated(0) == 0

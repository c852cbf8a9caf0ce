"""What real llama.cpp allocates on virtual cards is what it allocated for the oracle, and what the preview says of the same command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.virtual_rig import VirtualRig, cards_of
from rigtui.engines.llamacpp.arguments import read_command
from rigtui.engines.llamacpp.preview import preview
from rigtui.rig.rigfile import load
from rigtui.text import MIB
from tools.make_gguf import model, model_file

TESTS = Path(__file__).parents[1]
CASES = {case["id"]: case for case in map(json.loads, (TESTS / "llamacpp" / "oracle" / "cases.jsonl").read_text().splitlines())}

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


def loaded(rig: VirtualRig, case: dict[str, Any], folder: Path) -> list[list[float]]:
    """Weights, KV and compute that the engine says it has allocated per device, in engine order; and the cards hold as much."""
    with rig.serve(model_file(case["model"], folder), *case["args"], "--no-warmup") as server:
        assert server.address
        said = [server.buffers[f"CUDA{i}"] for i in range(len(rig.cards))]
        for card, buffers in enumerate(said):
            assert rig.allocated(card) == pytest.approx(buffers.total, abs=MIB / 10)
    return [[buffers.weights, buffers.kv, buffers.compute] for buffers in said]


@pytest.mark.parametrize("identity", [DENSE_SPLIT, SLIDING_WINDOW, EXPERTS_OVERFLOW, *OTHERS])
def test_as_the_oracle_allocated_and_as_the_preview_says(identity: str, virtual_rig: Callable[..., VirtualRig], tmp_path: Path) -> None:
    case = CASES[identity]
    rig = virtual_rig(cards_of(TESTS / "rigs" / f"{case['rig']}.toml"), compute=False)
    allocated = loaded(rig, case, tmp_path)
    words = ("llama-server", "-m", case["model"], *case["args"])
    plan = preview(load(rig.rig_file), model(case["model"]), read_command(words), words)
    for index, (real, device, (_, *expected)) in enumerate(zip(allocated, plan.devices, case["devices"], strict=True)):
        assert real == pytest.approx(expected, abs=MIB)
        assert [device.weights_bytes, device.kv_bytes] == pytest.approx(real[:2], abs=MIB)
        assert device.compute_bytes == pytest.approx(real[2], abs=tolerance(index, real[2], plan.host.offloaded_layers))
        assert device.compute_bytes > real[2] - 32 * MIB


def tolerance(index: int, compute: float, offloaded: int) -> float:
    """Of a compute buffer: those of a plan with layers in RAM are an estimate."""
    if not offloaded:
        return MIB
    return 64 * MIB if index else max(256 * MIB, compute / 4)


def test_what_did_not_fit_does_not_fit(virtual_rig: Callable[..., VirtualRig], tmp_path: Path) -> None:
    case = CASES[FAILS]
    rig = virtual_rig(cards_of(TESTS / "rigs" / f"{case['rig']}.toml"), compute=False)
    with rig.serve(model_file(case["model"], tmp_path), *case["args"], "--no-warmup") as server:
        assert server.ended() == 1
        assert "cudaMalloc failed: out of memory" in server.log
    assert rig.allocated(0) == 0

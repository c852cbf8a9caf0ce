"""Plans on virtual rigs, launched with rigtui's own command line: what was planned is what real llama.cpp then does."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.virtual_rig import Card, VirtualRig, cards_of
from rigtui.text import MIB
from tools.make_gguf import model_file

RIGS = Path(__file__).parents[1] / "rigs"
PLANS = (
    ("desk-3090-3060", "qwen3-32b-q4_k_m", "long"),  # the fast card is filled first, by order and targets
    ("desk-3090-3060", "gemma-3-27b-q4_k_m", "long"),
    ("desk-4090-5070ti", "qwen3-32b-q4_k_m", "coding"),
    ("tri-5090-4090-3090", "llama-3.3-70b-q4_k_m", "long"),
    ("octo-3060", "qwen3-next-80b-q4_k_m", "chat"),
    ("wsl-4090", "gemma-3-27b-q4_k_m", "chat"),
    ("laptop-4060", "gpt-oss-20b-mxfp4", "chat"),  # experts in RAM
    ("desk-4070-2060", "glm-4.7-flash-q4_k_m", "chat"),  # a division that --fit cannot reach, experts in RAM
    ("desk-3090-3060", "glm-4.7-flash-q4_k_m", "long"),  # the same with all of it on the cards
)


def rigtui(*words: str, code: int = 0) -> Any:
    """What rigtui says as JSON."""
    done = subprocess.run([sys.executable, "-m", "rigtui", *words, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def wait_for(run: str, phase: str) -> dict[str, Any]:
    """The run once it is in that phase."""
    deadline = time.monotonic() + 180
    while True:
        found = next(state for state in rigtui("ps", "--all")["runs"] if state["run"] == run)
        if found["phase"] == phase:
            return found  # type: ignore[no-any-return]
        assert found["phase"] not in ("failed", "stopped"), found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


@pytest.mark.parametrize(("rig_name", "model_name", "use_case"), PLANS)
def test_what_is_planned_is_allocated_and_the_headroom_is_left(
    rig_name: str, model_name: str, use_case: str, virtual_rig: Callable[..., VirtualRig], tmp_path: Path
) -> None:
    rig = virtual_rig(cards_of(RIGS / f"{rig_name}.toml"), compute=False)
    model = model_file(model_name, tmp_path)
    plan = rigtui("--rig", str(rig.rig_file), "plan", str(model), "--use-case", use_case)
    assert plan["status"] in ("fits", "tight", "offload")
    with rig.serve(model, *plan["command"][3:], "--no-warmup") as server:
        assert server.address
        for device in plan["devices"]:
            real = server.buffers[device["device"]]
            # With experts in RAM the estimate of the compute buffer may move one tensor of the last shared layer.
            tensor = 256 * MIB if plan["status"] == "offload" else MIB
            assert device["kv_bytes"] == pytest.approx(real.kv, abs=MIB)
            assert device["weights_bytes"] == pytest.approx(real.weights, abs=tensor)
            card = int(device["device"].removeprefix("CUDA"))
            left = device["free_before_bytes"] - device["floor_bytes"] - rig.allocated(card)
            # The wanted headroom is really left, whatever target was passed.
            assert left >= device["headroom_bytes"] - 32 * MIB
            if plan["status"] != "offload":
                assert left >= device["headroom_bytes"]
                assert device["compute_bytes"] == pytest.approx(real.compute, abs=48 * MIB)


def test_a_run_shows_what_was_planned_against_what_was_taken(virtual_rig: Callable[..., VirtualRig], tmp_path: Path) -> None:
    cards = [
        Card(name="NVIDIA GeForce RTX 3090", total_mib=24576, free_mib=23400, context_mib=450),
        Card(name="NVIDIA GeForce RTX 3060", total_mib=12288, free_mib=11900, context_mib=450),
    ]
    virtual_rig(cards, compute=False)
    model = model_file("qwen3-32b-q4_k_m", tmp_path)
    run = rigtui("run", str(model), "--use-case", "coding", "--detach", "--save", "virtual")["run"]
    try:
        wait_for(run, "ready")
        held = [gpu["engines_bytes"] for gpu in rigtui("gpus")["gpus"]]
        assert all(size > 1 << 30 for size in held)
        log = subprocess.run([sys.executable, "-m", "rigtui", "logs", run], capture_output=True, text=True, check=True).stdout
        assert "offloaded 65/65 layers to GPU" in log
        assert '{"type"' not in log
    finally:
        subprocess.run([sys.executable, "-m", "rigtui", "stop", run], capture_output=True, check=False)
    attempt = rigtui("results", "virtual")["runs"][-1]["attempt"][-1]
    assert attempt["outcome"] == "ready"
    for device in attempt["devices"]:
        assert device["peak_bytes"] == pytest.approx(device["planned_bytes"], abs=64 * MIB)

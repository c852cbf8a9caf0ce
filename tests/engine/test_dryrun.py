"""The engine's own dry run of a plan: exact to a MiB against what it then allocates, and harmless whatever becomes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.virtual_rig import Card, VirtualRig, cards_of
from models.hub_server import serving
from rigtui.engines.engine import Build
from rigtui.engines.llamacpp import dryrun
from rigtui.engines.llamacpp.builds import find
from rigtui.errors import RigtuiError
from rigtui.intent.intent import Intent
from rigtui.intent.use_cases import use_case
from rigtui.models.model import Model
from rigtui.planning.choose import choose
from rigtui.planning.known import NOTHING, Known
from rigtui.planning.plan import Plan
from rigtui.rig.rigfile import load
from rigtui.text import MIB
from tools.make_gguf import model, model_file

RIGS = Path(__file__).parents[1] / "rigs"
CASES = (
    ("desk-3090-3060", "qwen3-32b-q4_k_m", "long"),  # filled again, with pipeline parallelism
    ("laptop-4060", "gpt-oss-20b-mxfp4", "chat"),  # experts in RAM
    ("desk-4070-2060", "qwen3-32b-q4_k_m", "chat"),  # layers in RAM
    ("desk-4090-5070ti", "qwen3-next-80b-q4_k_m", "chat"),  # experts in RAM, two cards, recurrent state
    ("one-3060", "gemma-3-27b-q4_k_m", "coding"),
    ("desk-4070-2060", "glm-4.7-flash-q4_k_m", "chat"),  # a division that rigtui writes itself
)
Make = Callable[..., VirtualRig]


def planned(rig: VirtualRig, name: str, wanted: str, path: Path, known: Known = NOTHING) -> tuple[Plan, Model, Intent, Build]:
    """A plan for the cards that the engine sees now."""
    intent, build = Intent(use_case=use_case(wanted)), find()[0]
    here = replace(model(name), path=str(path), files=(str(path),))
    return choose(replace(load(rig.rig_file), simulated=False), here, intent, [build], known=known), here, intent, build


@pytest.mark.parametrize(("rig_name", "model_name", "wanted"), CASES)
def test_after_a_dry_run_the_plan_is_exact(rig_name: str, model_name: str, wanted: str, virtual_rig: Make, tmp_path: Path) -> None:
    rig = virtual_rig(cards_of(RIGS / f"{rig_name}.toml"), compute=False)
    path = model_file(model_name, tmp_path)
    known = NOTHING
    for _ in range(3):
        # What was learned may change the plan, which is then asked about in its turn.
        plan, here, intent, build = planned(rig, model_name, wanted, path, known)
        if plan.basis == "verified":
            break
        known = known.and_also(Known(seen=(dryrun.ask(plan, here, intent, build),)))
        assert not any(Path(f"/proc/{pid}").exists() for card in range(len(rig.cards)) for pid in rig.holders(card))
    assert plan.basis == "verified"
    assert plan.status != "no_fit"
    with rig.serve(path, *plan.command[3:], "--no-warmup", environment=plan.env) as server:
        assert server.address
        for device in plan.devices:
            real = server.buffers[device.device]
            assert device.weights_bytes == pytest.approx(real.weights, abs=MIB)
            assert device.kv_bytes == pytest.approx(real.kv, abs=MIB)
            assert device.compute_bytes == pytest.approx(real.compute, abs=MIB)
            assert device.free_after_bytes >= device.headroom_bytes


def test_a_dry_run_that_is_killed_in_its_middle_leaves_the_estimate(virtual_rig: Make, tmp_path: Path) -> None:
    """By somebody else, while the engine holds its context on the cards and looks how the layers fit."""
    cards = [Card(name="NVIDIA GeForce RTX 3090", total_mib=24576, free_mib=23400, context_mib=380)]
    rig = virtual_rig(cards, compute=False)
    plan, here, intent, build = planned(rig, "qwen3-32b-q4_k_m", "long", model_file("qwen3-32b-q4_k_m", tmp_path))
    killed: list[int] = []

    def kills() -> bool:
        for pid in [] if killed else rig.holders(0):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        return False

    with pytest.raises(RigtuiError, match="before it said what it would do"):
        dryrun.ask(plan, here, intent, build, cancelled=kills)
    assert killed
    assert not any(Path(f"/proc/{pid}").exists() for pid in killed)
    assert choose(replace(load(rig.rig_file), simulated=False), here, intent, [build]) == plan


def test_a_model_that_is_only_on_the_hub_is_verified_from_its_header(
    virtual_rig: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    virtual_rig([Card(name="NVIDIA GeForce RTX 3090", total_mib=24576, free_mib=23400, context_mib=380)], compute=False)
    folder = tmp_path / "served" / "someone" / "Llama-GGUF"
    folder.mkdir(parents=True)
    os.link(model_file("llama-3.1-8b-q4_k_m", tmp_path), folder / "llama-q4_k_m.gguf")
    with serving(tmp_path / "served") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        words = [sys.executable, "-m", "rigtui", "plan", "hf:someone/Llama-GGUF:q4_k_m", "--verify", "--json"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    plan = json.loads(done.stdout)
    assert (plan["basis"], plan["status"]) == ("verified", "fits"), done.stderr
    # What the engine itself takes on the card was learned on the way.
    assert plan["devices"][0]["floor_bytes"] == 380 * MIB

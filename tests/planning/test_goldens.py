"""The derivation on known rigs for every kind of model, as text that a reader can judge. RIGTUI_UPDATE_GOLDENS=1 rewrites it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rigtui.intent.intent import Intent
from rigtui.intent.use_cases import use_case
from rigtui.planning.choose import choose
from rigtui.planning.plan import Plan
from rigtui.rig.rigfile import load
from rigtui.text import MIB
from tools.make_gguf import model

RIGS = Path(__file__).parents[1] / "rigs"
GOLDENS = Path(__file__).parent / "goldens"
NAMES = ("golden-4090-5070ti", "desk-4070-2060", "octo-3060", "laptop-4060", "wsl-4090", "no-gpu")
MODELS = (
    "llama-3.3-70b-q4_k_m",
    "qwen3-32b-q4_k_m",
    "qwen3-30b-a3b-q4_k_m",
    "gemma-3-27b-q4_k_m",
    "glm-4.7-flash-q4_k_m",
    "qwen3-next-80b-q4_k_m",
)
USE_CASES = ("chat", "long")


def described(plan: Plan) -> str:
    """What matters of a plan, without paths."""
    kv = "/".join(dict.fromkeys(plan.kv_type))
    speed = f"{plan.expected.decode_tok_s:.0f} tok/s" if plan.expected.decode_tok_s else "speed unknown"
    lines = [f"{plan.model.name} · {plan.use_case}: {plan.status}, {plan.context:,} tokens, KV {kv}, {plan.split_mode}, {speed}"]
    for device in plan.devices:
        head = " + head" if device.output else ""
        free = round(device.free_after_bytes / MIB)
        lines.append(f"  {device.device} {device.name}: {device.layers} layers from {device.first_layer}{head}, {free:,} MiB left")
    if plan.host.offloaded_layers:
        lines.append(f"  RAM: {plan.host.offloaded_layers} layers, {round(plan.host.weights_bytes / MIB):,} MiB")
    flags = [word if word != plan.model.path else "MODEL" for word in plan.command[1:]]
    lines.append("  " + " ".join(flags))
    lines += [f"  {reason.text}" for reason in plan.reasons]
    return "\n".join(lines)


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    rig = load(RIGS / f"{name}.toml")
    found = [choose(rig, model(m), Intent(use_case=use_case(u)), []) for m in MODELS for u in USE_CASES]
    text = "\n\n".join(described(plan) for plan in found) + "\n"
    golden = GOLDENS / f"{name}.txt"
    if os.environ.get("RIGTUI_UPDATE_GOLDENS"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_the_mixed_pair_leaves_what_its_cards_need() -> None:
    """A 4090 without a screen beside a 5070 Ti with the desktop: 128 and 1,024 MiB."""
    plan = choose(load(RIGS / "golden-4090-5070ti.toml"), model("qwen3-32b-q4_k_m"), Intent(use_case=use_case("coding")), [])
    assert [device.device for device in plan.devices] == ["CUDA0", "CUDA1"]
    assert plan.fit_target_mib == (128, 1024)
    assert plan.command[plan.command.index("--fit-target") + 1] == "128,1024"
    assert "CUDA_VISIBLE_DEVICES" not in plan.env

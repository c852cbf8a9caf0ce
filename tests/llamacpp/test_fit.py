"""The fit and the memory model against what real llama.cpp decided and allocated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rigtui.engines.llamacpp.fit import Fitted, fit
from rigtui.engines.llamacpp.settings import Device, Settings
from rigtui.engines.llamacpp.weights import weight_table
from rigtui.rig.rigfile import load
from rigtui.text import MIB
from tools.make_gguf import model

CASES = [json.loads(line) for line in (Path(__file__).parent / "oracle" / "cases.jsonl").read_text().splitlines()]
RIGS = Path(__file__).parents[1] / "rigs"
EXACT = MIB


def devices(case: dict[str, Any]) -> list[Device]:
    gpus = load(RIGS / f"{case['rig']}.toml").gpus
    chosen = [int(str(name).removeprefix("CUDA")) for name in case["settings"]["gpus"] or range(len(gpus))]
    if case["settings"]["split_mode"] == "none":
        chosen = [chosen[case["settings"]["main_gpu"]]]
    return [Device(name=gpus[i].name, free_bytes=gpus[i].free_bytes or 0) for i in chosen]


def decided(case: dict[str, Any]) -> Fitted:
    given = case["settings"]
    target = given["fit_target_mib"]
    settings = Settings(
        context=given["context"],
        slots=given["parallel"] or 4,
        unified_kv=given["parallel"] is None if given["kv_unified"] is None else given["kv_unified"],
        kv_type=tuple(given["kv_type"]),
        ubatch=given["ubatch"],
        flash_attention=given["flash_attn"] != "off",
        split_mode=given["split_mode"],
        fit=case["fit"],
        fit_target_mib=tuple(target) if isinstance(target, list) else (target,) if target else (),
        fit_context_least=given["fit_ctx"] or 4096,
        ngl=given["n_gpu_layers"],
        tensor_split=tuple(given["tensor_split"]) if given["tensor_split"] else None,
        kv_offload=given["kv_offload"],
        swa_full=given["swa_full"],
        embedding=given["embedding"],
    )
    found = model(case["model"])
    return fit(found, weight_table(found), devices(case), settings)


def layers(case: dict[str, Any], fitted: Fitted) -> list[int]:
    count = model(case["model"]).layers
    return [sum(1 for home in fitted.placement.home[:count] if home == index) for index in range(len(case["devices"]))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_decision(case: dict[str, Any]) -> None:
    fitted = decided(case)
    assert fitted.context == pytest.approx(case["context"], abs=256)
    wanted = [device[0] for device in case["devices"]]
    assert all(abs(mine - theirs) <= 1 for mine, theirs in zip(layers(case, fitted), wanted, strict=True))
    if case["fit"] and case["fit_status"]:
        assert (fitted.status == "failed") == (case["fit_status"] == "failed")


def test_bytes_per_device() -> None:
    rows = wrong_weights = wrong_kv = wrong_compute = 0
    for case in CASES:
        fitted = decided(case)
        if not case["allocated"] or layers(case, fitted) != [device[0] for device in case["devices"]] or fitted.placement.moved:
            continue
        for use, (_, weights, kv, compute) in zip(fitted.footprint.devices, case["devices"], strict=True):
            rows += 1
            wrong_weights += abs(use.weights - weights) > EXACT
            wrong_kv += abs(use.kv - kv) > EXACT
            if fitted.footprint.offloaded_layers == 0:
                wrong_compute += abs(use.compute - compute) > EXACT
            # Too little is what makes a load die; too much only wastes.
            assert use.compute > compute - 32 * MIB, case["id"]
    assert rows > 150
    assert (wrong_weights, wrong_kv) == (0, 0)
    assert wrong_compute <= rows // 20


def test_decisions_are_mostly_exact() -> None:
    exact = sum(
        decided(case).context == case["context"] and layers(case, decided(case)) == [device[0] for device in case["devices"]]
        for case in CASES
    )
    assert exact >= 0.95 * len(CASES)

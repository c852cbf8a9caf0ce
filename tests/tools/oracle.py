"""What real llama.cpp decided and allocated (tests/llamacpp/oracle), and what rigtui says to the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rigtui.engines.llamacpp.fit import Fitted, fit
from rigtui.engines.llamacpp.settings import Device, Settings
from rigtui.engines.llamacpp.weights import weight_table
from rigtui.rig.rigfile import load
from tools.make_gguf import model

_TESTS = Path(__file__).parents[1]
CASES = [json.loads(line) for line in (_TESTS / "llamacpp" / "oracle" / "cases.jsonl").read_text().splitlines()]
RIGS = _TESTS / "rigs"


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


def arguments(case: dict[str, Any]) -> list[str]:
    """What llama-server was told, besides the model."""
    given = case["settings"]
    told: list[str] = [] if case["fit"] else ["-fit", "off"]
    for flag, key in (("-c", "context"), ("-np", "parallel"), ("-ub", "ubatch"), ("-fitc", "fit_ctx"), ("-ngl", "n_gpu_layers")):
        if given[key] is not None:
            told += [flag, str(given[key])]
    for flag, key in (("-fitt", "fit_target_mib"), ("-dev", "gpus"), ("-ts", "tensor_split")):
        if given[key] is not None:
            told += [flag, ",".join(map(str, given[key] if isinstance(given[key], list) else [given[key]]))]
    told += ["-ctk", given["kv_type"][0], "-ctv", given["kv_type"][1], "-sm", given["split_mode"], "-fa", given["flash_attn"]]
    told += ["-mg", str(given["main_gpu"])] if given["split_mode"] == "none" else []
    told += ["-kvu"] if given["kv_unified"] else []
    told += [flag for flag, key in (("--swa-full", "swa_full"), ("--embedding", "embedding")) if given[key]]
    return told + ([] if given["kv_offload"] else ["-nkvo"])

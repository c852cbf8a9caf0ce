"""The fit and the memory model against what real llama.cpp decided and allocated."""

from __future__ import annotations

from typing import Any

import pytest

from rigtui.text import MIB
from tools.oracle import CASES, decided, layers

EXACT = MIB


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

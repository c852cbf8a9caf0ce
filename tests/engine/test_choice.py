"""What rigtui chooses for drawn rigs, models and use cases: it loads, the headroom is left, and no more context was to be had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.choice_trials import chosen, objections, trial
from engine.virtual_rig import VirtualRig
from tools.make_gguf import model_file

SEEDS = (2, 9, 13, 15, 26, 29, 172)
"""Among them close calls, models that do not fit, and one that fits without the copies for pipeline parallelism alone."""


@pytest.mark.parametrize("seed", SEEDS)
def test_the_engine_bears_out_what_is_chosen(seed: int, virtual_rig: Callable[..., VirtualRig], tmp_path: Path) -> None:
    wish = trial(seed)
    rig = virtual_rig(wish.cards, compute=False)
    path = model_file(wish.model, tmp_path)
    assert objections(rig, wish, chosen(rig, wish, path), path) == [], str(wish)

"""What a derivation costs in CPU time, as a multiple of a fixed loop of plain Python. Run by `make bench`.

First: of a model that was never looked at; later: of one whose graphs are drawn. The loop and the derivations take turns, so that a busy
moment of the machine meets all of them, and the least of each counts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from msgspec.structs import replace

from rigtui.intent.intent import Intent
from rigtui.intent.use_cases import use_case
from rigtui.planning.choose import choose
from rigtui.rig.rigfile import load
from tools.make_gguf import model

RIGS = Path(__file__).parents[1] / "rigs"
MODELS = (
    "llama-3.3-70b-q4_k_m",
    "qwen3-32b-q4_k_m",
    "qwen3-30b-a3b-q4_k_m",
    "gemma-3-27b-q4_k_m",
    "glm-4.7-flash-q4_k_m",
    "qwen3-next-80b-q4_k_m",
    "llama-3.1-8b-q4_k_m",
)
LOOP = 200_000
LIMITS = {"octo-3060": ("8 cards", 4.0, 1.2), "old-p40-1080ti-2080ti-1660": ("4 unlike, tight cards", 13.0, 4.0)}
"""By rig: what it is called, and how many loops the median model may cost at first and later."""


def loop() -> None:
    """Additions and a comparison, as a derivation is made of."""
    total = 0
    for number in range(LOOP):
        if number > total % 7:
            total += number


def cpu_ms(work: Callable[[], object]) -> float:
    """CPU time of this process in milliseconds."""
    began = time.process_time()
    work()
    return 1000 * (time.process_time() - began)


def main() -> int:
    """Print the figures; 1 when a median is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    rigs = {name: load(RIGS / f"{name}.toml") for name in LIMITS}
    intent = Intent(use_case=use_case("chat"))
    best: dict[tuple[str, str, str], float] = {}
    base = float("inf")
    for _ in range(runs):
        for name in MODELS:
            base = min(base, cpu_ms(loop))
            for rig in LIMITS:
                unseen = replace(model(name))  # what is worked out per model is known by its identity
                for when in ("first", "later"):
                    took = cpu_ms(lambda rig=rig, unseen=unseen: choose(rigs[rig], unseen, intent, []))
                    best[rig, when, name] = min(best.get((rig, when, name), float("inf")), took)
    print(f"a loop of {LOOP:,} turns: {base:.1f} ms of CPU time")
    slow = False
    for rig, (called, *limits) in LIMITS.items():
        for when, limit in zip(("first", "later"), limits, strict=True):
            found = {name: best[rig, when, name] for name in MODELS}
            median, worst = statistics.median(found.values()), max(found, key=found.__getitem__)
            slow |= median / base >= limit
            print(
                f"{called}, {when} derivation: median {median:.1f} ms, {median / base:.1f} x (limit {limit:g} x); "
                f"most {found[worst]:.1f} ms ({worst})"
            )
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())

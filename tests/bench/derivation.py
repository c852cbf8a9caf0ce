"""What a derivation costs in CPU time, as a multiple of a fixed loop of plain Python. Run by `make bench`.

First: of a model that was never looked at. Then, with what that one has drawn, what a keypress costs: the context a step down, another KV
type, another use case, each as the first change after the first derivation; the dearest of the three is given. Again: the same as at first
once more, as when a reading of the cards has come. The loop and the derivations take turns, so that a busy moment of the machine meets all
of them, and the least of each counts.
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

from rigtui.intent.intent import Intent, Overrides
from rigtui.intent.use_cases import use_case
from rigtui.models.model import Model
from rigtui.planning.choose import choose
from rigtui.planning.plan import Plan
from rigtui.rig.rig import Rig
from rigtui.rig.rigfile import load
from rigtui.tui.state import KV_CHOICES, doubled
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
KEYS = ("context", "KV type", "use case")
WHEN = ("first derivation", "after one key", "the same again")
LIMITS = {"octo-3060": ("8 cards", 3.9, 2.2, 1.0), "old-p40-1080ti-2080ti-1660": ("4 unlike, tight cards", 11.0, 3.7, 2.9)}
"""By rig: what it is called, and how many loops the median model may cost at first, after a key and again."""


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


def changed(intent: Intent, plan: Plan, key: str) -> Intent:
    """What is wanted after one key, pressed while `plan` is on the screen."""
    if key == "use case":
        return replace(intent, use_case=use_case("coding"))
    if key == "KV type":
        kind = next(kind for kind in KV_CHOICES if plan.kv_type != (kind, kind))
        return replace(intent, overrides=Overrides(kv_type=(kind, kind)))
    return replace(intent, overrides=Overrides(context=doubled(plan.context_per_slot, -1, 1024, plan.context_per_slot)))


def measured(rig: Rig, model: Model, intent: Intent, key: str) -> list[float]:
    """CPU time in milliseconds of each derivation of `WHEN`, `key` being the one that is pressed."""
    unseen = replace(model)  # what is worked out per model is known by its identity
    plans: list[Plan] = []
    first = cpu_ms(lambda: plans.append(choose(rig, unseen, intent, [])))
    after = changed(intent, plans[0], key)
    return [first, cpu_ms(lambda: choose(rig, unseen, after, [])), cpu_ms(lambda: choose(rig, unseen, intent, []))]


def least(earlier: list[float] | None, now: list[float]) -> list[float]:
    """The less of both, by place."""
    return now if earlier is None else [min(pair) for pair in zip(earlier, now, strict=True)]


def main() -> int:
    """Print the figures; 1 when a median is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2)
    runs = parser.parse_args().runs
    rigs = {name: load(RIGS / f"{name}.toml") for name in LIMITS}
    intent = Intent(use_case=use_case("chat"))
    best: dict[tuple[str, str, str], list[float]] = {}
    base = float("inf")
    for _ in range(runs):
        for name in MODELS:
            base = min(base, cpu_ms(loop))
            for rig in LIMITS:
                for key in KEYS:
                    at = rig, name, key
                    best[at] = least(best.get(at), measured(rigs[rig], model(name), intent, key))
    print(f"a loop of {LOOP:,} turns: {base:.1f} ms of CPU time")
    slow = False
    for rig, (called, *limits) in LIMITS.items():
        for place, (when, limit) in enumerate(zip(WHEN, limits, strict=True)):
            pick = max if when == "after one key" else min
            found = {name: pick(best[rig, name, key][place] for key in KEYS) for name in MODELS}
            median, worst = statistics.median(found.values()), max(found, key=found.__getitem__)
            slow |= median / base >= limit
            print(
                f"{called}, {when}: median {median:.1f} ms, {median / base:.1f} x (limit {limit:g} x); most {found[worst]:.1f} ms ({worst})"
            )
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())

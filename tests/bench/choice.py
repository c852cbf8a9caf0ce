"""`make bench-choice`: is the chosen plan as fast as the best of all that could be done, on cards of simulated bandwidth?

Pairs of rig and model that a seed draws (engine/speed_trials.py), every way to run them (engine/sweep.py), real llama-server
(engine/paced.py). Exits with 1 when a choice is below 97 % of the best, or below plain `llama-server`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine.paced import PacedRigs, Verdict
from engine.speed_trials import Pair, pair

WANTED = 0.97
NOISE = 0.01
"""Two measurements of one way differ by less."""


def described(seed: int, one: Pair, verdict: Verdict) -> str:
    """What came of a pair, with the fastest of the sweep."""
    if not verdict.chosen.measured.tok_s:
        return f"{seed}: {one}\n   the choice does not load: {verdict.chosen.measured.said}\n   {' '.join(verdict.chosen.way.arguments)}"
    of_plain = "does not load" if verdict.of_plain is None else f"{verdict.plain.measured.tok_s:.3f}"
    slack = "" if verdict.plain.measured.holds(one) else " (without the headroom)"
    off = max(abs(trial.off) for trial in (verdict.chosen, *verdict.others))
    figures = (
        f"chosen {verdict.chosen.measured.tok_s:.3f} tok/s, {verdict.share:.1%} of the best; plain {of_plain}{slack}; "
        f"slowest {verdict.others[-1].measured.tok_s:.3f}; {verdict.swept} ways, {len(verdict.others) + 1} measured, "
        f"at most {off:.1%} from bytes over bandwidth"
    )
    lines = [f"{seed}: {one}", f"   {figures}", f"   {' '.join(verdict.chosen.way.arguments)}"]
    if verdict.share < 1:
        lines.append(f"   best: {' '.join(verdict.others[0].way.arguments)}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what came of each pair, then how many choices are fast enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20, help="how many pairs of rig and model")
    parser.add_argument("--seed", type=int, default=1, help="of the first pair")
    parser.add_argument("--seconds", type=float, default=3600, help="stop after that long, with what there is")
    options = parser.parse_args(arguments)
    rigs, until = PacedRigs(), time.monotonic() + options.seconds
    found, slow, below, nothing = 0, 0, 0, 0
    for seed in range(options.seed, options.seed + options.pairs):
        if time.monotonic() > until:
            break
        verdict = rigs.judged(one := pair(seed))
        if verdict is None:
            nothing += 1
            continue
        found += 1
        slow += verdict.share < WANTED
        below += verdict.of_plain is not None and verdict.of_plain < 1 - NOISE
        print(described(seed, one, verdict), flush=True)
    print(f"{found} pairs ({nothing} more on which nothing fits): {slow} choices below {WANTED:.0%} of the best, {below} below plain --fit")
    return 1 if slow or below else 0


if __name__ == "__main__":
    sys.exit(main())

"""`make bench-room`: does what rigtui chooses load, with the headroom, and is there no more context to be had? Judged by real llama-server.

Exits with 1 when a plan is not borne out.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine.build_llamacpp import CACHE, llamacpp, virtual_gpus
from engine.choice_trials import chosen, objections, trial
from engine.virtual_rig import VirtualRig, describe
from nvml_stub import StubRig, build
from rigtui.planning.plan import Plan
from tools.make_gguf import model_file

OF_THIS_MACHINE = 0.6
"""Share of the memory that is free here which a plan's cache and buffers in RAM may take: they are real, the rig's RAM is not."""


def too_large(plan: Plan) -> bool:
    """Whether this machine cannot hold what `plan` has in RAM beside the weights, which are holes in a file."""
    return plan.host.kv_bytes + plan.host.compute_bytes > OF_THIS_MACHINE * psutil.virtual_memory().available


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per objection, then how many plans of each status there were and how many are borne out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="of the first trial")
    parser.add_argument("--seconds", type=float, default=3600, help="stop after that long, with what there is")
    parser.add_argument("--only", choices=("fits", "tight", "offload"), help="load only plans of this status")
    options = parser.parse_args(arguments)
    os.nice(5)
    home = llamacpp()
    library, stub = virtual_gpus(home), build(CACHE / "nvml_stub")
    plans: Counter[str] = Counter()
    borne_out: Counter[str] = Counter()
    left_out, until = 0, time.monotonic() + options.seconds
    for seed in range(options.seed, options.seed + options.trials):
        if time.monotonic() > until:
            break
        wish = trial(seed)
        with tempfile.TemporaryDirectory(prefix="rigtui-room-") as folder:
            shown = StubRig(Path(folder) / "nvml", stub, describe(wish.cards, compute=False, paced=False, ram_gb_s=0))
            rig = VirtualRig(Path(folder) / "rig", home, library, shown, wish.cards, 65536)
            path = model_file(wish.model, Path(folder))
            plan = chosen(rig, wish, path)
            if options.only not in (None, plan.status):
                continue
            if too_large(plan):
                left_out += 1
                continue
            against = objections(rig, wish, plan, path)
        plans[plan.status] += 1
        borne_out[plan.status] += not against
        for objection in against:
            print(f"{seed}: {wish}: {objection}", flush=True)
    for status, count in plans.items():
        print(f"{borne_out[status]:4} of {count:4} plans that are {status}" + ("" if status == "no_fit" else " are borne out"))
    if left_out:
        print(f"{left_out:4} plans left out: this machine has too little RAM for their caches")
    return 0 if borne_out == plans else 1


if __name__ == "__main__":
    sys.exit(main())

"""`make bench-choice`: is the chosen plan as fast as the best of all that could be done, on cards of simulated bandwidth?

For each pair of rig and model every way to run it is loaded by real llama-server and measured: each card alone, every order of the cards
with targets and with splits by hand, and layers in RAM. Models and bandwidths are scaled down together, so that simulated time dominates.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine.build_llamacpp import CACHE, llamacpp, virtual_gpus
from engine.virtual_rig import Card, VirtualRig, describe
from nvml_stub import StubRig, build
from rigtui.intent.intent import Intent, Overrides
from rigtui.intent.use_cases import use_case
from rigtui.models.gguf import read_gguf
from rigtui.planning.choose import choose
from rigtui.rig.rigfile import load
from tools.make_gguf import model_file

CONTEXT = 4096
TOKENS = 8
RAM_GB_S = 12.0
WANTED = 0.97
RIGS: dict[str, tuple[tuple[str, int, float], ...]] = {
    "fast-and-slow": (("Fast", 4300, 90), ("Slow", 6000, 30)),
    "three-unlike": (("Small", 2300, 100), ("Middle", 3300, 60), ("Large", 4300, 25)),
    "too-small": (("Fast", 2000, 90), ("Slow", 1500, 45)),
    "one-holds-it": (("Large", 7000, 60), ("Small", 2500, 70)),
    "alike": (("One", 3600, 60), ("Two", 3600, 60)),
}
"""Cards by name, free MiB and 10^9 bytes per second."""
MODELS = ("llama-3.1-8b-q4_k_m", "qwen2.5-7b-q4_k_m", "olmo-2-7b-q4_k_m", "deepseek-v2-lite-q4_k_m")


class Way(Struct, frozen=True):
    """One way to run it, and its speed."""

    arguments: tuple[str, ...]
    tok_s: float


def cards_of(name: str) -> list[Card]:
    """The rig's cards; half a GiB of each is somebody else's."""
    return [Card(name=card, total_mib=free + 512, free_mib=free, bandwidth_gb_s=speed) for card, free, speed in RIGS[name]]


def ways(count: int) -> Iterator[tuple[str, ...]]:
    """Everything that is swept, as llama-server's arguments."""
    names = [f"CUDA{index}" for index in range(count)]
    for name in names:
        yield ("-dev", name, "-sm", "none", "-fitt", "128")
    for size in range(2, count + 1):
        for order in itertools.permutations(names, size):
            device = ("-dev", ",".join(order))
            for raised in (128, 700, 1400, 2100):
                yield (*device, "-fitt", ",".join(["128"] * (size - 1) + [str(raised)]))
                yield (*device, "-fitt", ",".join([str(raised)] + ["128"] * (size - 1)))
            for first in (1, 3, 6):
                yield (*device, "-ts", ",".join([str(first)] + ["2"] * (size - 1)), "-fit", "off")


class Bench:
    """Real llama-server on virtual cards that take their time."""

    def __init__(self) -> None:
        self.home = llamacpp()
        self.library = virtual_gpus(self.home)
        self.stub = build(CACHE / "nvml_stub")

    def pair(self, rig_name: str, model_name: str, limit: int | None) -> tuple[float, list[Way]]:
        """The chosen plan's speed, and those of the sweep, fastest first."""
        cards = cards_of(rig_name)
        with tempfile.TemporaryDirectory(prefix="rigtui-choice-") as folder:
            stub = StubRig(Path(folder) / "nvml", self.stub, describe(cards, compute=False, paced=True, ram_gb_s=RAM_GB_S))
            rig = VirtualRig(Path(folder) / "rig", self.home, self.library, stub, cards, 65536)
            path = model_file(model_name, Path(folder))
            here = replace(load(rig.rig_file), ram_bandwidth_gb_s=RAM_GB_S)
            intent = Intent(use_case=use_case("chat"), overrides=Overrides(context=CONTEXT, kv_type=("f16", "f16")))
            plan = choose(here, read_gguf(path), intent, [])
            chosen = self.speed(rig, path, plan.command[3:])
            base = ("-c", str(CONTEXT), "-np", "1")
            swept = [Way(way, self.speed(rig, path, (*base, *way))) for way in itertools.islice(ways(len(cards)), limit)]
            rig.end()
        return chosen, sorted((way for way in swept if way.tok_s), key=lambda way: -way.tok_s)

    @staticmethod
    def speed(rig: VirtualRig, path: Path, arguments: Sequence[str]) -> float:
        """Tokens per second; 0 where it does not load."""
        with rig.serve(path, *arguments, "--no-warmup") as server:
            try:
                address = server.address
            except AssertionError:
                return 0.0
            body = json.dumps({"prompt": "a", "n_predict": TOKENS, "ignore_eos": True, "cache_prompt": False}).encode()
            request = urllib.request.Request(f"{address}/completion", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=300) as answer:
                return float(json.load(answer)["timings"]["predicted_per_second"])


def main() -> int:
    """Print a line per pair; the exit code is 1 when a choice is too slow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20, help="how many pairs of rig and model")
    parser.add_argument("--ways", type=int, default=None, help="at most so many ways per pair")
    args = parser.parse_args()
    bench, missed = Bench(), 0
    for rig_name, model_name in itertools.islice(itertools.product(RIGS, MODELS), args.pairs):
        chosen, swept = bench.pair(rig_name, model_name, args.ways)
        best, worst = swept[0], swept[-1]
        share = chosen / best.tok_s
        missed += share < WANTED
        print(
            f"{rig_name:14} {model_name:22} chosen {chosen:6.2f} tok/s, best of {len(swept)} {best.tok_s:6.2f} ({share:.1%}), "
            f"worst {worst.tok_s:.2f}; best: {' '.join(best.arguments)}",
            flush=True,
        )
    print(f"{missed} of the choices are below {WANTED:.0%} of the best")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

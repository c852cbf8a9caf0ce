"""What the command line costs to start, as a multiple of `python -c pass`. Run by `make bench`.

Runs take turns, so that a busy moment of the machine meets all of them, and the fastest of each counts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nvml_stub
from tools.make_gguf import sparse
from tools.specs import spec

RIGTUI = str(Path(sys.executable).with_name("rigtui"))
BARE = [sys.executable, "-c", "pass"]
MODEL_NAME = "large-vocabulary.gguf"
"""Made beside the stub library, which the commands run in."""
COMMANDS: dict[str, tuple[list[str], float]] = {
    "rigtui gpus --json": ([RIGTUI, "gpus", "--json"], 10.0),
    "rigtui plan (250,000 tokens of vocabulary)": ([RIGTUI, "plan", MODEL_NAME, "--json"], 30.0),
}
"""By what is printed: the command and how many times a bare interpreter it may cost."""


def measure(runs: int, env: dict[str, str], folder: Path) -> dict[str, float]:
    """The least seconds of each command, and of a bare interpreter under ""."""
    best: dict[str, float] = {}
    for _ in range(runs):
        for name, command in [("", BARE), *((name, command) for name, (command, _) in COMMANDS.items())]:
            started = time.perf_counter()
            subprocess.run(command, check=True, env=env, cwd=folder, stdout=subprocess.DEVNULL)
            best[name] = min(best.get(name, float("inf")), time.perf_counter() - started)
    return best


def main() -> int:
    """Print the ratios; 1 when one is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        stub = nvml_stub.StubRig(home / "nvml", nvml_stub.build(home), nvml_stub.MIXED)
        # Compiled code is kept, as on any machine that starts rigtui a second time.
        kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": f"{folder}/pycache"}
        sparse(home / MODEL_NAME, spec("llama-3.1-8b-q4_k_m") | {"vocabulary": 250_000}, merges=250_000)
        best = measure(runs + 1, {**os.environ, **stub.env, **kept, "HOME": folder}, home)
    bare = best[""]
    print(f"python -c pass: {bare * 1000:.1f} ms")
    slow = False
    for name, (_, limit) in COMMANDS.items():
        ratio = best[name] / bare
        slow |= ratio >= limit
        print(f"{name}: {best[name] * 1000:.1f} ms, {ratio:.1f} x (limit {limit:g} x)")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())

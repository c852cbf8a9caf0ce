"""What the screen costs and how quickly it answers: rigtui in a terminal over a stub of the driver's library. Run by `make bench-tui`.

The method and what every figure means stand in README.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nvml_stub
from bench.terminal import Terminal
from tools.make_gguf import sparse, tiny_llama
from tools.specs import NAMES, spec

CARDS, MODELS, LINES, LOG_S = 8, 200, 10_000, 10
PROGRAM = [sys.executable, str(Path(__file__).with_name("steady.py"))]
AS_INSTALLED = [str(Path(sys.executable).with_name("rigtui"))]
SETTLE_S = 20
"""Until the history beside every card is full."""
CARD = """card NVIDIA GeForce RTX 3090
  uuid GPU-{at:08d}-aaaa-bbbb-cccc-000000000001
  pci 00000000:{at:02x}:00.0
  cc 8.6
  total_mib 24576
  reserved_mib 400
  held_mib {held}
  display 0
  monitor 0
  utilization {busy} 3
  temperature {degrees}
  power_mw 35500
  power_limit_mw 350000
  pcie_generation 4 4
  pcie_width 16 16
  memory_clock 9751
  bus_width 384
"""
CARD_OF_A_FILE = """[[gpu]]
name = "NVIDIA GeForce RTX 3090"
total_mib = 24576
free_mib = 23000
runtime_mib = 400
"""
LEAST_TO_HALVE = 4096
"""Tokens of context that can be halved twice."""


class Bench:
    """A home folder with a stub rig, the figures so far, and whether one is above its limit."""

    def __init__(self, home: Path, seconds: int) -> None:
        self.home, self.seconds = home, seconds
        self.failed = False
        self._stub = nvml_stub.StubRig(home / "nvml", nvml_stub.build(home), rig_text())
        self._env = {**os.environ, **self._stub.env, "HOME": str(home), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        for name in [name for name in self._env if name.startswith(("XDG_", "TEXTUAL", "NO_COLOR", "HF_", "PYTHON"))]:
            del self._env[name]
        (home / "models").mkdir()
        tiny_llama(home / "models" / "tiny.gguf", name="tiny", context=8192)

    def figure(self, name: str, value: float, unit: str, limit: float) -> None:
        """Print a figure beside its limit."""
        over = value > limit
        self.failed |= over
        print(f"{name:<58} {value:>9,.2f} {unit:<5} (limit {limit:g} {unit}){'  ABOVE' if over else ''}", flush=True)

    @contextmanager
    def program(self, *arguments: str, **env: str) -> Iterator[Terminal]:
        """rigtui on its terminal, with its first plan."""
        terminal = Terminal([*PROGRAM, *arguments], {**self._env, **env})
        try:
            terminal.wait(lambda text: "KV cache" in text and re.search("[0-9] models?", text), "a plan")
            yield terminal
        finally:
            terminal.close()

    def move(self, seed: int) -> None:
        """Every card holds another amount, is busier or less, warmer or colder."""
        self._stub.write(rig_text(random.Random(seed)))

    def rest(self, name: str, most_cpu: float, most_bytes: float, *, moving: bool, **env: str) -> None:
        """CPU and bytes while nobody touches anything."""
        with self.program(**env) as terminal:
            self.move(0)
            time.sleep(SETTLE_S)
            cpu, sent, began = terminal.cpu_s(), terminal.bytes, time.monotonic()
            for turn in range(self.seconds):
                if moving:
                    self.move(turn)
                time.sleep(max(0.0, began + turn + 1 - time.monotonic()))
            took = time.monotonic() - began
            self.figure(f"{name}: share of a core", 100 * (terminal.cpu_s() - cpu) / took, "%", most_cpu)
            self.figure(f"{name}: to the terminal", (terminal.bytes - sent) / took, "B/s", most_bytes)

    def first_paint(self, runs: int = 15) -> None:
        """From the start of the process to the first picture, and a bare interpreter, in turns: both meet the slow moments."""
        bare = best = float("inf")
        for _ in range(runs):
            for _ in range(2):
                bare = min(bare, timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True, env=self._env)))
            terminal = Terminal(AS_INSTALLED, self._env)
            terminal.wait(lambda text: ("Models" in text and "launch" not in text) or "Plan" in text, "a picture")
            best = min(best, time.monotonic() - terminal.started)
            terminal.close()
        print(f"python -c pass: {1000 * bare:.1f} ms; first paint: {1000 * best:.0f} ms")
        self.figure("first paint, times a bare interpreter", best / bare, "x", 25)

    def many_models(self) -> None:
        """Keys while all models are derived."""
        kinds = [{**spec(name), "vocabulary": 1000} for name in NAMES[:20]]  # reading the words of 200 models is not what is measured
        for at in range(MODELS - 1):
            sparse(self.home / "models" / f"{at:03d}.gguf", {**kinds[at % len(kinds)], "name": f"m{at:03d}"})
        with self.program() as terminal:
            terminal.wait(lambda text: f"{MODELS} models" in text, "all models")
            began = time.monotonic()
            pauses = random.Random(1)
            for _ in range(MODELS // 2):
                terminal.keys("\x1b[B")
                time.sleep(pauses.uniform(0.02, 0.06))
            terminal.wait(lambda text: f"model     m{MODELS // 2:03d} " in text, "the 101st model after 100 keys down")
            waits = keyed(terminal, 40, pauses)
            self.figure(f"key to paint while {MODELS} models are derived, p95", 1000 * p95(waits), "ms", 100)
            terminal.keys("\x1b\x1b[F")
            terminal.wait(derived, "the last model derived")
            print(f"{MODELS} models derived in {time.monotonic() - began:.1f} s at most; 0 of {MODELS // 2} keys dropped")

    def other_plans(self) -> None:
        """Keys that ask for another plan: less context, less still, and as it was."""
        for at, name in enumerate(NAMES):
            sparse(self.home / "models" / f"{at:03d}.gguf", {**spec(name), "vocabulary": 1000, "name": f"m{at:03d}"})
        # A rig file's cards: the engine that is installed here may see none.
        rig = self.home / "rig.toml"
        rig.write_text("[rig]\nram_total_mib = 262144\nram_free_mib = 250000\n" + CARD_OF_A_FILE * CARDS)
        waits, pauses = [], random.Random(1)
        with self.program("--rig", str(rig)) as terminal:
            terminal.wait(lambda text: f"{len(NAMES) + 1} models" in text, "all models")
            terminal.keys("\x1b[F")
            terminal.wait(derived, "the last model derived")
            for at in range(len(NAMES)):
                terminal.keys("\x1b[H" if at == 0 else "\x1b[B")
                terminal.wait(lambda text, name=f"model     m{at:03d} ": name in text, "the next model")
                for key in "[[r" if int((planned_context(terminal.text) or "0").replace(",", "")) > LEAST_TO_HALVE else "":
                    time.sleep(pauses.uniform(0.02, 0.8))  # a quick key finds no other work, a slow one all models being derived
                    shown = planned_context(terminal.text)
                    began = time.monotonic()
                    terminal.keys(key)
                    terminal.wait(lambda text, shown=shown: planned_context(text) not in (None, shown), f"another plan after `{key}`")
                    waits.append(time.monotonic() - began)
        self.figure(f"key to redrawn plan on {CARDS} cards, p95 of {len(waits)}", 1000 * p95(waits), "ms", 100)
        print(f"median {1000 * statistics.median(waits):.0f} ms, most {1000 * max(waits):.0f} ms")


def planned_context(text: str) -> str | None:
    """The context that the plan on the screen names."""
    found = re.search(r"context +([0-9,]+) tokens", text)
    return found[1] if found else None


def rig_text(chance: random.Random | None = None) -> str:
    """The stub's rig; with `chance` everything on it moved."""
    cards = []
    for at in range(CARDS):
        held = 3000 + 200 * at if chance is None else chance.randint(2800, 3200) + 200 * at
        busy, degrees = (5, 40) if chance is None else (chance.randint(0, 99), chance.randint(38, 72))
        cards.append(CARD.format(at=at + 1, held=held, busy=busy, degrees=degrees))
    return nvml_stub.DRIVER + "".join(cards)


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(values, n=20)[-1]


def derived(text: str) -> bool:
    """Whether the last rows of the list have a status."""
    return bool(re.search(r"tiny.*\n.*(fits|tight|offload|no fit)", text))


def keyed(terminal: Terminal, count: int, chance: random.Random, opens: str = "/", empty: str = "filter:") -> list[float]:
    """Type into the line that a key opens and that says `empty` first; seconds from each key to the moment its letter stands there."""
    terminal.keys(opens)
    terminal.wait(lambda text: empty in text, "the filter")
    waits, typed = [], ""
    for at in range(count):
        letter = "abcdefgh"[at % 8]
        typed = typed + letter if len(typed) < 8 else letter
        if len(typed) == 1 and at:
            terminal.keys("\x15")
            terminal.wait(lambda text: empty in text, "an empty filter")
        began = time.monotonic()
        terminal.keys(letter)
        shown = f" {typed} "
        terminal.wait(lambda text, shown=shown: shown in text, f"`{typed}` in the filter")
        waits.append(time.monotonic() - began)
        time.sleep(chance.uniform(0.05, 0.25))
    return waits


def main() -> int:
    """Print the figures; 1 when one is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="how long each state of rest is watched")
    parser.add_argument("--only", default="", help="paint, still, moving, log, logpage, models or turning")
    options = parser.parse_args()
    parts: dict[str, Callable[[Bench], None]] = {
        "paint": Bench.first_paint,
        "still": lambda bench: bench.rest("8 cards, nothing moves", 1.5, 0, moving=False),
        "moving": lambda bench: bench.rest("8 cards, all of them move at 1 Hz", 1.5, 4000, moving=True),
        "moving256": lambda bench: bench.rest("the same in 256 colours", 1.5, 4000, moving=True, COLORTERM=""),
        "log": log_storm,
        "logpage": partial(log_storm, page=True),
        "models": Bench.many_models,
        "turning": Bench.other_plans,
    }
    failed = False
    for name, part in parts.items():
        if name.startswith(options.only):
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                bench = Bench(Path(folder), options.seconds)
                part(bench)
                failed |= bench.failed
    return 1 if failed else 0


def log_storm(bench: Bench, *, page: bool = False) -> None:
    """Keys while an engine says ten thousand lines a second, on the cockpit or on the page of the log, and what becomes of the lines."""
    os.environ.update({"HOME": str(bench.home)})
    for name in [name for name in os.environ if name.startswith("XDG_")]:
        del os.environ[name]
    from rigtui.engines.engine import Spawn
    from rigtui.runs import launch, watch
    from runs.support import a_request

    start = bench.home / "start"
    engine = (sys.executable, str(Path(__file__).with_name("talking_engine.py")), str(start), str(LINES), str(LOG_S))
    spawned = launch.launch(
        a_request(), lambda asked, port: Spawn(argv=engine, env={}, host=asked.host, port=port, model_name="tiny", weights_bytes=1 << 30)
    )
    try:
        with bench.program() as terminal:
            terminal.wait(lambda text: "loading" in text or "starting" in text, "the run")
            if page:
                terminal.keys("o")
                terminal.wait(lambda text: "Line" in text and "Esc back" in text, "the page of the log")
            opens, empty = ("f", "only lines with") if page else ("/", "filter:")
            before = terminal.resident_bytes()
            start.touch()
            began = time.monotonic()
            waits: list[float] = []
            while time.monotonic() - began < LOG_S:
                waits += keyed(terminal, 8, random.Random(len(waits)), opens, empty)
                terminal.keys("\x1b")
                terminal.wait(lambda text: empty not in text and " abcdefgh " not in text, "the filter closed")
            time.sleep(2)
            written = sum(1 for line in (spawned.directory / "engine.log").read_bytes().splitlines() if b"load_tensors" in line)
            self_bytes = (terminal.resident_bytes() - before) / (1 << 20)
            where = "on the log's page" if page else "in the cockpit"
            bench.figure(f"key to paint at {LINES:,} lines a second {where}, p95 of {len(waits)}", 1000 * p95(waits), "ms", 100)
            bench.figure("lines missing in the file", LINES * LOG_S - written, "", 0)
            bench.figure("memory grown by", self_bytes, "MiB", 32)
    finally:
        for run in watch.live_runs():
            watch.stop_and_wait(run, now=True)


if __name__ == "__main__":
    sys.exit(main())

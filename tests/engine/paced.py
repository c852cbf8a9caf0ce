"""Is what rigtui chooses as fast as the best that could be done? Tokens per second of real llama-server on cards that take as long as
their bandwidths say, one rig of its own per measurement.
"""

from __future__ import annotations

import json
import tempfile
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from engine.build_llamacpp import CACHE, llamacpp, virtual_gpus
from engine.speed_trials import Pair, Way, foreseen
from engine.sweep import ways
from engine.virtual_rig import LlamaServer, VirtualRig, describe
from nvml_stub import StubRig, build
from rigtui.planning.choose import choose
from rigtui.planning.plan import Plan
from rigtui.rig.rigfile import load
from rigtui.text import MIB
from tools.make_gguf import model, model_file

RAM_MIB = 196608
FILLED = 16
"""Tokens of the prompt: too few for experts to be copied to a card, for which somebody would have to compute which ones."""
TOKENS = 7
WORD = 1000
AT_A_TIME = 6
HEAD = 18
"""So many of the fastest ways are looked at, until enough of them hold."""
ENOUGH = 3
NO_FASTER = 0.985
"""A way that is expected to reach less than this of the chosen plan's speed need not be measured to know that it is not the best."""


@dataclass(frozen=True)
class Measured:
    """What the engine made of some arguments."""

    tok_s: float
    """0: it does not load."""
    left: tuple[int, ...]
    """Bytes free on every card of the rig."""
    said: str = ""
    """Its last words where it does not load."""

    def holds(self, pair: Pair) -> bool:
        """It loads, and leaves the headroom on every card."""
        return bool(self.tok_s) and all(left >= wanted for left, wanted in zip(self.left, pair.headroom, strict=True))


@dataclass(frozen=True)
class Trial:
    """One way of running it and what became of it."""

    way: Way
    measured: Measured

    @property
    def off(self) -> float:
        """How far the measured time per token is from what bytes over bandwidth give, as a share."""
        return 1 / (self.measured.tok_s * self.way.seconds) - 1


@dataclass(frozen=True)
class Verdict:
    """The chosen plan beside the others."""

    chosen: Trial
    plain: Trial
    """`llama-server` that is told what is wanted and nothing else."""
    others: tuple[Trial, ...]
    """Those that load and leave the headroom, fastest first."""
    swept: int
    """Ways that were put in order."""

    @property
    def best(self) -> float:
        """Tokens per second of the fastest that leaves the headroom."""
        return max(trial.measured.tok_s for trial in (self.chosen, *self.others))

    @property
    def share(self) -> float:
        """Of the best."""
        return self.chosen.measured.tok_s / self.best

    @property
    def of_plain(self) -> float | None:
        """Of the plain command; None where that does not load."""
        return self.chosen.measured.tok_s / self.plain.measured.tok_s if self.plain.measured.tok_s else None


class PacedRigs:
    """Real llama.cpp, and virtual cards for any pair. Several measurements may run at once: what takes time is waiting."""

    def __init__(self) -> None:
        self.home = llamacpp()
        self.library = virtual_gpus(self.home)
        self.stub = build(CACHE / "nvml_stub")

    def _rig(self, pair: Pair, folder: Path) -> VirtualRig:
        stub = StubRig(folder / "nvml", self.stub, describe(pair.cards, compute=False, paced=True, ram_gb_s=pair.ram_gb_s))
        return VirtualRig(folder / "rig", self.home, self.library, stub, pair.cards, RAM_MIB)

    def chosen(self, pair: Pair) -> Plan:
        """What rigtui would do."""
        with tempfile.TemporaryDirectory(prefix="rigtui-speed-") as folder:
            here = replace(load(self._rig(pair, Path(folder)).rig_file), ram_bandwidth_gb_s=pair.ram_gb_s)
        return choose(here, model(pair.model), pair.intent, [])

    def judged(self, pair: Pair) -> Verdict | None:
        """The chosen plan measured beside the plain command, the fastest ways that hold, and a middling and a slow one; None where
        nothing fits. What decides is measured twice, and the better counts: whatever else the machine does only adds.
        """
        plan = self.chosen(pair)
        if plan.status == "no_fit":
            return None
        asked = demand(plan)
        first = foreseen(pair, plan.command[3:])
        every = [way for way in ways(pair, asked, most=HEAD) if way.spread != first.spread]
        head = [way for way in every if way.seconds * NO_FASTER <= first.seconds][:HEAD]
        slower = [way for way in every if way not in head]
        plainly = foreseen(pair, asked)
        chosen, plain, *rest = self._tried(pair, [first, plainly, *slower[len(slower) // 2 :][:1], *slower[-1:]])
        held = [trial for trial in (plain, *rest) if trial.measured.holds(pair)]
        found = 0
        for begin in range(0, len(head), AT_A_TIME):
            if found >= ENOUGH:
                break
            now = [trial for trial in self._tried(pair, head[begin : begin + AT_A_TIME]) if trial.measured.holds(pair)]
            found += len(now)
            held += now
        held.sort(key=_speed, reverse=True)
        once = (chosen, plain, *held[:2])
        again = self._tried(pair, [trial.way for trial in once])
        chosen, plain, *fastest = (max(trials, key=_speed) for trials in zip(once, again, strict=True))
        return Verdict(chosen, plain, tuple(sorted([*fastest, *held[2:]], key=_speed, reverse=True)), len(every))

    def _tried(self, pair: Pair, tried: Sequence[Way]) -> list[Trial]:
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            return [
                Trial(way, found) for way, found in zip(tried, pool.map(lambda way: self.measure(pair, way.arguments), tried), strict=True)
            ]

    def measure(self, pair: Pair, arguments: Sequence[str]) -> Measured:
        """One load, and a few tokens after a prompt."""
        with tempfile.TemporaryDirectory(prefix="rigtui-speed-") as folder:
            rig = self._rig(pair, Path(folder))
            with rig.serve(model_file(pair.model, Path(folder)), *arguments, "--no-warmup") as server:
                try:
                    _ = server.address
                except AssertionError as ended:
                    return Measured(0.0, (), str(ended))
                left = tuple(card.free_mib * MIB - rig.allocated(index) for index, card in enumerate(rig.cards))
                return Measured(1 / _seconds(server), left)


def _speed(trial: Trial) -> float:
    return trial.measured.tok_s


def _seconds(server: LlamaServer) -> float:
    """Of a token, by the server's own clock: the mean of some, as a busy machine makes one late, and the rig the next one early."""
    body = {"prompt": [1] * FILLED, "n_predict": TOKENS, "ignore_eos": True, "cache_prompt": False}
    body |= {"stream": True, "timings_per_token": True, "samplers": ["top_k"], "top_k": 1}
    body |= {"logit_bias": [[WORD, 100]]}  # a whole word each time: parts of a letter would be kept back
    request = urllib.request.Request(f"{server.address}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        said = [json.loads(line[5:]) for line in answer if line.startswith(b"data:")]
    until = [one["timings"]["predicted_ms"] for one in said if not one["stop"]]
    assert len(until) > 1, f"no tokens: {said}\n{server.log[-1500:]}"
    return (until[-1] - until[0]) / (len(until) - 1) / 1000


def demand(plan: Plan) -> tuple[str, ...]:
    """What is wanted of the model, as arguments for any other way to run it."""
    words = plan.command
    options = [option for option in ("-c", "-np", "-b", "-ub", "-ctk", "-ctv") if option in words]
    return tuple(word for option in options for word in (option, words[words.index(option) + 1]))

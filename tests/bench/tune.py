"""`make bench-tune`: does tuning find what trying everything finds, in a quarter of its runs, on cards of simulated bandwidth?

For each pair of rig and model a profile is tuned as `rigtui tune` does it; then every other combination of the settings that the tuning
could have tried is run and measured in the same way. Plans that are the same to a measurement are run once, and of cards with which even
the best of `LOOKED_AT` plans is far from the best of all, no more are run.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal

import pynvml
from msgspec import Struct

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine.build_llamacpp import CACHE, llamacpp, virtual_gpus
from engine.virtual_rig import Card, VirtualRig, describe
from nvml_stub import StubRig, build
from rigtui.engines.llamacpp.builds import find
from rigtui.intent.intent import Intent, Overrides, UseCase, with_settings
from rigtui.models.gguf import read_gguf
from rigtui.planning.choose import choose
from rigtui.planning.outcomes import Trial
from rigtui.planning.remembered import described
from rigtui.planning.tuning import Prospect, Signature, combined, signature, value_of
from rigtui.planning.wants import batches, wants
from rigtui.rig.sampler import read_rig
from rigtui.runs import identity, memory, watch
from rigtui.runs.launch import launch
from rigtui.runs.results import load_results
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.state import LaunchRequest
from rigtui.runs.tune import Asked, Tuning
from tools.make_gguf import model_file

WANTED, SHARE = 0.97, 0.25
"""Of the sweep's best value, and of its runs."""
AGAIN = 2
"""The two best are measured so often again, and the best of each counts: a busy machine only ever makes a figure smaller."""
LOOKED_AT, HOPELESS = 3, 0.6
"""So many plans of the same cards in the same order, with the same cache, all with layers in RAM or none, are run in any case: the first,
the middle and the last. Where none has this share of the best value so far, the others, of other micro-batch and headroom, are not."""
Cards = tuple[tuple[str, int, float], ...]


def use_case(context: int, *kv_types: str, prefer: Literal["speed", "context"] = "speed") -> UseCase:
    """What is wanted."""
    return UseCase(name="bench", context=context, context_least=4096, kv_types=kv_types, prefer=prefer)


PAIRS: dict[str, tuple[Cards, str, UseCase, Overrides]] = {
    "near each other": ((("Large", 7000, 60), ("Small", 2500, 70)), "olmo-2-7b-q4_k_m", use_case(4096, "q8_0"), Overrides()),
    "experts": ((("Fast", 6000, 45), ("Slow", 6000, 15)), "deepseek-v2-lite-q4_k_m", use_case(16384, "f16"), Overrides()),
    "tight": ((("Fast", 3600, 90), ("Slow", 3000, 45)), "qwen2.5-7b-q4_k_m", use_case(32768, "q8_0", prefer="context"), Overrides()),
    "alike": ((("One", 3600, 60), ("Two", 3600, 60)), "llama-3.1-8b-q4_k_m", use_case(16384, "q8_0"), Overrides()),
    "three unlike": (
        (("Small", 2300, 100), ("Middle", 3300, 60), ("Large", 4300, 30)),
        "llama-3.1-8b-q4_k_m",
        use_case(16384, "q8_0"),
        Overrides(ubatch=512),
    ),
    "fast and slow": ((("Fast", 4300, 90), ("Slow", 6000, 30)), "llama-3.1-8b-q4_k_m", use_case(16384, "f16", "q8_0"), Overrides()),
}
"""Cards by name, free MiB and 10^9 bytes per second; the model; what is wanted of it; what the user has set."""


class Found(Struct, frozen=True, kw_only=True):
    """What a pair came to."""

    trials: int
    swept: int
    """Different plans that the settings span and that can be launched at all."""
    measured: int
    """Of them; the others are hopeless."""
    tuned: float
    best: float
    """Values of the best of each."""
    settings: Overrides
    best_settings: Overrides

    @property
    def holds(self) -> bool:
        """Near enough, and cheap enough."""
        return self.tuned >= WANTED * self.best and self.trials <= SHARE * self.swept


class Bench:
    """One profile on one virtual rig, in a home of its own."""

    def __init__(self, pair: str, folder: Path) -> None:
        cards, model, wanted, own = PAIRS[pair]
        for variable, below in (("HOME", ""), ("XDG_CONFIG_HOME", "config"), ("XDG_DATA_HOME", "data"), ("XDG_STATE_HOME", "state")):
            os.environ[variable] = str(folder / "home" / below)
        os.environ["XDG_CACHE_HOME"] = str(folder / "home" / "cache")
        home, library = llamacpp(), build(CACHE / "nvml_stub")
        made = [Card(name=name, total_mib=free + 512, free_mib=free, bandwidth_gb_s=speed, context_mib=100) for name, free, speed in cards]
        stub = StubRig(folder / "nvml", library, describe(made, compute=False, paced=True, ram_gb_s=12))
        self.rig = VirtualRig(folder / "rig", home, virtual_gpus(home), stub, made, 65536)
        os.environ.update(self.rig.env)
        pynvml.nvmlLib = ctypes.CDLL(str(library))
        pynvml._nvmlGetFunctionPointer_cache = {}
        self.asked = Asked(
            name="bench",
            model=read_gguf(model_file(model, folder)),
            intent=Intent(use_case=wanted, overrides=own),
            builds=tuple(find()[:1]),
        )

    def found(self, said: Callable[[str], None]) -> Found:
        """Tune, then try the rest."""
        tuning = Tuning(self.asked, read_rig)
        for trial in tuning.steps():
            said(f"  tuning {trial.value:8.2f}  {described(trial.settings)}")
        best = tuning.search().best
        assert best is not None, "no trial worked"
        values = {self._prospect(one.settings).signature: (one.value, one.settings) for one in tuning.trials() if not one.outdated}
        trials, mine = len(tuning.trials()), self._prospect(best).signature
        spanned = self._spanned(tuning)
        for group in self._groups(spanned):
            apart = [group[0], group[-1], group[len(group) // 2]]
            for key in dict.fromkeys([*apart, *group]):
                here = [values[one][0] for one in group if one in values]
                hopeless = len(here) >= LOOKED_AT and max(here) < HOPELESS * max(value for value, _ in values.values())
                if key in values or hopeless:
                    continue
                values[key] = (self._measured(spanned[key]), spanned[key])
                said(f"  sweep  {values[key][0]:8.2f}  {described(spanned[key])}")
        top = max(values, key=lambda key: values[key][0])
        if top != mine:
            for key in (top, mine) * AGAIN:
                value, settings = values[key]
                values[key] = (max(value, self._measured(settings)), settings)
        return Found(
            trials=trials,
            swept=len(spanned.keys() | values.keys()),
            measured=len(values),
            tuned=values[mine][0],
            best=values[top][0],
            settings=values[mine][1],
            best_settings=values[top][1],
        )

    def _spanned(self, tuning: Tuning) -> dict[Signature, Overrides]:
        """Every different plan that the tuning's axes span and that fits, with settings that lead to it."""
        found: dict[Signature, Overrides] = {}
        for values in itertools.product(*(axis.values for axis in tuning.axes)):
            settings = Overrides()
            for axis, value in zip(tuning.axes, values, strict=True):
                settings = combined(settings, axis.name, value)
            prospect = self._prospect(settings)
            if prospect.plan.status != "no_fit":
                found.setdefault(prospect.signature, settings)
        return found

    def _groups(self, spanned: dict[Signature, Overrides]) -> list[list[Signature]]:
        """Plans that differ in micro-batch and headroom alone are together, none with layers in RAM beside one without."""
        groups: dict[object, list[Signature]] = {}
        for key, settings in spanned.items():
            plan = self._prospect(settings).plan
            group = tuple(device.uuid for device in plan.devices), plan.kv_type, plan.status == "offload"
            groups.setdefault(group, []).append(key)
        return list(groups.values())

    def _prospect(self, settings: Overrides) -> Prospect:
        intent = with_settings(self.asked.intent, settings)
        plan = choose(read_rig(), self.asked.model, intent, self.asked.builds, lessons=memory.lessons())
        return Prospect(plan, signature(plan, batches(intent, ())))

    def _measured(self, settings: Overrides) -> float:
        """The value of a run with these settings, as a trial would have it."""
        asked = self.asked
        request = LaunchRequest(
            plan=self._prospect(settings).plan,
            intent=asked.intent,
            build=asked.builds[0],
            model=asked.model.name,
            profile=asked.name,
            fingerprint=asked.model.fingerprint,
            trial=Trial(tuning="sweep", settings=settings),
            owner=(os.getpid(), identity.start_time(os.getpid()) or 0),
            attempts=1,
        )
        launched = launch(request)
        for change in watch.follow(RunDirectory(launched.directory), log_offset=None):
            if change.state is not None and change.state.phase == "ready" and not change.state.measuring:
                watch.stop_and_wait(change.state)
        (run,) = [run for run in load_results(asked.name) if run.run == launched.state.run]
        return value_of(run.attempt[-1], wants(asked.model, asked.intent), asked.intent)


def tuned_and_swept(name: str, show: bool) -> Found:
    """One pair; in a process of its own, since NVML shows a process one rig only."""
    with tempfile.TemporaryDirectory(prefix="rigtui-tune-") as folder:
        bench = Bench(name, Path(folder))
        try:
            return bench.found(lambda line: print(line, flush=True) if show else None)
        finally:
            for state in watch.live_runs():
                watch.stop_and_wait(state, now=True)
            bench.rig.end()


def main() -> int:
    """Print a line per pair; the exit code is 1 when a tuning missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="pairs whose name has this")
    parser.add_argument("--show", action="store_true", help="every run and its value")
    args = parser.parse_args()
    missed = 0
    for name in (name for name in PAIRS if args.only in name):
        began = time.monotonic()
        with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as alone:
            found = alone.submit(tuned_and_swept, name, args.show).result()
        missed += not found.holds
        print(
            f"{name:20} {found.trials} of {found.swept} plans tried ({found.trials / found.swept:.0%}), {found.measured} run, "
            f"best {found.tuned:.2f}, of all {found.best:.2f} ({found.tuned / found.best:.1%}): "
            f"{described(found.settings)} / {described(found.best_settings)}  [{time.monotonic() - began:.0f} s]",
            flush=True,
        )
    print(f"{missed} of the tunings miss {WANTED:.0%} of the best in {SHARE:.0%} of the runs")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

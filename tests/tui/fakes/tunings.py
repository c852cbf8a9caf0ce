"""Trials made by hand, and a tuning that ends when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rigtui.intent.intent import Overrides
from rigtui.runs.state import RunState
from rigtui.runs.tune import TrialResult
from rigtui.tui.services import TuningView
from tui.fakes.runs import run_state


def trial(settings: Overrides, decode: float | None, prefill: float = 1204.0) -> TrialResult:
    """A trial of the profile writer; None: it failed."""
    return TrialResult(
        run=f"t{decode}",
        settings=settings,
        value=decode * 1.6 if decode else 0.0,
        ttft_s=0.84 if decode else None,
        prefill_tok_s=prefill if decode else None,
        decode_tok_s=decode,
        graph_splits=3 if decode else None,
        context=65536,
        failure=None if decode else "out_of_vram",
    )


TRIALS = (
    trial(Overrides(), 34.2),
    trial(Overrides(gpus=("GPU-0", "GPU-1")), 36.8),
    trial(Overrides(gpus=("GPU-0", "GPU-1"), ubatch=1024, fit_target_mib=(2048,)), 37.4, 1530.0),
    trial(Overrides(gpus=("GPU-0", "GPU-1"), ubatch=2048), None),
)


class FakeTuner:
    """A tuning whose trials end when the test says so."""

    def __init__(self) -> None:
        self.done = 0
        self.gate = threading.Semaphore(0)
        """One release: one trial is over."""
        self.engine = False
        """Whether a trial's engine runs."""
        self.saved: list[Overrides] = []

    def look(self) -> TuningView:
        tried = TRIALS[: self.done]
        worked = [one for one in tried if one.value]
        return TuningView(
            axes=("gpus", "ubatch", "fit_target_mib"),
            limit=6,
            trials=tried,
            best=max(worked, key=lambda one: one.value).settings if worked else None,
            following=TRIALS[self.done].settings if self.done < len(TRIALS) else None,
            cards={"GPU-0": "GPU 0", "GPU-1": "GPU 1"},
        )

    def run(self, told: Callable[[TuningView], object], watching: Callable[[RunState], object], given_up: Callable[[], bool]) -> None:
        told(self.look())
        while self.done < len(TRIALS):
            self.engine = True
            watching(run_state("t", "loading", profile="writer", trial=True))
            while not self.gate.acquire(timeout=0.02):
                if given_up():
                    self.engine = False
                    return
            self.done += 1
            self.engine = False
            told(self.look())

    def save(self) -> str:
        best = self.look().best
        assert best is not None
        self.saved.append(best)
        return "/config/profiles/writer.toml"

"""Tuning with real llama-server on cards as fast as their bandwidths say: broken off, gone on with, and kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.virtual_rig import Card, VirtualRig
from rigtui.paths import config_dir
from rigtui.runs import ports, watch
from runs.support import first_port, wait_until
from tools.make_gguf import model_file

FAST = Card(name="NVIDIA GeForce RTX 3070", total_mib=8192, free_mib=4200, bandwidth_gb_s=448, context_mib=200)
SLOW = Card(name="NVIDIA GeForce RTX 2060", total_mib=6144, free_mib=4200, bandwidth_gb_s=112, context_mib=200)
Make = Callable[..., VirtualRig]


@pytest.fixture
def profile(virtual_rig: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A profile that leaves cards and micro-batch open, on a pair of cards that it needs both."""
    virtual_rig([SLOW, FAST], compute=False, paced=True, ram_gb_s=20)
    monkeypatch.setattr(ports, "FIRST_PORT", first_port())
    model = model_file("llama-3.1-8b-q4_k_m", tmp_path)
    path = config_dir() / "profiles" / "pair.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'[profile]\nname = "pair"\nmodel = "{model}"\n[overrides]\ncontext = 4096\nkv_type = "f16"\n')
    yield "pair"
    for state in watch.live_runs():
        watch.stop_and_wait(state, now=True)


def tune(*words: str) -> Any:
    done = subprocess.run([sys.executable, "-m", "rigtui", "tune", "pair", "--json", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def results() -> list[dict[str, Any]]:
    done = subprocess.run([sys.executable, "-m", "rigtui", "results", "pair", "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["runs"]  # type: ignore[no-any-return]


def measured() -> list[dict[str, Any]]:
    return [run for run in results() if run["attempt"][-1]["decode_tok_s"]]


def begun() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "rigtui", "tune", "pair"], stderr=subprocess.DEVNULL, start_new_session=True)


def test_a_tuning_is_broken_off_goes_on_and_its_best_is_what_runs_next(profile: str) -> None:
    first = begun()
    wait_until(measured, "the first trial is measured")
    wait_until(lambda: len(results()) > len(measured()) or first.poll() is not None or watch.live_runs(), "the second has begun")
    first.send_signal(signal.SIGINT)
    assert first.wait(60) == 130
    assert not watch.live_runs(), "no engine is left"
    before = measured()

    said = tune()
    kept = {run["run"] for run in before}
    assert kept <= {trial["run"] for trial in said["trials"]}, "what was measured is not measured again"
    settings = [json.dumps(trial["settings"], sort_keys=True) for trial in said["trials"]]
    assert len(set(settings)) == len(settings)
    best = max(said["trials"], key=lambda trial: trial["value"])
    own = next(trial for trial in said["trials"] if trial["settings"] == {})
    assert best["value"] >= own["value"]
    assert best["value"] <= 1.02 * next(trial["value"] for trial in said["trials"] if trial["settings"] == said["best"])
    assert [run["run"] for run in results() if run["chosen"]] == [
        trial["run"] for trial in said["trials"] if trial["settings"] == said["best"]
    ]
    assert not watch.live_runs()

    plan = json.loads(subprocess.run([sys.executable, "-m", "rigtui", "plan", profile, "--json"], capture_output=True, check=True).stdout)
    assert plan["basis"] == "remembered"
    assert plan["expected"]["basis"] == "measured"
    assert ("tuned" in {reason["code"] for reason in plan["reasons"]}) == bool(said["best"])
    assert tune()["trials"] == said["trials"], "there is nothing left to try"


@pytest.mark.parametrize(
    ("phase", "number", "code"),
    [
        ("starting", signal.SIGINT, 130),
        ("loading", signal.SIGTERM, 143),
        ("ready", signal.SIGTERM, 143),
        ("stopping", signal.SIGINT, 130),
    ],
)
def test_no_engine_is_left_by_a_tuning_that_is_broken_off_at_any_moment(
    profile: str, phase: str, number: signal.Signals, code: int
) -> None:
    first = begun()
    wait_until(lambda: any(run.phase == phase for run in watch.live_runs()), f"a trial is {phase}")
    first.send_signal(number)
    assert first.wait(60) == code
    assert not watch.live_runs(), "no engine is left"


def test_a_killed_tuning_leaves_no_engine(profile: str) -> None:
    first = begun()
    (state,) = wait_until(lambda: [run for run in watch.live_runs() if run.pid is not None], "an engine runs")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    wait_until(lambda: not watch.live_runs(), "its supervisor ends the trial")
    assert state.profile == profile

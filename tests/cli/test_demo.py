"""The demo, end to end on the embedded engine."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import psutil
import pytest

from rigtui.paths import data_dir
from rigtui.runs import watch
from runs.support import wait_until

pytestmark = pytest.mark.engine


def test_headless_demo_measures_a_real_model_and_leaves_nothing_behind(home: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "rigtui", "demo", "--headless"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "simulated" in done.stdout
    section = done.stdout[done.stdout.index("[rigtui-demo]") :]
    assert "FIT_TARGET=128" in section
    results = tomllib.loads((data_dir() / "results" / "rigtui-demo.toml").read_text())
    run = results["run"][-1]
    assert run["simulated"] is True
    assert run["attempt"][-1]["decode_tok_s"] > 0
    # The supervisor has written its last word and is on its way out.
    wait_until(lambda: not left_behind(home), f"nothing left: {left_behind(home)}")


@pytest.mark.parametrize("phase", ["starting", "ready"])
def test_a_demo_that_is_terminated_leaves_nothing_behind(home: Path, phase: str) -> None:
    demo = subprocess.Popen([sys.executable, "-m", "rigtui", "demo", "--headless"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with demo:
        wait_until(lambda: demo.poll() is not None or any(run.phase == phase for run in watch.live_runs()), f"its run is {phase}")
        demo.terminate()
        assert demo.wait(60) == 143
    assert not watch.live_runs()
    wait_until(lambda: not left_behind(home), f"nothing left: {left_behind(home)}")


def left_behind(home: Path) -> list[list[str]]:
    """The commands of rigtui's processes that still run with this home."""
    found = psutil.process_iter(["environ", "cmdline", "status"])
    running = [p.info for p in found if p.info["status"] != psutil.STATUS_ZOMBIE and (p.info["environ"] or {}).get("HOME") == str(home)]
    return [info["cmdline"] for info in running if "rigtui" in " ".join(info["cmdline"] or ())]

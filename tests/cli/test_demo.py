"""The demo, end to end on the embedded engine."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import psutil
import pytest

from rigtui.paths import data_dir

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
    left = [p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get("HOME") == str(home)]
    assert [p.cmdline() for p in left if "rigtui" in " ".join(p.cmdline())] == []

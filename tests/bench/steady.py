"""rigtui on a machine whose RAM stands still: what other programs do must not show up in a bench of the screen."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

_MEMORY = psutil.virtual_memory()
psutil.virtual_memory = lambda: _MEMORY

from rigtui.cli.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())

"""Draws docs/screenshot.svg: the screen itself, on a rig of the tests and files with the shapes of real models.

`make screenshot`
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from rigtui.tui.screenshot import main as take_picture  # noqa: E402
from tools.make_gguf import model_file  # noqa: E402
from tools.specs import NAMES  # noqa: E402

PICTURE = TESTS.parent / "docs" / "screenshot.svg"
RIG = TESTS / "rigs" / "desk-4090-5070ti.toml"
DENSE_AND_SPARSE = ("gemma-3-27b", "gpt-oss-20b", "llama-3.1-8b", "llama-3.3-70b", "qwen3-30b-a3b", "qwen3-32b")


def main() -> int:
    """Draw it in a home of its own: nobody's settings, runs and models are in it."""
    with tempfile.TemporaryDirectory() as folder:
        for name in [name for name in os.environ if name.startswith(("XDG_", "TEXTUAL", "HF_")) or name in ("NO_COLOR", "COLORTERM")]:
            del os.environ[name]
        os.environ["HOME"] = folder
        models = Path(folder) / "models"
        models.mkdir()
        for name in NAMES:
            if name.startswith(DENSE_AND_SPARSE):
                model_file(name, models)
        return take_picture([str(PICTURE), "--rig", str(RIG), "--models", str(models), "--size", "120x36", "--keys", "end"])


if __name__ == "__main__":
    sys.exit(main())

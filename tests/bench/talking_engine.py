"""An engine that talks and never gets ready: `talking_engine.py START LINES SECONDS`, LINES lines a second once the file START is there."""

from __future__ import annotations

import sys
import time
from pathlib import Path

SLICES = 50
"""Writes a second."""


def main() -> None:
    """Talk."""
    start, lines, seconds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    while not start.exists():
        time.sleep(0.02)
    began, at = time.monotonic(), 0
    for turn in range(1, seconds * SLICES + 1):
        upto = lines * turn // SLICES
        sys.stderr.write("".join(f"0.{number:09d} load_tensors: layer {number} assigned\n" for number in range(at, upto)))
        sys.stderr.flush()
        at = upto
        time.sleep(max(0.0, began + turn / SLICES - time.monotonic()))
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()

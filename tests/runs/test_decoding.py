"""Many threads read into the same types for the first time: the program lives."""

from __future__ import annotations

import subprocess
import sys

THREADS = """
import sys, threading
from typing import Optional
import msgspec
from rigtui.decoding import known

sys.setswitchinterval(1e-6)
for _ in range(300):
    inner = msgspec.defstruct("Inner", [(f"f{i}", Optional[int], None) for i in range(40)])
    outer = msgspec.defstruct("Outer", [(f"g{i}", Optional[inner], None) for i in range(8)])
    go = threading.Barrier(4)

    def read():
        go.wait()
        msgspec.json.decode(b'{"g7": {"f39": 1}}', type=known(outer))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_threads_that_read_into_a_type_for_the_first_time_at_once_do_not_end_the_program() -> None:
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

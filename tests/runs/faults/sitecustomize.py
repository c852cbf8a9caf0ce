"""Python imports this by itself when its folder is on PYTHONPATH: faults of a machine, put into every process that a test starts.

RIGTUI_TEST_NODE     the name of the machine
RIGTUI_TEST_CLOCK    "jumps": the wall clock goes back and forth by a day, every look another way
RIGTUI_TEST_DISK     FOLDER:BYTES: what lies below FOLDER may have so many bytes in all
"""

import errno
import os
import time
from pathlib import Path

if node := os.environ.get("RIGTUI_TEST_NODE"):
    _uname = os.uname

    def _named():
        real = _uname()
        return os.uname_result((real.sysname, node, real.release, real.version, real.machine))

    os.uname = _named

if os.environ.get("RIGTUI_TEST_CLOCK") == "jumps":
    _time, _looks = time.time, [0]

    def _jumping():
        _looks[0] += 1
        return _time() + (-86400, 0, 86400)[_looks[0] % 3]

    time.time = _jumping

if disk := os.environ.get("RIGTUI_TEST_DISK"):
    _folder, _, _size = disk.rpartition(":")
    _fsync = os.fsync

    def _bounded(descriptor):
        used = sum(path.stat().st_size for path in Path(_folder).rglob("*") if path.is_file())
        if used > int(_size):
            raise OSError(errno.ENOSPC, "No space left on device")
        _fsync(descriptor)

    os.fsync = _bounded

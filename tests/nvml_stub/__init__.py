"""A stub of NVIDIA's driver library for tests: `build` compiles it, a `StubRig` is the rig it shows (format: rig_state.h)."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("nvml_stub.c")
_STATE = Path(__file__).with_name("rig_state.h")
LIBRARY = "libnvidia-ml.so.1"

RTX_4090 = """\
card NVIDIA GeForce RTX 4090
  uuid GPU-11111111-aaaa-bbbb-cccc-000000000001
  pci 00000000:01:00.0
  cc 8.9
  total_mib 24564
  reserved_mib 412
  held_mib 12
  display 0
  monitor 0
  utilization 12 3
  temperature 41
  power_mw 35500
  power_limit_mw 450000
  pcie_generation 1 4
  pcie_width 16 16
  memory_clock 10501
  bus_width 384
"""
RTX_5070_TI = """\
card NVIDIA GeForce RTX 5070 Ti
  uuid GPU-22222222-aaaa-bbbb-cccc-000000000002
  pci 00000000:41:00.0
  cc 12.0
  total_mib 16303
  reserved_mib 303
  held_mib 20
  display 1
  monitor 1
  utilization 2 1
  temperature 38
  power_mw 21000
  power_limit_mw 300000
  pcie_generation 5 5
  pcie_width 4 16
  memory_clock 14001
  bus_width 256
"""
DRIVER = "driver 580.95.05\ncuda 13000\n"
MIXED = DRIVER + RTX_4090 + RTX_5070_TI
"""A 4090, and a 5070 Ti in a slot of four lanes that drives the desktop. Nobody holds memory on them."""


def build(folder: Path) -> Path:
    """The compiled library below `folder`; compiled once per version of its sources, however many processes ask."""
    source = _SOURCE.read_bytes() + _STATE.read_bytes()
    library = folder / hashlib.sha256(source).hexdigest()[:16] / LIBRARY
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        temporary = library.with_name(f"{LIBRARY}.{os.getpid()}")
        subprocess.run(
            ["gcc", "-std=gnu11", "-O1", "-shared", "-fPIC", f"-Wl,-soname,{LIBRARY}", "-o", temporary, _SOURCE, "-lpthread"], check=True
        )
        temporary.replace(library)
    return library


class StubRig:
    """The rig that the stub shows: a directory that may change while programs read it."""

    def __init__(self, directory: Path, library: Path, text: str) -> None:
        self.directory = directory
        self.library = library
        (directory / "processes").mkdir(parents=True)
        self.write(text)

    @property
    def env(self) -> dict[str, str]:
        """What a child process needs in its environment to see this rig."""
        return {"LD_LIBRARY_PATH": str(self.library.parent), "RIGTUI_NVML_STUB": str(self.directory)}

    def write(self, text: str) -> None:
        """Show another rig from now on."""
        self._replace(self.directory / "rig.txt", text)

    def hold(self, pid: int, card: int | str, mib: int, kind: str = "compute") -> None:
        """The live process `pid` holds `mib` on `card` (index or UUID) from now on, and nothing else."""
        self._replace(self.directory / "processes" / str(pid), f"{card} {kind} {mib}\n")

    def release(self, pid: int) -> None:
        """The process `pid` holds nothing any more."""
        (self.directory / "processes" / str(pid)).unlink(missing_ok=True)

    @staticmethod
    def _replace(path: Path, text: str) -> None:
        # The stub reads at any moment: a name that is no number is not a process to it.
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)

"""What a plan leaves on a card, and what an engine takes there before it allocates anything. Pure, the same for every engine."""

from __future__ import annotations

from rigtui.rig.rig import Gpu, Rig
from rigtui.text import GIB, MIB

HEADROOM_DEDICATED = 128 * MIB
HEADROOM_DISPLAY = 1024 * MIB
"""A desktop grows after the load: browsers and compositors take what they find."""
RUNTIME = 450 * MIB
"""CUDA context of a bare engine process, until it is observed on the card."""
RUNTIME_WSL = GIB
"""Under WSL the engine sees about 1 GiB less than NVML does."""
SYSTEM_RAM = 2 * GIB
"""RAM that is left to everything else."""


def drives_display(gpu: Gpu) -> bool:
    """Whether a desktop lives on this card; where the driver does not say, desktop memory on it is the sign."""
    return gpu.display if gpu.display is not None else bool(gpu.desktop_bytes)


def headroom_bytes(gpu: Gpu) -> int:
    """VRAM that a plan wants to leave free on a card."""
    return HEADROOM_DISPLAY if drives_display(gpu) else HEADROOM_DEDICATED


def runtime_bytes(gpu: Gpu, rig: Rig) -> int:
    """What an engine's own runtime takes on a card."""
    if gpu.runtime_bytes is not None:
        return gpu.runtime_bytes
    return RUNTIME_WSL if rig.platform == "wsl2" else RUNTIME

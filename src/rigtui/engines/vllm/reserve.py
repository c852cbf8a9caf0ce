"""What a vLLM plan leaves free on a card. Pure.

vLLM takes its whole share at the start and grows a little while it serves (NCCL, graphs, kernels loaded late), so it leaves more than
llama.cpp, whose buffers are all there at once.
"""

from __future__ import annotations

from rigtui.planning.reserve import drives_display
from rigtui.rig.rig import Gpu
from rigtui.text import GIB

HEADROOM_DEDICATED = GIB
HEADROOM_DISPLAY = 2 * GIB


def headroom_bytes(gpu: Gpu) -> int:
    """VRAM that stays free beside vLLM's share."""
    return HEADROOM_DISPLAY if drives_display(gpu) else HEADROOM_DEDICATED

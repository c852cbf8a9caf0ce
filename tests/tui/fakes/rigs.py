"""Rigs made by hand: two cards, eight, none, under WSL, with everyone who holds memory on them."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from rigtui.rig.rig import Gpu, GpuProcess, Rig
from rigtui.text import MIB


def gpu(index: int, name: str, total: int, free: int, **more: Any) -> Gpu:
    """A card; sizes in MiB, also those in `more` that end in `_mib`."""
    sizes = {key.replace("_mib", "_bytes"): value * MIB for key, value in more.items() if key.endswith("_mib")}
    rest = {key: value for key, value in more.items() if not key.endswith("_mib")}
    return Gpu(
        index=index, name=f"NVIDIA GeForce {name}", uuid=f"GPU-{index}", total_bytes=total * MIB, free_bytes=free * MIB, **sizes, **rest
    )


def two_cards(**more: Any) -> Rig:
    """A 4090 and a 5070 Ti that drives the desktop."""
    cards = (
        gpu(0, "RTX 4090", 24564, 23700, reserved_mib=464, others_mib=400, temperature_c=41, utilization=12),
        gpu(
            1,
            "RTX 5070 Ti",
            16303,
            12800,
            reserved_mib=403,
            desktop_mib=2900,
            others_mib=200,
            display=True,
            temperature_c=38,
            utilization=2,
        ),
    )
    return Rig(
        name="mixed-rig",
        platform="linux",
        gpus=cards,
        driver="580.95",
        cuda="13.0",
        ram_total_bytes=64000 * MIB,
        ram_free_bytes=51000 * MIB,
        **more,
    )


def busy_cards() -> Rig:
    """The two cards with everyone who holds memory on them by name."""
    rig = two_cards()
    first = (GpuProcess(pid=4102, name="ollama", kind="compute", bytes=8200 * MIB),)
    second = (
        GpuProcess(pid=1201, name="gnome-shell", kind="graphics", bytes=900 * MIB),
        GpuProcess(pid=2210, name="firefox", kind="graphics", bytes=2000 * MIB),
        GpuProcess(pid=3055, name="python3 ComfyUI/main.py", kind="compute", bytes=200 * MIB),
    )
    cards = (
        replace(rig.gpus[0], processes=first, others_bytes=8200 * MIB, free_bytes=15900 * MIB),
        replace(rig.gpus[1], processes=second),
    )
    return replace(rig, gpus=cards)


def wsl_rig() -> Rig:
    """One 4090 under WSL: what Windows holds is unknown."""
    card = gpu(0, "RTX 4090", 24564, 21000, reserved_mib=464, unknown_mib=3100, temperature_c=44, utilization=5)
    return Rig(
        name="wsl-desk",
        platform="wsl2",
        gpus=(card,),
        driver="581.15",
        cuda="13.0",
        ram_total_bytes=32000 * MIB,
        ram_free_bytes=27000 * MIB,
    )


def no_gpu_rig() -> Rig:
    """A machine without a card."""
    return Rig(
        name="mini-pc",
        platform="linux",
        ram_total_bytes=32000 * MIB,
        ram_free_bytes=26500 * MIB,
        cpu_name="AMD Ryzen 7 8845HS",
        problem="this machine has no NVIDIA card",
    )


def eight_cards() -> Rig:
    """Eight equal cards, one of them lost."""
    cards = [gpu(at, "RTX 3060", 12288, 11910, reserved_mib=378, temperature_c=40 + at, utilization=0) for at in range(8)]
    cards[5] = Gpu(
        index=5, name="NVIDIA GeForce RTX 3060", uuid="GPU-5", error="the card fell off the bus: shut the machine down and check its riser"
    )
    return Rig(
        name="mining-frame",
        platform="linux",
        gpus=tuple(cards),
        driver="580.95",
        cuda="13.0",
        ram_total_bytes=64000 * MIB,
        ram_free_bytes=60000 * MIB,
    )

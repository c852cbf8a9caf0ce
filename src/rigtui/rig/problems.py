"""What the driver's errors mean, each in one sentence that says what to do.

Codes are those of nvml.h (nvmlReturn_t).
"""

from __future__ import annotations

from pathlib import Path

from rigtui.rig.host import ROOT, read_text
from rigtui.rig.rig import Platform
from rigtui.text import clean

_UNINITIALIZED, _NO_PERMISSION, _DRIVER_NOT_LOADED, _LIBRARY_NOT_FOUND = 1, 4, 9, 12
_GPU_IS_LOST, _RESET_REQUIRED, _VERSION_MISMATCH = 15, 16, 18

HANDLE_GONE = (_UNINITIALIZED, _DRIVER_NOT_LOADED, _VERSION_MISMATCH)
"""After these nothing can be asked until NVML is opened again."""
CARD_GONE = (_GPU_IS_LOST, _RESET_REQUIRED)
"""After these this card cannot be asked; the others can."""

_CARD_ERRORS = {
    _NO_PERMISSION: "the driver refuses access to this card: give your user, or this container, its /dev/nvidia device",
    _GPU_IS_LOST: "the card fell off the bus: shut the machine down and check the card's power cables, riser and slot",
    _RESET_REQUIRED: "the card hangs and needs a reset: stop its programs and run `sudo nvidia-smi --gpu-reset`, or reboot",
}
_LINUX_ERRORS = {
    _DRIVER_NOT_LOADED: "the NVIDIA driver is installed but not loaded: run `sudo modprobe nvidia`, or reboot if it was just updated",
    _VERSION_MISMATCH: "the NVIDIA library and the loaded kernel driver have different versions, as after an update: reboot",
    _NO_PERMISSION: "no permission to use the NVIDIA driver: give your user access to /dev/nvidia*, or the container its GPUs (--gpus all)",
}
_WSL_ERRORS = {
    _DRIVER_NOT_LOADED: "the NVIDIA driver in Windows does not answer: update it there, then run `wsl --shutdown` and open WSL again",
    _VERSION_MISMATCH: "the NVIDIA library in WSL does not match the driver in Windows: run `wsl --shutdown` in Windows and open WSL again",
    _NO_PERMISSION: "no permission to use the NVIDIA driver: your user needs access to /dev/dxg",
}
_NVIDIA = "0x10de"
_AMD = "0x1002"
_DISPLAY_CLASS = "0x03"


def card_error(code: int, text: str) -> str:
    """Why one card cannot be read; `text` is NVML's own word for `code`."""
    return _CARD_ERRORS.get(code) or f"the driver cannot read this card ({clean(text)}): see `sudo dmesg | grep -i nvrm` for the reason"


def driver_problem(code: int, text: str, platform: Platform, root: Path = ROOT) -> str:
    """Why no card can be read; `text` is NVML's own word for `code`."""
    if code == _LIBRARY_NOT_FOUND:
        return no_driver_problem(platform, root)
    known = (_WSL_ERRORS if platform == "wsl2" else _LINUX_ERRORS).get(code)
    return known or f"the NVIDIA driver refuses to start ({clean(text)}): run `nvidia-smi` to see whether it works at all"


def no_driver_problem(platform: Platform, root: Path = ROOT) -> str:
    """Why there is no NVML library on this machine, and what to do, in one sentence."""
    if platform == "macos":
        return (
            "macOS has no NVIDIA driver, so no GPU can be read here; run rigtui on the machine with the cards, "
            "or plan for that machine with --rig FILE"
        )
    if platform == "wsl2":
        return (
            "WSL offers no NVIDIA driver library: install the current NVIDIA driver in Windows (none inside WSL), "
            "run `wsl --shutdown` there and open WSL again"
        )
    vendors = _display_vendors(root)
    if _NVIDIA in vendors:
        return (
            "this machine has an NVIDIA card, but the driver's library libnvidia-ml.so.1 is not installed: "
            "install your distribution's NVIDIA driver and reboot"
        )
    if _AMD in vendors or (root / "dev/kfd").exists():
        return (
            "this machine has an AMD GPU and no NVIDIA one, and rigtui reads NVIDIA cards only: "
            "plans here are for the CPU, or for another machine with --rig FILE"
        )
    return (
        "no NVIDIA driver was found (libnvidia-ml.so.1 is missing): install it if this machine has an NVIDIA card, "
        "or plan for another machine with --rig FILE"
    )


def _display_vendors(root: Path) -> set[str]:
    """PCI vendor ids of the display controllers that the kernel knows."""
    vendors = {read_text(path) for path in root.glob("sys/class/drm/card*/device/vendor")}
    for device in root.glob("sys/bus/pci/devices/*"):
        if read_text(device / "class").startswith(_DISPLAY_CLASS):
            vendors.add(read_text(device / "vendor"))
    return vendors

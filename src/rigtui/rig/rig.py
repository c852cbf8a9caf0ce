"""The values of a rig reading. Sizes are bytes; what is unknown is None, never 0."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Platform = Literal["linux", "wsl2", "macos", "windows"]


class GpuProcess(Struct, frozen=True, kw_only=True):
    """A process that holds memory on one GPU."""

    pid: int
    name: str
    kind: Literal["graphics", "compute"]
    bytes: int | None = None
    """VRAM it holds; None where the driver does not say (WSL, missing permission)."""
    engine: bool = False
    """Started by rigtui."""


class Gpu(Struct, frozen=True, kw_only=True):
    """One card. Its VRAM divides: total = reserved + desktop + others + engines + unknown + free."""

    index: int
    """NVML's order (PCI bus); for people only, identity is `uuid`, then `pci`."""
    name: str
    uuid: str | None = None
    pci: str | None = None
    compute_capability: str | None = None
    total_bytes: int | None = None
    free_bytes: int | None = None
    reserved_bytes: int | None = None
    desktop_bytes: int | None = None
    others_bytes: int | None = None
    engines_bytes: int | None = None
    unknown_bytes: int | None = None
    """Held, but by nobody the driver names. Under WSL: Windows and other WSL programs."""
    display: bool | None = None
    utilization: int | None = None
    memory_utilization: int | None = None
    """Share of time the memory bus was busy, percent."""
    temperature_c: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    processes: tuple[GpuProcess, ...] | None = None
    """None where there is no process list at all (WSL)."""
    bandwidth_gb_s: float | None = None
    runtime_bytes: int | None = None
    """What a bare engine process takes here before it allocates anything; None: not observed yet."""
    error: str | None = None
    """Why this card cannot be read or used; its other fields may be None then."""

    @property
    def pcie(self) -> str | None:
        """`4.0 x16`, or None when unknown."""
        if self.pcie_generation is None or self.pcie_width is None:
            return None
        return f"{self.pcie_generation}.0 x{self.pcie_width}"


class Rig(Struct, frozen=True, kw_only=True):
    """One machine at one moment."""

    name: str
    platform: Platform
    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    cuda: str | None = None
    ram_total_bytes: int | None = None
    ram_free_bytes: int | None = None
    ram_bandwidth_gb_s: float | None = None
    cpu_name: str | None = None
    cpu_cores: int | None = None
    cpu_percent: float | None = None
    simulated: bool = False
    """Read from a rig file: nothing of it was measured on this machine."""
    problem: str | None = None
    """One sentence when no GPU can be read: why, and what to do."""
    taken_at: float | None = None
    """Seconds since the epoch; None for a rig file."""

    @property
    def usable_gpus(self) -> tuple[Gpu, ...]:
        """The cards that can be planned on: read without an error, total and free known."""
        return tuple(g for g in self.gpus if g.error is None and g.total_bytes is not None and g.free_bytes is not None)

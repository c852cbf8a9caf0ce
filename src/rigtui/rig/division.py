"""Who holds a card's VRAM: reserved + desktop + others + engines + unknown + free = total.

Pure. The parts that are known always add up to the total, because what nobody is named for is `unknown`:

- *reserved* and *free* are what the driver says (memory info v2; an older driver does not tell reserved, which is then
  part of unknown).
- *engines*: processes rigtui started, by pid. Where the driver does not say how much a process holds (WSL), it is what the
  engine itself logged plus runtime.
- *desktop*: graphics processes. A process in both lists is a graphics one (a browser, a compositor that computes), unless it
  is an engine.
- *others*: compute processes that are not engines.
- *unknown*: the rest. On Linux that is the framebuffer of a console and the driver's own small allocations, some tens of MiB;
  under WSL it is Windows and other WSL programs, which no process list shows.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from rigtui.rig.rig import Gpu, GpuProcess, Platform


class Engines(Struct, frozen=True):
    """What runs of rigtui hold on this rig now."""

    pids: frozenset[int] = frozenset()
    """The engines' processes and their children."""
    bytes_by_uuid: dict[str, int] = {}
    """By card: what the engines logged themselves, plus runtime. Counts where the driver names no bytes per process."""


NO_ENGINES = Engines()


def divide(gpu: Gpu, platform: Platform, engines: Engines = NO_ENGINES) -> Gpu:
    """`gpu` with its held VRAM divided and its engine processes marked.

    Nothing can be divided while total or free is unknown; the parts are None then. Readings of memory and of processes are
    not taken at one moment, so a process list that claims more than is held is cut to what is held, the desktop first and
    the engines last.
    """
    processes = _marked(gpu.processes, engines.pids)
    # An empty list under WSL means "cannot be had", never "nobody is there".
    listed = None if platform == "wsl2" and not processes else processes
    gpu = replace(gpu, processes=listed)
    if gpu.total_bytes is None or gpu.free_bytes is None:
        return replace(gpu, desktop_bytes=None, others_bytes=None, engines_bytes=None, unknown_bytes=None)
    free = min(gpu.free_bytes, gpu.total_bytes)
    reserved = None if gpu.reserved_bytes is None else min(gpu.reserved_bytes, gpu.total_bytes - free)
    held = gpu.total_bytes - free - (reserved or 0)
    parts = {
        "engines": _engine_bytes(gpu.uuid, listed, engines),
        "others": _sum(p for p in listed if p.kind == "compute" and not p.engine) if listed is not None else None,
        # The list of a WSL guest never shows what Windows draws.
        "desktop": _sum(p for p in listed if p.kind == "graphics" and not p.engine) if listed is not None and platform != "wsl2" else None,
    }
    for name, size in parts.items():
        if size is not None:
            parts[name] = min(size, held)
            held -= parts[name] or 0
    return replace(
        gpu,
        free_bytes=free,
        reserved_bytes=reserved,
        desktop_bytes=parts["desktop"],
        others_bytes=parts["others"],
        engines_bytes=parts["engines"],
        unknown_bytes=held,
    )


def used_bytes(gpu: Gpu) -> int | None:
    """VRAM of `gpu` that is not free, the reserved part included; None when unknown."""
    return None if gpu.total_bytes is None or gpu.free_bytes is None else gpu.total_bytes - gpu.free_bytes


def _marked(processes: tuple[GpuProcess, ...] | None, pids: frozenset[int]) -> tuple[GpuProcess, ...] | None:
    return None if processes is None else tuple(replace(p, engine=True) if p.pid in pids else p for p in processes)


def _sum(processes: Iterable[GpuProcess]) -> int | None:
    """Bytes of all `processes`; None when one of them is unknown."""
    total = 0
    for process in processes:
        if process.bytes is None:
            return None
        total += process.bytes
    return total


def _engine_bytes(uuid: str | None, listed: tuple[GpuProcess, ...] | None, engines: Engines) -> int | None:
    if not engines.pids and not engines.bytes_by_uuid:
        return 0
    if listed is not None:
        mine = [p for p in listed if p.engine]
        counted = _sum(mine)
        # A list without any engine says "none here" only if nothing was logged for this card: the list may be partial.
        if counted is not None and (mine or uuid not in engines.bytes_by_uuid):
            return counted
    if uuid is not None and uuid in engines.bytes_by_uuid:
        return engines.bytes_by_uuid[uuid]
    return 0 if engines.bytes_by_uuid else None

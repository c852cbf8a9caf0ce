"""The cards as NVIDIA's driver shows them (NVML, through nvidia-ml-py). Nobody else imports pynvml.

One handle stays open: initialising NVML costs more than all readings of an hour together (gpustat issue 54).
Any query may be missing on a driver, a card or under WSL; a missing one is None, never an error of the whole card.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from rigtui.rig.host import ROOT
from rigtui.rig.problems import CARD_GONE, HANDLE_GONE, card_error, driver_problem
from rigtui.rig.process_names import ProcessNames
from rigtui.rig.rig import Gpu, GpuProcess, Platform
from rigtui.text import clean

T = TypeVar("T")

RETRY_S = 5.0
"""After a failed start the driver is not asked again sooner."""

SELDOM_S = 10.0
"""How long an answer holds that hardly ever changes: which card an index is, its limits, its bus, whether a desktop is on it."""

# Where the library lies when the loader's path does not lead there (WSL without its ld.so entry, NixOS).
_LIBRARIES = ("usr/lib/wsl/lib/libnvidia-ml.so.1", "run/opengl-driver/lib/libnvidia-ml.so.1")


class Reading(Struct, frozen=True, kw_only=True):
    """All cards at one moment, their VRAM not divided yet."""

    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    cuda: str | None = None
    problem: str | None = None


class _Known(Struct, frozen=True):
    """A card as it was when it was last asked for what seldom changes."""

    handle: Any
    gpu: Gpu
    asked_at: float
    """By the clock of its owner."""


class Nvml:
    """The open door to the driver: opened at the first reading, closed by `close`, opened again after the driver failed."""

    def __init__(
        self, platform: Platform, root: Path = ROOT, *, retry_s: float = RETRY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._platform = platform
        self._root = root
        self._retry_s = retry_s
        self._clock = clock
        self._open = False
        self._closed_with: Reading | None = None
        self._not_before = 0.0
        self._names = ProcessNames()
        self._known: dict[int, _Known] = {}
        self._count = 0
        self._driver: str | None = None
        self._cuda: str | None = None

    def read(self) -> Reading:
        """Every card now. Never raises for what a driver does: it becomes a problem, or a card's error."""
        if not self._open:
            if self._closed_with is not None and self._clock() < self._not_before:
                return self._closed_with
            problem = self._start()
            if problem is not None:
                return self._failed(problem)
        import pynvml

        try:
            count = pynvml.nvmlDeviceGetCount()
            # Indexes move up when a card before this one leaves the bus.
            moved, self._count = count != self._count, count
            gpus = tuple(self._card(index, moved=moved) for index in range(count))
        except pynvml.NVMLError as error:
            self.close()
            return self._failed(driver_problem(error.value, str(error), self._platform, self._root))
        self._names.keep_only({process.pid for gpu in gpus for process in gpu.processes or ()})
        problem = None if gpus else "the NVIDIA driver is loaded but shows no card: see `sudo dmesg | grep -i nvrm` for the reason"
        return Reading(gpus=gpus, driver=self._driver, cuda=self._cuda, problem=problem)

    def close(self) -> None:
        """Let go of the driver; the next reading opens it again."""
        if not self._open:
            return
        import pynvml

        self._open = False
        self._known.clear()
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()

    def _failed(self, problem: str) -> Reading:
        self._not_before = self._clock() + self._retry_s
        self._closed_with = Reading(problem=problem)
        return self._closed_with

    def _start(self) -> str | None:
        import pynvml

        try:
            try:
                pynvml.nvmlInit()
            except pynvml.NVMLError_LibraryNotFound:
                if not _load_library(self._root):
                    raise
                pynvml.nvmlInit()
            self._open = True
            self._driver = _text(_ask(pynvml.nvmlSystemGetDriverVersion))
            cuda = _ask(pynvml.nvmlSystemGetCudaDriverVersion_v2)
        except pynvml.NVMLError as error:
            self.close()
            return driver_problem(error.value, str(error), self._platform, self._root)
        self._cuda = f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None
        return None

    def _card(self, index: int, *, moved: bool) -> Gpu:
        import pynvml

        known = self._known.get(index)
        try:
            if known is None or moved or self._clock() - known.asked_at >= SELDOM_S:
                known = self._known[index] = self._seldom(index, known.gpu if known else None)
            return self._measured(known)
        except pynvml.NVMLError as error:
            if error.value in HANDLE_GONE:
                raise
            if known is None:
                return Gpu(index=index, name=f"GPU {index}", error=card_error(error.value, str(error)))
            self._known[index] = replace(known, asked_at=float("-inf"))
            return replace(known.gpu, error=card_error(error.value, str(error)))

    def _seldom(self, index: int, before: Gpu | None) -> _Known:
        """What seldom changes; `before` is the card that had this index."""
        import pynvml

        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        uuid = _text(_ask(pynvml.nvmlDeviceGetUUID, handle))
        gpu = before if before is not None and before.uuid == uuid else _identity(index, uuid, handle)
        limit = _ask(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
        gpu = replace(
            gpu,
            display=_display(handle),
            power_limit_w=None if limit is None else limit / 1000,
            pcie_generation=_first(handle, pynvml.nvmlDeviceGetMaxPcieLinkGeneration, pynvml.nvmlDeviceGetCurrPcieLinkGeneration),
            pcie_width=_first(handle, pynvml.nvmlDeviceGetCurrPcieLinkWidth, pynvml.nvmlDeviceGetMaxPcieLinkWidth),
        )
        return _Known(handle, gpu, self._clock())

    def _measured(self, known: _Known) -> Gpu:
        import pynvml

        handle = known.handle
        total, free, reserved = _memory(handle)
        utilization = _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
        power = _ask(pynvml.nvmlDeviceGetPowerUsage, handle)
        return replace(
            known.gpu,
            total_bytes=total,
            free_bytes=free,
            reserved_bytes=reserved,
            utilization=utilization.gpu if utilization else None,
            memory_utilization=utilization.memory if utilization else None,
            temperature_c=_ask(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
            power_w=None if power is None else power / 1000,
            processes=self._processes(handle),
        )

    def _processes(self, handle: Any) -> tuple[GpuProcess, ...] | None:
        """All processes of a card by pid; None when neither list can be had.

        The bytes are a process's whole share of the card, so one that is in both lists counts once, as a graphics process.
        """
        import pynvml

        graphics = _first(handle, pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3, pynvml.nvmlDeviceGetGraphicsRunningProcesses_v2)
        compute = _first(handle, pynvml.nvmlDeviceGetComputeRunningProcesses_v3, pynvml.nvmlDeviceGetComputeRunningProcesses_v2)
        if graphics is None and compute is None:
            return None
        found: dict[int, GpuProcess] = {}
        for kind, entries in (("graphics", graphics), ("compute", compute)):
            for entry in entries or ():
                before = found.get(entry.pid)
                sizes = [size for size in (entry.usedGpuMemory, before.bytes if before else None) if size is not None]
                found[entry.pid] = GpuProcess(
                    pid=entry.pid,
                    name=self._names.name(entry.pid),
                    kind=before.kind if before else kind,  # type: ignore[arg-type]
                    bytes=max(sizes, default=None),
                )
        return tuple(found[pid] for pid in sorted(found))


def _identity(index: int, uuid: str | None, handle: Any) -> Gpu:
    """What does not change while the driver is loaded."""
    import pynvml

    capability = _ask(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    bus = _ask(pynvml.nvmlDeviceGetPciInfo, handle)
    width = _ask(pynvml.nvmlDeviceGetMemoryBusWidth, handle)
    clock = _ask(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_MEM)
    return Gpu(
        index=index,
        name=_text(_ask(pynvml.nvmlDeviceGetName, handle)) or f"GPU {index}",
        uuid=uuid,
        pci=None if bus is None else normal_pci(_text(bus.busId) or ""),
        compute_capability=None if capability is None else f"{capability[0]}.{capability[1]}",
        # Two transfers per clock: "How to Implement Performance Metrics in CUDA C/C++" (NVIDIA). It gives the vendors' figures
        # for every memory type from GDDR5 to HBM3, as NVML counts clocks of all of them that way.
        bandwidth_gb_s=round(2 * clock * width / 8 / 1000, 1) if clock and width else None,
    )


def normal_pci(address: str) -> str | None:
    """A PCI address as the kernel writes it: NVML's `00000000:01:00.0` is `0000:01:00.0`."""
    domain, colon, rest = address.lower().partition(":")
    return f"{domain[-4:] if domain[:-4].strip('0') == '' else domain}:{rest}" if colon else None


def _memory(handle: Any) -> tuple[int | None, int | None, int | None]:
    """Total, free and reserved bytes. Drivers before R510 have no second version: what they reserve is not told.

    Raises NVMLError when the card cannot be asked; a card without memory of its own (unified) has none to tell.
    """
    import pynvml

    try:
        try:
            second = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
            return second.total, second.free, second.reserved
        except (pynvml.NVMLError_FunctionNotFound, pynvml.NVMLError_ArgumentVersionMismatch, pynvml.NVMLError_NotSupported):
            first = pynvml.nvmlDeviceGetMemoryInfo(handle)
            return first.total, first.free, None
    except pynvml.NVMLError_NotSupported:
        return None, None, None


def _display(handle: Any) -> bool | None:
    """Whether a desktop holds memory on the card (`display active`); only where that is not told, whether a monitor is plugged in."""
    import pynvml

    state = _first(handle, pynvml.nvmlDeviceGetDisplayActive, pynvml.nvmlDeviceGetDisplayMode)
    return None if state is None else bool(state)


def _ask(query: Callable[..., T], *arguments: Any) -> T | None:
    """What `query` says, None when this driver or card does not; a lost card or handle is raised."""
    import pynvml

    try:
        return query(*arguments)
    except pynvml.NVMLError as error:
        if error.value in HANDLE_GONE + CARD_GONE:
            raise
        return None
    except (pynvml.NVMLLibraryMismatchError, UnicodeDecodeError):
        return None


def _first(handle: Any, *queries: Callable[[Any], T]) -> T | None:
    """The answer of the first of `queries` that has one."""
    for query in queries:
        answer = _ask(query, handle)
        if answer is not None:
            return answer
    return None


def _text(value: str | bytes | None) -> str | None:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return clean(value).strip() or None if value else None


def _load_library(root: Path) -> bool:
    """Load the library from where the loader does not look; the bindings then find it by its name."""
    import ctypes

    for path in _LIBRARIES:
        try:
            ctypes.CDLL(str(root / path), mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return True
    return False

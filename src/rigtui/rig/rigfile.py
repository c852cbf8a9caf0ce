"""Rig files: a rig as TOML, to plan for a machine one does not have. Sizes are MiB in the file, bytes in the value."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from rigtui import files
from rigtui.errors import UsageError
from rigtui.rig.cards import complete
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import MIB, clean

MAX_GPUS = 128
_Mib = Annotated[int, Meta(ge=0, le=1 << 30)]
_Bandwidth = Annotated[float, Meta(gt=0, le=1_000_000)]
_Name = Annotated[str, Meta(min_length=1, max_length=200)]


class _RigTable(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: _Name | None = None
    platform: Literal["linux", "wsl2"] = "linux"
    ram_total_mib: _Mib | None = None
    ram_free_mib: _Mib | None = None
    ram_bandwidth_gb_s: _Bandwidth | None = None
    driver: _Name | None = None
    cuda: _Name | None = None


class _GpuTable(Struct, forbid_unknown_fields=True, kw_only=True):
    name: _Name
    compute_capability: Annotated[str, Meta(pattern=r"^[0-9]{1,2}\.[0-9]$")] | None = None
    total_mib: _Mib | None = None
    free_mib: _Mib | None = None
    runtime_mib: _Mib | None = None
    desktop_mib: _Mib | None = None
    display: bool | None = None
    bandwidth_gb_s: _Bandwidth | None = None


class _File(Struct, forbid_unknown_fields=True, kw_only=True):
    rig: _RigTable = _RigTable()
    gpu: Annotated[list[_GpuTable], Meta(max_length=MAX_GPUS)] = []


def load(path: Path) -> Rig:
    """The rig that the file at `path` describes; `simulated`, and without UUIDs and PCI addresses.

    What the file leaves out is None, but the file's own name is the rig's, and bandwidth and compute capability are looked up by the
    card's name. VRAM that is neither free nor the desktop's is `unknown_bytes`; no engine runs on a rig of a file. Raises UsageError
    that names the file and the key.
    """
    said = files.read_toml(path)
    if not said:
        raise UsageError(f"{path} says nothing about a rig: it needs [rig] or [[gpu]]")
    content = files.convert(said, _File, path)
    table = content.rig
    _at_most(path, "rig.ram_free_mib", table.ram_free_mib, "ram_total_mib", table.ram_total_mib)
    return Rig(
        name=_line(path, "rig.name", table.name or path.stem),
        platform=table.platform,
        gpus=tuple(_gpu(path, index, gpu) for index, gpu in enumerate(content.gpu)),
        driver=None if table.driver is None else clean(table.driver),
        cuda=None if table.cuda is None else clean(table.cuda),
        ram_total_bytes=_bytes(table.ram_total_mib),
        ram_free_bytes=_bytes(table.ram_free_mib),
        ram_bandwidth_gb_s=table.ram_bandwidth_gb_s,
        simulated=True,
    )


def dump(rig: Rig) -> bytes:
    """`rig` as the text of a rig file, in whole MiB rounded down.

    What engines hold counts as free: a rig file says what there is before any engine. Cards that cannot be read are left out.
    """
    return files.dump_toml(
        {
            "rig": {
                "name": rig.name,
                "platform": "wsl2" if rig.platform == "wsl2" else "linux",
                "ram_total_mib": _mib(rig.ram_total_bytes),
                "ram_free_mib": _mib(rig.ram_free_bytes),
                "ram_bandwidth_gb_s": rig.ram_bandwidth_gb_s,
                "driver": rig.driver,
                "cuda": rig.cuda,
            },
            "gpu": [
                {
                    "name": gpu.name,
                    "compute_capability": gpu.compute_capability,
                    "total_mib": _mib(gpu.total_bytes),
                    "free_mib": None if gpu.free_bytes is None else _mib(gpu.free_bytes + (gpu.engines_bytes or 0)),
                    "runtime_mib": _mib(gpu.runtime_bytes),
                    "desktop_mib": _mib(gpu.desktop_bytes),
                    "display": gpu.display,
                    "bandwidth_gb_s": gpu.bandwidth_gb_s,
                }
                for gpu in rig.gpus
                if gpu.error is None
            ],
        }
    )


def _gpu(path: Path, index: int, table: _GpuTable) -> Gpu:
    at = f"gpu[{index}]"
    _at_most(path, f"{at}.free_mib", table.free_mib, "total_mib", table.total_mib)
    _at_most(path, f"{at}.runtime_mib", table.runtime_mib, "total_mib", table.total_mib)
    taken = (table.desktop_mib or 0) + (table.free_mib or 0)
    _at_most(path, f"{at}.desktop_mib and free_mib together", taken, "total_mib", table.total_mib)
    rest = table.total_mib - taken if table.total_mib is not None and table.free_mib is not None else None
    return complete(
        Gpu(
            index=index,
            name=_line(path, f"{at}.name", table.name),
            compute_capability=table.compute_capability,
            total_bytes=_bytes(table.total_mib),
            free_bytes=_bytes(table.free_mib),
            desktop_bytes=_bytes(table.desktop_mib),
            engines_bytes=0,
            unknown_bytes=_bytes(rest),
            display=table.display,
            bandwidth_gb_s=table.bandwidth_gb_s,
            runtime_bytes=_bytes(table.runtime_mib),
        )
    )


def _at_most(path: Path, key: str, value: int | None, limit_key: str, limit: int | None) -> None:
    if value is not None and limit is not None and value > limit:
        raise UsageError(f"{path}: `{key}` is {value:,} MiB, more than `{limit_key}`, {limit:,} MiB")


def _line(path: Path, key: str, text: str) -> str:
    line = clean(text).strip()
    if not line:
        raise UsageError(f"{path}: `{key}` must be a name that can be shown")
    return line


def _bytes(mib: int | None) -> int | None:
    return None if mib is None else mib * MIB


def _mib(size: int | None) -> int | None:
    return None if size is None else size // MIB

"""A reading of the cards as text of at most 80 columns."""

from __future__ import annotations

from rigtui.rig.rig import Gpu, Rig
from rigtui.text import GIB, MIB

_COLUMNS = ("total", "free", "reserved", "desktop", "others", "engines", "unknown")
_NAME_WIDTH = 19
_WIDTH = 80
_WSL_REMARK = "unknown = Windows and other WSL programs: under WSL no process list shows them"
_NO_GPU = "no GPU: models run on the CPU"


def table(rig: Rig) -> str:
    """What every card has by kind of use, in MiB, then what is known of each card, then who holds its memory."""
    lines = [_heading(rig), _host(rig), ""]
    readable = [gpu for gpu in rig.gpus if gpu.error is None]
    if readable:
        lines += [_row("GPU", "MiB", _COLUMNS), *(_memory(gpu) for gpu in readable), ""]
        lines += [line for gpu in readable for line in _wrapped(_details(gpu))]
        if rig.platform == "wsl2":
            lines.append(_WSL_REMARK)
    failing = [f"{gpu.index:>3} {_short(gpu.name)}: {gpu.error}" for gpu in rig.gpus if gpu.error is not None]
    lines += [line for text in failing for line in _wrapped(text)]
    processes = [line for gpu in readable for line in _processes(gpu)]
    if processes:
        lines += ["", f"{'GPU':>3} {'pid':>8} {'kind':<8} {'MiB':>8}  process", *processes]
    if rig.problem is not None:
        lines += _wrapped(rig.problem, "")
    elif not rig.gpus:
        lines.append(_NO_GPU)
    return "\n".join(lines)


def _heading(rig: Rig) -> str:
    parts = [rig.name, rig.platform, rig.driver and f"driver {rig.driver}", rig.cuda and f"CUDA {rig.cuda}"]
    return " · ".join([part for part in parts if part] + ["simulated, from a rig file"] * rig.simulated)


def _host(rig: Rig) -> str:
    ram = f"RAM {_gigabytes(rig.ram_free_bytes)} free of {_gigabytes(rig.ram_total_bytes)} GiB"
    cores = rig.cpu_cores and f"{rig.cpu_cores} cores"
    return " · ".join(part for part in (ram, rig.cpu_name, cores) if part)


def _memory(gpu: Gpu) -> str:
    sizes = (getattr(gpu, f"{column}_bytes") for column in _COLUMNS)
    return _row(str(gpu.index), _short(gpu.name), tuple(_mebibytes(size) for size in sizes))


def _row(first: str, name: str, cells: tuple[str, ...]) -> str:
    # `reserved` is the widest heading; a card's size with its thousands separator is 7 wide.
    return f"{first:>3} {name[:_NAME_WIDTH]:<{_NAME_WIDTH}}" + "".join(
        f"{cell:>8}" if i != 2 else f"{cell:>9}" for i, cell in enumerate(cells)
    )


def _details(gpu: Gpu) -> str:
    name = _short(gpu.name)
    parts = [
        name if len(name) > _NAME_WIDTH else None,
        gpu.compute_capability and f"compute {gpu.compute_capability}",
        gpu.pcie and f"PCIe {gpu.pcie}",
        gpu.pci,
        None if gpu.display is None else "display" if gpu.display else "no display",
        None if gpu.utilization is None else f"{gpu.utilization} % busy",
        None if gpu.temperature_c is None else f"{gpu.temperature_c} °C",
        _power(gpu),
    ]
    return f"{gpu.index:>3} " + " · ".join(part for part in parts if part)


def _power(gpu: Gpu) -> str | None:
    if gpu.power_w is None:
        return None
    return f"{gpu.power_w:.0f} W" if gpu.power_limit_w is None else f"{gpu.power_w:.0f}/{gpu.power_limit_w:.0f} W"


def _processes(gpu: Gpu) -> list[str]:
    return [
        f"{gpu.index:>3} {process.pid:>8} {'engine' if process.engine else process.kind:<8} {_mebibytes(process.bytes):>8}  {process.name}"[
            :80
        ]
        for process in sorted(gpu.processes or (), key=lambda p: -(p.bytes or 0))
    ]


def _wrapped(text: str, indent: str = "    ") -> list[str]:
    import textwrap

    return textwrap.wrap(text, _WIDTH, subsequent_indent=indent, drop_whitespace=True, break_on_hyphens=False)


def _short(name: str) -> str:
    return name.removeprefix("NVIDIA ").removeprefix("GeForce ")


def _mebibytes(size: int | None) -> str:
    return "?" if size is None else f"{round(size / MIB):,}"


def _gigabytes(size: int | None) -> str:
    return "?" if size is None else f"{size / GIB:.1f}"

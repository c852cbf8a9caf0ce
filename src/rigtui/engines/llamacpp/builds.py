"""Which llama.cpp engines are installed, and what each of them can do, in its own words.

A build is asked once for `--help`, `--version` and `--list-devices`, bounded in time and output; the answers are cached
under the binary's path, size and date and whatever changes what it sees. How much memory is free is never taken from
here: it is old as soon as it is read.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from rigtui import paths
from rigtui.engines.answers import Cache
from rigtui.engines.engine import Build, BuildDevice, Found
from rigtui.engines.llamacpp import abilities
from rigtui.errors import MissingError, RigtuiError
from rigtui.rig.rig import Gpu
from rigtui.text import clean

ENGINE = "llama.cpp"
BINARY = "llama-server"
EMBEDDED = "embedded"
"""What a user names to put the embedded engine first."""

_BACKEND = re.compile(r"[A-Za-z]+")


def find(named: str | None = None) -> list[Build]:
    """The usable builds: the one the user `named`, `llama-server` on PATH, the embedded engine.

    Raises MissingError when what was named is not there, RigtuiError when it is there but does not work.
    """
    return list(survey(named).builds)


def survey(named: str | None = None) -> Found:
    """As `find`, with the reasons why a build that is there cannot be used."""
    cache = Cache(paths.cache_dir() / "builds.msgpack")
    builds: list[Build] = []
    problems: list[str] = []
    seen: set[str] = set()
    if named is not None:
        builds.append(_named(named, cache))
        seen.add(os.path.realpath(builds[0].argv[0]))
    on_path = _which(BINARY)
    if on_path is not None and os.path.realpath(on_path) not in seen:
        _add(builds, problems, on_path, cache)
    if not any(build.embedded for build in builds) and _embedded_version() is not None:
        _add(builds, problems, None, cache)
    cache.save()
    return Found(builds=tuple(builds), problems=tuple(problems))


def _add(builds: list[Build], problems: list[str], path: str | None, cache: Cache) -> None:
    try:
        builds.append(_embedded(cache) if path is None else _server(path, cache))
    except RigtuiError as error:
        problems.append(str(error))


def learn(build: Build) -> Build:
    """`build` as it is: it was asked when it was found."""
    return build


def build_id(build: Build) -> str:
    """The build for results and lessons: its version and its backend, `0.5.0-dev (build 1, commit 0c1e570) CUDA`."""
    return f"{'xllamacpp ' if build.embedded else ''}{build.version} {_backend(build.devices)}"


def device_names(build: Build, gpus: Sequence[Gpu]) -> tuple[str | None, ...]:
    """What the build calls each of `gpus`, given in NVML's order; None where it does not see the card.

    Builds are asked with `CUDA_DEVICE_ORDER=PCI_BUS_ID`, so cards of one name stand in NVML's order on both sides. One
    that is listed by two backends (CUDA and Vulkan) is named by the first.
    """
    names: list[str | None] = [None] * len(gpus)
    for device in build.devices:
        for index, gpu in enumerate(gpus):
            if names[index] is None and _same_card(device, gpu):
                names[index] = device.device
                break
    return tuple(names)


def _same_card(device: BuildDevice, gpu: Gpu) -> bool:
    if gpu.name.casefold() not in device.name.casefold():
        return False
    if device.total_bytes is None or gpu.total_bytes is None:
        return True
    # The runtime leaves out what the driver reserves; the 8 and 12 GB versions of one card differ by far more.
    return abs(device.total_bytes - gpu.total_bytes) <= gpu.total_bytes // 8


def _backend(devices: Sequence[BuildDevice]) -> str:
    """`CUDA`, `Vulkan`, … of the first device, `CPU` without one."""
    match = _BACKEND.match(devices[0].device) if devices else None
    return match.group() if match else "CPU"


def _which(name: str) -> str | None:
    import shutil

    found = shutil.which(name)
    return str(Path(found).absolute()) if found else None


def _named(named: str, cache: Cache) -> Build:
    if named == EMBEDDED:
        if _embedded_version() is None:
            raise MissingError("the embedded engine is not installed; get it with: pip install 'rigtui[engine]'")
        return _embedded(cache)
    path = Path(named).expanduser().absolute() if "/" in named else _which(named)
    shown = clean(named)
    if path is None:
        raise MissingError(f"there is no {shown} on PATH; name the file of a llama-server, or install llama.cpp")
    if not Path(path).is_file():
        raise MissingError(f"there is no file {shown}; name the file of a llama-server, or install llama.cpp")
    if not os.access(path, os.X_OK):
        raise MissingError(f"{shown} is not executable; mend it with: chmod +x {shown}")
    return _server(str(path), cache)


def _server(path: str, cache: Cache) -> Build:
    status = Path(path).stat()
    # Rebuilt libraries lie beside the binary: replacing one changes the folder's date.
    identity = (path, status.st_size, status.st_mtime_ns, Path(os.path.realpath(path)).parent.stat().st_mtime_ns)
    answers = abilities.answers(cache, identity, (path,))
    devices = answers.devices
    number = answers.version.split()[0]
    kind = _backend(devices) if devices else "CPU only"
    return Build(
        engine=ENGINE,
        label=f"{BINARY} {'b' if number.isdigit() else ''}{number} ({kind})",
        version=answers.version,
        argv=(path,),
        devices=devices,
        options=answers.options,
        gpu=bool(devices),
    )


def _embedded_version() -> str | None:
    import importlib.metadata
    import importlib.util

    if importlib.util.find_spec("xllamacpp") is None:
        return None
    try:
        return importlib.metadata.version("xllamacpp")
    except importlib.metadata.PackageNotFoundError:
        return None


def _embedded(cache: Cache) -> Build:
    version = _embedded_version() or ""
    argv = (sys.executable, "-m", "rigtui.engines.llamacpp.embedded")
    flags = Path(__file__).with_name("embedded_flags.py").stat().st_mtime_ns
    answers = abilities.answers(cache, (sys.executable, version, flags), argv)
    devices = answers.devices
    return Build(
        engine=ENGINE,
        label=f"embedded (xllamacpp {version}, {_backend(devices) if devices else 'CPU only'})",
        version=version,
        argv=argv,
        devices=devices,
        options=answers.options,
        embedded=True,
        gpu=bool(devices),
    )

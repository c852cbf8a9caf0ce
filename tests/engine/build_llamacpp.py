"""Builds real llama.cpp once per version, from the source distribution of llama-cpp-python on PyPI, and keeps it in a cache.

As a script (`python tests/engine/build_llamacpp.py [VERSION]`) it builds and prints where `llama-server` is. The cache is
~/.cache/rigtui-tests, or $RIGTUI_TEST_CACHE.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

VERSION = "0.3.36"
"""Of llama-cpp-python: its source distribution carries llama.cpp (0.5.0-dev, commit 0c1e57098). To judge another, change this."""

CACHE = Path(os.environ.get("RIGTUI_TEST_CACHE") or Path.home() / ".cache" / "rigtui-tests")
"""Read when this module is imported: tests change HOME later."""

TARGETS = ("llama-server", "llama-fit-params")
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "CMAKE_BUILD_RPATH_USE_ORIGIN": "ON",  # the binaries are moved after they are built
    "BUILD_SHARED_LIBS": "ON",  # the virtual GPUs are a library beside them
    "GGML_BACKEND_DL": "OFF",
    "GGML_NATIVE": "OFF",  # a cache may be shared by machines
    "GGML_OPENMP": "OFF",  # its threads spin, which starves the other engines of a test
    "GGML_RPC": "OFF",
    "GGML_CCACHE": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",  # it would be downloaded
    "LLAMA_OPENSSL": "OFF",
}
_HEADERS = ("ggml/include", "ggml/src")
_STAMP = "built.json"
_PLUGIN = Path(__file__).with_name("vgpu")
_RIG_STATE = Path(__file__).parents[1] / "nvml_stub" / "rig_state.h"


class BuildError(Exception):
    """llama.cpp could not be built; the message ends with the last lines of what the failing command said."""


def llamacpp(version: str = VERSION) -> Path:
    """The folder of a finished build: `bin/` with programs and libraries, `include/` with ggml's headers.

    Builds it first if need be (about 10 minutes on 2 cores, niced); of several processes that ask, one builds and the others wait.
    Raises BuildError.
    """
    home = CACHE / f"llamacpp-{version}"
    if not _built(home):
        with locked(home.with_name(f"{home.name}.lock")):
            if not _built(home):
                _build(version, home)
    return home


def virtual_gpus(home: Path) -> Path:
    """The library with the virtual GPUs for the build in `home`, to be preloaded; compiled once per version of its sources.

    Raises BuildError.
    """
    sources = sorted(_PLUGIN.iterdir())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in (*sources, _RIG_STATE))).hexdigest()[:16]
    library = home / "vgpu" / digest / "libggml-vgpu.so"
    with locked(home.with_name(f"{home.name}.lock")):
        if not library.exists():
            library.parent.mkdir(parents=True, exist_ok=True)
            temporary, log = library.with_suffix(".new"), library.with_name("build.log")
            code = [path for path in sources if path.suffix == ".cpp"]
            options = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Wno-unused-function", "-shared", "-fPIC", "-I", home / "include")
            libraries = ("-L", home / "bin", f"-Wl,-rpath,{home / 'bin'}", "-lggml", "-lggml-base", "-lggml-cpu", "-ldl")
            call("nice", "-n", "10", "g++", *options, "-o", temporary, *code, *libraries, log=log)
            temporary.replace(library)
    return library


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time holds `path`; the lock goes with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def call(*command: str | Path, log: Path) -> None:
    """Run `command`, its output into `log`; raises BuildError with the end of it."""
    with log.open("ab") as stream:
        try:
            code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, check=False).returncode
        except OSError as error:
            raise BuildError(
                f"{command[0]} cannot be started ({error.strerror}); the virtual rig needs cmake, a C++17 compiler and pip"
            ) from None
    if code:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise BuildError(f"{' '.join(map(str, command[:4]))} … failed with code {code}:\n{tail}")


def _built(home: Path) -> bool:
    try:
        return bool(json.loads((home / _STAMP).read_text())["options"] == OPTIONS)
    except (OSError, ValueError, KeyError):
        return False


def _build(version: str, home: Path) -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{home.name}-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        source, log = _source(version, work), home.with_name(f"{home.name}.log")
        log.unlink(missing_ok=True)
        ninja = ("-G", "Ninja") if shutil.which("ninja") else ()
        options = [f"-D{name}={value}" for name, value in OPTIONS.items()]
        call("cmake", "-S", source, "-B", work / "build", *ninja, *options, log=log)
        jobs = str(min(len(os.sched_getaffinity(0)), 8))
        call("nice", "-n", "10", "cmake", "--build", work / "build", "--parallel", jobs, "--target", *TARGETS, log=log)
        result = work / "result"
        shutil.copytree(work / "build" / "bin", result / "bin", symlinks=True)
        for headers in _HEADERS:
            shutil.copytree(source / headers, result / "include", ignore=_only_headers, dirs_exist_ok=True)
        shutil.copy(source / "LICENSE", result)
        stamp = {"version": version, "options": OPTIONS, "seconds": round(time.monotonic() - started)}
        (result / _STAMP).write_text(json.dumps(stamp, indent=1) + "\n")
        shutil.rmtree(home, ignore_errors=True)
        result.rename(home)


def _only_headers(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".h")]


def _source(version: str, work: Path) -> Path:
    """Download and unpack llama.cpp's source tree below `work`."""
    log = work / "pip.log"
    package = f"llama-cpp-python=={version}"
    call(sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "llama-cpp-python", "--dest", work, package, log=log)
    archive = next(work.glob("llama_cpp_python-*.tar.gz"))
    with tarfile.open(archive) as tar:
        inside = [member for member in tar.getmembers() if "/vendor/llama.cpp/" in member.name]
        tar.extractall(work / "source", members=inside, filter="data")
    return next((work / "source").glob("*/vendor/llama.cpp"))


if __name__ == "__main__":
    try:
        built = llamacpp(*sys.argv[1:2])
        print(built / "bin" / "llama-server", virtual_gpus(built), sep="\n")
    except BuildError as problem:
        sys.exit(str(problem))

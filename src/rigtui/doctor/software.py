"""What this machine's software says of itself: containers, and what engines were built for. Each question is bounded in time."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rigtui.doctor.check import ContainerFacts, OllamaFacts
from rigtui.text import clean

ASK_SECONDS = 5
_ENOUGH_BYTES = 1 << 20
_LIBRARY_BYTES = 16 << 20
"""Where an ELF file names the libraries it needs lies near its beginning or its end."""
_CUDA_RUNTIME = re.compile(rb"libcudart\.so\.(\d{1,2})\b")
_CDI = (Path("/etc/cdi"), Path("/var/run/cdi"))
_OLLAMA = ("127.0.0.1", 11434)


def ask(*argv: str) -> tuple[str, str] | None:
    """What a program says on standard output and error; None when it is not there or does not answer in time."""
    program = shutil.which(argv[0])
    if program is None:
        return None
    try:
        said = subprocess.run([program, *argv[1:]], capture_output=True, timeout=ASK_SECONDS, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return tuple(text[:_ENOUGH_BYTES].decode("utf-8", errors="replace") for text in (said.stdout, said.stderr))  # type: ignore[return-value]


def read_containers() -> ContainerFacts:
    """Docker's client and daemon, its runtimes, and NVIDIA's toolkit."""
    with ThreadPoolExecutor(3) as pool:
        version = pool.submit(ask, "docker", "version", "--format", "{{json .}}")
        runtimes = pool.submit(ask, "docker", "info", "--format", "{{json .Runtimes}}")
        toolkit = pool.submit(ask, "nvidia-ctk", "--version")
        said, offered, ctk = version.result(), runtimes.result(), toolkit.result()
    told = _json(said[0]) if said else {}
    problem = _first_line(said[1]) if said else ""
    return ContainerFacts(
        client=_version(told.get("Client")),
        server=_version(told.get("Server")),
        problem=problem if not told.get("Server") and problem else None,
        nvidia_runtime="nvidia" in _json(offered[0]) if offered and offered[0].strip() else None,
        toolkit=_number(ctk[0]) if ctk else None,
        cdi=any(list(folder.glob("nvidia*.yaml")) or list(folder.glob("nvidia*.json")) for folder in _CDI),
    )


def _json(text: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _version(part: object) -> str | None:
    found = part.get("Version") if isinstance(part, dict) else None
    return clean(found) if isinstance(found, str) and found else None


def _first_line(text: str) -> str:
    return clean(next((line for line in text.splitlines() if line.strip()), ""))[:300]


def _number(text: str) -> str | None:
    found = re.search(r"\d+(?:\.\d+)+", text)
    return found[0] if found else None


def read_ollama() -> OllamaFacts | None:
    """The server that answers at Ollama's address, else the program on PATH; None when there is neither."""
    connection = http.client.HTTPConnection(*_OLLAMA, timeout=1)
    try:
        connection.request("GET", "/api/version")
        version = _json(connection.getresponse().read(_ENOUGH_BYTES).decode("utf-8", errors="replace")).get("version")
        if isinstance(version, str):
            return OllamaFacts(version=clean(version), running=True)
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()
    said = ask("ollama", "--version")
    return OllamaFacts(version=_number(said[0]), running=False) if said else None


def cuda_runtime(argv: Sequence[str]) -> int | None:
    """The major version of the CUDA runtime that a llama-server was linked with; None where it cannot be told (static, no CUDA)."""
    program = shutil.which(argv[0]) if argv else None
    if program is None:
        return None
    real = Path(program).resolve()
    folders = (real.parent, real.parent.parent / "lib")
    libraries = [path for folder in folders for path in sorted(folder.glob("libggml-cuda*.so*"))]
    for path in (*libraries[:2], real):
        try:
            with open(path, "rb") as stream:
                head = stream.read(_LIBRARY_BYTES)
                stream.seek(max(len(head), path.stat().st_size - _LIBRARY_BYTES))
                found = _CUDA_RUNTIME.search(head) or _CUDA_RUNTIME.search(stream.read(_LIBRARY_BYTES))
        except OSError:
            continue
        if found:
            return int(found[1])
    return None

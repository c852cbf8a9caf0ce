"""What each engine needs of driver and cards, held against what is here; Docker and NVIDIA's toolkit. Pure.

CUDA's floors are those of NVIDIA's release notes (minor version compatibility); vLLM's of its 0.33 wheel and docs (CUDA 13, compute
capability 7.5, before that 7.0); Ollama's of docs/gpu.mdx (driver 550, from 570 on for capabilities below 7.0; capability 5.0).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from rigtui.doctor.check import Check, CheckStatus, ContainerFacts, Facts
from rigtui.engines.engine import Build
from rigtui.rig.rig import Gpu, Rig

CUDA_DRIVERS = {11: (450, 80, 2), 12: (525, 60, 13), 13: (580, 65, 6)}
"""Major version of CUDA -> the oldest driver that runs programs built with it."""
VLLM_CUDA_13 = (0, 33)
VLLM_CAPABILITY = {(0, 15): 7.5, (0, 0): 7.0}
"""From this version of vLLM on -> least compute capability; the newest first."""
OLLAMA_DRIVER, OLLAMA_OLD_CARDS_DRIVER = (550,), (570,)
LEAST_DOCKER, LEAST_TOOLKIT = (23,), (1, 14)
DRIVER_MEND = "sudo ubuntu-drivers install && sudo reboot"
WSL_DRIVER_MEND = "wsl.exe --shutdown"
CONFIGURE = "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
TOOLKIT_MEND = f"sudo apt-get install -y nvidia-container-toolkit && {CONFIGURE}"
NEWEST_TOOLKIT = "sudo apt-get update && sudo apt-get install --only-upgrade nvidia-container-toolkit && sudo systemctl restart docker"


class Needs(Struct, frozen=True):
    """What one engine needs; None: not known, or nothing."""

    driver: tuple[int, ...] | None = None
    because: str = ""
    capability: float | None = None


def numbers(text: str | None) -> tuple[int, ...]:
    """The parts of the first version number in a text: `580.65.06` -> (580, 65, 6); empty where there is none."""
    found = re.search(r"\d+(?:\.\d+)*", text or "")
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def needs(build: Build, cuda: int | None) -> Needs:
    """What a build needs; `cuda` is the CUDA it was built with, where that could be read off it."""
    version = numbers(build.version)
    if build.engine == "vllm":
        if not version:
            return Needs()
        capability = next(least for since, least in VLLM_CAPABILITY.items() if version >= since)
        cuda = 13 if cuda is None and version >= VLLM_CUDA_13 else cuda
        return Needs(CUDA_DRIVERS.get(cuda or 0), f"it is built for CUDA {cuda}", capability)
    return Needs(CUDA_DRIVERS.get(cuda or 0), f"it is built for CUDA {cuda}")


def examine_builds(rig: Rig, builds: Sequence[Build], facts: Facts) -> list[Check]:
    """Driver and cards against what each engine needs; one line for each engine that computes on GPUs."""
    if not rig.usable_gpus:
        return []
    checks = []
    for build in builds:
        if build.gpu:
            checks += _against(rig, build.label, needs(build, facts.cuda_runtimes.get(build.label)))
    return [*checks, *_ollama(rig, facts)]


def _against(rig: Rig, label: str, need: Needs) -> list[Check]:
    found: list[Check] = []
    have = numbers(rig.driver)
    if need.driver is not None and have:
        wanted = _dotted(need.driver)
        if have < need.driver:
            text = f"driver {rig.driver} is too old for {label}: {need.because}, which needs driver {wanted} or newer"
            found.append(_newer_driver(rig, "engine_driver", "fail", text))
        else:
            found.append(_check("engine_driver", "ok", f"driver {rig.driver} is new enough for {label} ({need.because}: {wanted})"))
    old = [
        gpu for gpu in rig.usable_gpus if need.capability is not None and (has := _capability(gpu)) is not None and has < need.capability
    ]
    for gpu in old:
        text = f"GPU {gpu.index} {gpu.name} is too old for {label}: compute capability {gpu.compute_capability}, needed {need.capability}"
        status: CheckStatus = "fail" if len(old) == len(rig.usable_gpus) else "warn"
        found.append(_check("engine_card", status, f"{text}; llama.cpp runs on it"))
    return found


def _newer_driver(rig: Rig, identity: str, status: CheckStatus, text: str) -> Check:
    if rig.platform == "wsl2":
        return _check(identity, status, f"{text}. Install a newer NVIDIA driver in Windows, then:", WSL_DRIVER_MEND)
    return _check(identity, status, text, DRIVER_MEND)


def _ollama(rig: Rig, facts: Facts) -> list[Check]:
    ollama = facts.ollama
    if ollama is None:
        return []
    label = f"Ollama {ollama.version or 'of unknown version'}"
    old = [gpu for gpu in rig.usable_gpus if (has := _capability(gpu)) is not None and has < 7.0]
    least = OLLAMA_OLD_CARDS_DRIVER if old else OLLAMA_DRIVER
    if (have := numbers(rig.driver)) and have < least:
        text = f"driver {rig.driver} is too old for {label}, which needs {_dotted(least)} for these cards: it computes on the CPU"
        return [_newer_driver(rig, "ollama", "warn", text)]
    state = "is running, its models may hold VRAM" if ollama.running else "is installed"
    return [_check("ollama", "ok", f"{label} {state}", "ollama ps" if ollama.running else None)]


def _capability(gpu: Gpu) -> float | None:
    try:
        return float(gpu.compute_capability) if gpu.compute_capability is not None else None
    except ValueError:
        return None


def _dotted(version: tuple[int, ...]) -> str:
    """As drivers are written: the third part has two digits."""
    return ".".join(str(part) if at < 2 else f"{part:02}" for at, part in enumerate(version))


def examine_containers(rig: Rig, containers: ContainerFacts) -> list[Check]:
    """Docker, and whether containers get the cards. Without Docker nothing is wrong: engines run without it."""
    if containers.client is None:
        return [_check("docker", "unknown", "no Docker client here; it is needed only for engines in containers")]
    if containers.server is None:
        why = containers.problem or "its daemon does not answer"
        denied = "permission denied" in why.lower()
        mend = "sudo usermod -aG docker $USER && newgrp docker" if denied else "sudo systemctl start docker"
        return [_check("docker", "warn", f"Docker {containers.client} has no daemon to talk to: {why}", mend)]
    if numbers(containers.server) < LEAST_DOCKER:
        text = f"Docker {containers.server} is older than 23: it does not know GPUs by CDI"
        checks = [_check("docker", "warn", text, "curl -fsSL https://get.docker.com | sudo sh")]
    else:
        checks = [_check("docker", "ok", f"Docker {containers.server}")]
    return [*checks, *([_toolkit(containers)] if rig.usable_gpus else [])]


def _toolkit(containers: ContainerFacts) -> Check:
    reached = containers.nvidia_runtime or containers.cdi
    if containers.toolkit is None and not reached:
        return _check("toolkit", "warn", "NVIDIA's container toolkit is missing: containers get no GPU", TOOLKIT_MEND)
    if containers.toolkit is not None and numbers(containers.toolkit) < LEAST_TOOLKIT:
        text = f"NVIDIA's container toolkit {containers.toolkit} is older than 1.14: it does not write CDI specifications"
        return _check("toolkit", "warn", text, NEWEST_TOOLKIT)
    if not reached:
        text = f"NVIDIA's container toolkit {containers.toolkit or ''} is installed, but Docker does not use it: containers get no GPU"
        return _check("toolkit", "warn", text, CONFIGURE)
    way = "the runtime nvidia" if containers.nvidia_runtime else "CDI"
    return _check("toolkit", "ok", f"containers get the GPUs by {way} (toolkit {containers.toolkit or 'of unknown version'})")


def _check(identity: str, status: CheckStatus, text: str, mend: str | None = None) -> Check:
    return Check(id=identity, status=status, text=text, mend=mend)

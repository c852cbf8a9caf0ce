"""Asks the machine what the check-up needs to know."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rigtui import paths
from rigtui.doctor.check import Facts
from rigtui.doctor.software import cuda_runtime, read_containers, read_ollama
from rigtui.engines.engine import Build
from rigtui.errors import RigtuiError

PORT = 8080
_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/nvidia0"), Path("/dev/nvidia-uvm"), Path("/dev/dxg"))


def read_facts(profiles_dir: str | None = None, builds: Sequence[Build] = ()) -> Facts:
    """Everything in one go; nothing is changed and nothing is raised."""
    state = paths.state_dir()
    return Facts(
        free_disk_bytes=_free_disk(state),
        state_dir=str(state),
        writable=_writable(state),
        unwritable=None if _writable(state) else str(_nearest_existing(state)),
        port_free=_port_free(PORT),
        systemd=_systemd(),
        lingering=_lingering(),
        kill_user_processes=_kill_user_processes(Path("/etc/systemd")),
        cuda_device_order=os.environ.get("CUDA_DEVICE_ORDER"),
        nvidia_device=any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/proc/driver/nvidia")),
        containers=read_containers(),
        ollama=read_ollama(),
        cuda_runtimes=_cuda_runtimes(builds),
        blocked_folders=_blocked_folders(),
        blocked_devices=tuple(str(path) for path in _DEVICES if path.exists() and not os.access(path, os.R_OK | os.W_OK)),
        config_problem=_config_problem(),
        problems=_file_problems(profiles_dir),
    )


def _nearest_existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _free_disk(path: Path) -> int | None:
    try:
        return shutil.disk_usage(_nearest_existing(path)).free
    except OSError:
        return None


def _writable(path: Path) -> bool:
    return os.access(_nearest_existing(path), os.W_OK)


def _port_free(port: int) -> bool | None:
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except PermissionError:
        return None
    except OSError:
        return False
    return True


def _systemd() -> bool | None:
    return Path("/run/systemd/system").is_dir() if sys.platform == "linux" else None


def _lingering() -> bool | None:
    import pwd

    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return None
    return Path("/var/lib/systemd/linger", name).exists() if _systemd() else None


def _kill_user_processes(root: Path) -> bool | None:
    """logind's KillUserProcesses; the last setting wins, as in systemd's own reading of drop-ins."""
    files = [root / "logind.conf", *sorted((root / "logind.conf.d").glob("*.conf"))]
    found: bool | None = None
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition("=")
            if key.strip() == "KillUserProcesses":
                found = value.strip().lower() in ("yes", "true", "1", "on")
    return found


def _cuda_runtimes(builds: Sequence[Build]) -> dict[str, int]:
    found = {build.label: cuda_runtime(build.argv) for build in builds if not build.embedded}
    return {label: major for label, major in found.items() if major is not None}


def _blocked_folders() -> tuple[str, ...]:
    folders = (paths.config_dir(), paths.data_dir(), paths.cache_dir())
    return tuple(dict.fromkeys(str(_nearest_existing(path)) for path in folders if not _writable(path)))


def _config_problem() -> str | None:
    from rigtui.intent.config import load_config

    try:
        load_config()
    except RigtuiError as error:
        return str(error)
    return None


def _file_problems(profiles_dir: str | None) -> tuple[str, ...]:
    from rigtui.intent.profiles import all_profiles, directories
    from rigtui.intent.use_cases import read_use_cases

    readers: list[Callable[[], tuple[str, ...]]] = [
        lambda: all_profiles(directories(profiles_dir)).problems,
        lambda: read_use_cases().problems,
    ]
    found: list[str] = []
    for read in readers:
        try:
            found += read()
        except RigtuiError as error:
            found.append(str(error))
    return tuple(found)

"""From a rig, the engines found and some facts to checks. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rigtui.doctor.check import Check, CheckStatus, Facts
from rigtui.doctor.examine_engines import examine_builds, examine_containers
from rigtui.engines.engine import Build
from rigtui.planning.reserve import drives_display
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import GIB, gib, mib

ENGINE_MEND = "pip install 'rigtui[engine]'"
CUDA_MEND = (
    "git clone --depth 1 https://github.com/ggml-org/llama.cpp ~/llama.cpp && cmake -S ~/llama.cpp -B ~/llama.cpp/build -DGGML_CUDA=ON "
    "&& cmake --build ~/llama.cpp/build -j --target llama-server"
)
OWN_SERVER = "a llama-server built with CUDA is used when it is on PATH or named in config.toml under [engines] llama_server"
LEAST_DISK = 2 * GIB
WSL_LINGER = "sudo loginctl enable-linger $USER"
WSL_SYSTEMD = "printf '[boot]\\nsystemd=true\\n' | sudo tee -a /etc/wsl.conf && wsl.exe --shutdown"


def examine(
    rig: Rig, builds: Sequence[Build], build_problems: Sequence[str], facts: Facts, *, misnamed: Sequence[str] = ()
) -> tuple[Check, ...]:
    """Every check, in the order a user mends things: driver, cards, engines, then the system around them.

    `misnamed`: one sentence for each line of config.toml that names an engine which is none.
    """
    checks = [_driver(rig, facts)]
    checks += [_card(gpu) for gpu in rig.gpus]
    checks += [_check("engine", "fail", problem) for problem in misnamed]
    checks += _engines(rig, builds, build_problems, installed=bool(builds or misnamed))
    checks += examine_builds(rig, builds, facts)
    checks += [_ram(rig), _disk(facts), *_permissions(facts), _port(facts), _order(rig, facts)]
    checks += examine_containers(rig, facts.containers)
    checks += _sessions(rig, facts)
    checks += _config(facts)
    checks += [Check(id="file", status="warn", text=f"{problem}; the file is left out until it is corrected") for problem in facts.problems]
    return tuple(checks)


def _check(identity: str, status: CheckStatus, text: str, mend: str | None = None) -> Check:
    return Check(id=identity, status=status, text=text, mend=mend)


def _config(facts: Facts) -> list[Check]:
    if facts.config_problem is None:
        return []
    text = f"{facts.config_problem}; until it is corrected nothing is planned or launched, since it would be with other settings than yours"
    return [_check("file", "fail", text)]


def _driver(rig: Rig, facts: Facts) -> Check:
    if rig.problem:
        # Without a card this is a rig without GPU, which works; with one, something is broken.
        return _check("driver", "fail" if facts.nvidia_device else "warn", rig.problem)
    if not rig.gpus:
        return _check("driver", "unknown", "no GPU is listed: engines run on the CPU")
    return _check("driver", "ok", f"driver {rig.driver or 'unknown'}, CUDA {rig.cuda or 'unknown'}, {len(rig.gpus)} GPUs")


def _card(gpu: Gpu) -> Check:
    identity = f"gpu{gpu.index}"
    if gpu.error:
        return _check(identity, "fail", f"GPU {gpu.index} ({gpu.name}): {gpu.error}", "nvidia-smi; sudo dmesg | grep -i xid")
    screen = ", drives the desktop" if drives_display(gpu) else ""
    text = f"GPU {gpu.index} {gpu.name}: {gib(gpu.free_bytes)} of {gib(gpu.total_bytes)} free{screen}"
    if gpu.free_bytes is not None and gpu.total_bytes and gpu.free_bytes < gpu.total_bytes // 2:
        return _check(identity, "warn", text + "; more than half is taken", "rigtui gpus")
    return _check(identity, "ok", text)


def _engines(rig: Rig, builds: Sequence[Build], problems: Sequence[str], *, installed: bool) -> list[Check]:
    """`installed`: false where none was found; a line of config.toml that is in the way hides what there is."""
    checks = [_check("engine", "warn", problem) for problem in problems]
    if not installed:
        text = f"no engine is installed: nothing can be launched. {OWN_SERVER}; one for the CPU comes with this:"
        return [*checks, _check("engine", "fail", text, ENGINE_MEND)]
    for number, build in enumerate(builds):
        first = "used first: " if number == 0 and len(builds) > 1 else ""
        if rig.usable_gpus and not build.gpu:
            text = f"{first}{build.label} sees no GPU: it computes on the CPU"
            if number == 0:
                checks.append(_check("engine", "warn", f"{text}. {OWN_SERVER}; this builds one:", CUDA_MEND))
            else:
                checks.append(_check("engine", "ok", text))
        else:
            seen = f", sees {', '.join(device.device for device in build.devices)}" if build.devices else ""
            checks.append(_check("engine", "ok", f"{first}{build.label}{seen}"))
    return checks


def _ram(rig: Rig) -> Check:
    if rig.ram_free_bytes is None:
        return _check("ram", "unknown", "free RAM cannot be read")
    status: CheckStatus = "ok" if rig.ram_free_bytes >= 4 * GIB else "warn"
    return _check("ram", status, f"{gib(rig.ram_free_bytes)} of {gib(rig.ram_total_bytes)} RAM free")


def _disk(facts: Facts) -> Check:
    if facts.free_disk_bytes is None:
        return _check("disk", "unknown", f"free disk space for {facts.state_dir} cannot be read")
    if facts.free_disk_bytes < LEAST_DISK:
        text = f"only {mib(facts.free_disk_bytes)} of disk are free for logs and results ({facts.state_dir})"
        return _check("disk", "warn", f"{text}: free some, or point XDG_STATE_HOME at another disk. What takes it:", "du -xhd1 ~ | sort -h")
    return _check("disk", "ok", f"{gib(facts.free_disk_bytes)} of disk free for logs and results")


def _permissions(facts: Facts) -> list[Check]:
    folder = facts.unwritable or facts.state_dir
    checks = []
    if not facts.writable:
        text = f"{facts.state_dir} cannot be written: no run can be started"
        checks.append(_check("permissions", "fail", text, f"sudo chown -R $USER {folder}"))
    for blocked in facts.blocked_folders:
        if blocked != folder or facts.writable:
            text = f"{blocked} cannot be written: profiles, results or caches are lost"
            checks.append(_check("permissions", "warn", text, f"sudo chown -R $USER {blocked}"))
    if facts.blocked_devices:
        text = f"you may not open {', '.join(facts.blocked_devices)}: engines see no GPU"
        checks.append(_check("permissions", "fail", text, "sudo usermod -aG video,render $USER  # then log in again"))
    return checks or [_check("permissions", "ok", "rigtui's folders and the cards can be used")]


def _port(facts: Facts) -> Check:
    if facts.port_free is None:
        return _check("port", "unknown", "port 8080 cannot be tried")
    if facts.port_free:
        return _check("port", "ok", "port 8080 is free")
    return _check("port", "ok", "port 8080 is taken: rigtui takes the next free one", "ss -ltnp 'sport = :8080'")


def _order(rig: Rig, facts: Facts) -> Check:
    # Equal cards have one order by speed: that of the bus.
    if len({gpu.name for gpu in rig.gpus}) > 1 and facts.cuda_device_order != "PCI_BUS_ID":
        text = "CUDA numbers cards by speed, nvidia-smi by PCI bus; rigtui passes UUIDs, but other programs may take the wrong card"
        return _check("cuda_order", "warn", text, "export CUDA_DEVICE_ORDER=PCI_BUS_ID")
    return _check("cuda_order", "ok", "cards have one order")


def _sessions(rig: Rig, facts: Facts) -> list[Check]:
    checks = []
    if rig.platform == "wsl2":
        text = "WSL stops its virtual machine, and every engine in it, soon after its last terminal closes"
        if facts.systemd:
            checks.append(_check("wsl", "warn", f"{text}: keep one open", None if facts.lingering else WSL_LINGER))
        else:
            checks.append(_check("wsl", "warn", f"{text}; systemd is off here, so services cannot hold it", WSL_SYSTEMD))
    if facts.kill_user_processes and not facts.lingering:
        text = "logind ends your processes at logout, engines too"
        checks.append(_check("logind", "warn", text, "sudo loginctl enable-linger $USER"))
    return checks

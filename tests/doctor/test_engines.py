"""What engines need of driver and cards, and whether containers get the GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from rigtui.doctor import software
from rigtui.doctor.check import Check, ContainerFacts, Facts, OllamaFacts
from rigtui.doctor.examine import examine
from rigtui.doctor.examine_engines import examine_builds, examine_containers, numbers
from rigtui.engines.engine import Build
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import GIB

FACTS = Facts(
    free_disk_bytes=100 * GIB,
    state_dir="/home/a/.local/state/rigtui",
    writable=True,
    port_free=True,
    systemd=True,
    lingering=True,
    kill_user_processes=False,
    cuda_device_order="PCI_BUS_ID",
    nvidia_device=True,
)


def rig(driver: str = "580.95.05", *capabilities: str, platform="linux") -> Rig:
    cards = tuple(
        Gpu(index=at, name=f"Card {at}", compute_capability=capability, total_bytes=24 * GIB, free_bytes=23 * GIB)
        for at, capability in enumerate(capabilities or ("8.9",))
    )
    return Rig(name="desk", platform=platform, gpus=cards, driver=driver)


def vllm(version: str) -> Build:
    return Build(engine="vllm", label=f"vLLM {version}", version=version, argv=("/opt/vllm/bin/vllm",))


LLAMA = Build(engine="llama.cpp", label="llama-server b6500", version="b6500", argv=("/usr/bin/llama-server",))


def worst(checks: list[Check]) -> tuple[str, str]:
    order = ("fail", "warn", "unknown", "ok")
    found = min(checks, key=lambda check: order.index(check.status))
    return found.status, found.text


@pytest.mark.parametrize(
    ("driver", "cuda", "status"),
    [("580.65.06", 13, "ok"), ("580.65.05", 13, "fail"), ("575.51.03", 13, "fail"), ("525.60.13", 12, "ok"), ("520.61", 12, "fail")],
)
def test_a_build_for_a_newer_cuda_than_the_driver_runs_fails_with_the_driver_it_needs(driver, cuda, status):
    checks = examine_builds(rig(driver), [LLAMA], replace(FACTS, cuda_runtimes={LLAMA.label: cuda}))
    assert worst(checks)[0] == status
    assert f"CUDA {cuda}" in checks[0].text and driver in checks[0].text
    assert bool(checks[0].mend) == (status == "fail")


def test_of_a_build_that_does_not_say_what_it_was_built_for_nothing_is_claimed():
    assert examine_builds(rig("470.1"), [LLAMA], FACTS) == []
    assert examine_builds(rig("470.1"), [vllm("0.20.0")], FACTS) == []
    assert examine_builds(rig("470.1"), [vllm("dev")], FACTS) == []


def test_vllms_wheel_is_a_cuda_13_build_and_its_cards_must_be_turing():
    status, text = worst(examine_builds(rig("570.1"), [vllm("0.33.0")], FACTS))
    assert status == "fail" and "needs driver 580.65.06 or newer" in text
    status, text = worst(examine_builds(rig("580.95", "6.1", "8.6"), [vllm("0.33.0")], FACTS))
    assert status == "warn" and text.startswith("GPU 0 Card 0 is too old for vLLM 0.33.0: compute capability 6.1, needed 7.5")
    assert worst(examine_builds(rig("580.95", "6.1"), [vllm("0.33.0")], FACTS))[0] == "fail"
    assert [check.status for check in examine_builds(rig("580.95", "7.0"), [vllm("0.14.1")], FACTS)] == []


def test_under_wsl_the_driver_is_mended_in_windows():
    checks = examine_builds(rig("570.1", platform="wsl2"), [vllm("0.33.0")], FACTS)
    assert "Windows" in checks[0].text and checks[0].mend == "wsl.exe --shutdown"


def test_ollama_wants_a_newer_driver_for_old_cards():
    here = replace(FACTS, ollama=OllamaFacts(version="0.31.0", running=True))
    assert worst(examine_builds(rig("560.1", "8.6"), [], here)) == ("ok", "Ollama 0.31.0 is running, its models may hold VRAM")
    assert worst(examine_builds(rig("560.1", "6.1"), [], here))[0] == "warn"
    assert worst(examine_builds(rig("540.1", "8.6"), [], here))[0] == "warn"


WELL = ContainerFacts(client="28.1.1", server="28.1.1", nvidia_runtime=True, toolkit="1.17.4")


@pytest.mark.parametrize(
    ("facts", "status", "told"),
    [
        (WELL, "ok", "containers get the GPUs by the runtime nvidia"),
        (replace(WELL, nvidia_runtime=False, cdi=True), "ok", "by CDI"),
        (ContainerFacts(), "unknown", "no Docker client"),
        (replace(WELL, server="20.10.7"), "warn", "Docker 20.10.7 is older than 23"),
        (replace(WELL, server="23.0.0", toolkit="1.13.5"), "warn", "toolkit 1.13.5 is older than 1.14"),
        (replace(WELL, nvidia_runtime=False, toolkit=None), "warn", "toolkit is missing"),
        (replace(WELL, nvidia_runtime=False), "warn", "Docker does not use it"),
        (replace(WELL, server=None, problem="permission denied while trying to connect"), "warn", "permission denied"),
        (replace(WELL, server=None), "warn", "its daemon does not answer"),
    ],
)
def test_containers(facts, status, told):
    checks = examine_containers(rig(), facts)
    assert worst(checks)[0] == status
    assert any(told in check.text for check in checks if check.status == status)
    mends = [check.mend for check in examine_containers(rig(), facts) if check.status == "warn"]
    assert all(mends)


def test_without_cards_no_toolkit_is_missed():
    bare = replace(rig(), gpus=())
    assert worst(examine_containers(bare, replace(WELL, nvidia_runtime=False, toolkit=None)))[0] == "ok"


def test_equal_cards_have_one_order_and_unequal_ones_a_warning():
    unordered = replace(FACTS, cuda_device_order=None)
    same = replace(rig(), gpus=tuple(replace(rig().gpus[0], index=at, name="RTX 3060") for at in range(2)))
    assert next(check for check in examine(same, [LLAMA], [], unordered) if check.id == "cuda_order").status == "ok"
    assert next(check for check in examine(rig("580", "8.6", "8.9"), [LLAMA], [], unordered) if check.id == "cuda_order").status == "warn"


def test_what_may_not_be_written_or_opened_is_said_with_the_command():
    shut = replace(FACTS, blocked_folders=("/home/a/.config",), blocked_devices=("/dev/nvidia0",))
    found = {check.text: check for check in examine(rig(), [LLAMA], [], shut) if check.id == "permissions"}
    assert [check.status for check in found.values()] == ["warn", "fail"]
    assert any("usermod -aG video" in check.mend for check in found.values())


def test_version_numbers():
    assert numbers("580.65.06") == (580, 65, 6)
    assert numbers("NVIDIA Container Toolkit CLI version 1.17.4") == (1, 17, 4)
    assert numbers(None) == () == numbers("dev")


def program(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_docker_and_the_toolkit_are_asked_and_nonsense_is_nothing(tmp_path, monkeypatch):
    docker = """case "$1" in
version) echo '{"Client":{"Version":"28.1.1"},"Server":{"Version":"27.0.3"}}' ;;
info) echo '{"nvidia":{"path":"x"},"runc":{}}' ;;
esac"""
    program(tmp_path / "bin", "docker", docker, monkeypatch)
    program(tmp_path / "bin", "nvidia-ctk", "echo NVIDIA Container Toolkit CLI version 1.17.4", monkeypatch)
    facts = software.read_containers()
    assert (facts.client, facts.server, facts.nvidia_runtime, facts.toolkit, facts.problem) == ("28.1.1", "27.0.3", True, "1.17.4", None)
    program(
        tmp_path / "bin",
        "docker",
        'echo \'{"Client":{"Version":"28.1.1"},"Server":null}\'; echo \'permission denied\' >&2; exit 1',
        monkeypatch,
    )
    facts = software.read_containers()
    assert (facts.server, facts.problem) == (None, "permission denied")
    program(tmp_path / "bin", "docker", "echo '[1, 2'; exit 3", monkeypatch)
    assert software.read_containers().client is None


def test_the_cuda_that_a_build_links_is_read_off_its_files(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    program(folder, "llama-server", "exit 0", monkeypatch)
    assert software.cuda_runtime(("llama-server",)) is None
    (folder / "libggml-cuda.so").write_bytes(b"\x7fELF\0libcublas.so.13\0libcudart.so.13\0")
    assert software.cuda_runtime(("llama-server",)) == 13
    assert software.cuda_runtime(("/not/here",)) is None and software.cuda_runtime(()) is None

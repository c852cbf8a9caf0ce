from __future__ import annotations

import os

import pytest

from rigtui.rig.host import HostReader, recognise_platform
from rigtui.rig.problems import driver_problem, no_driver_problem
from rigtui.rig.process_names import ProcessNames, describe


@pytest.mark.parametrize(
    ("system", "release", "platform"),
    [
        ("linux", "6.8.0-45-generic", "linux"),
        ("linux", "5.15.153.1-microsoft-standard-WSL2", "wsl2"),
        ("linux", "6.6.36.3-Microsoft", "wsl2"),
        ("linux", "6.10.0-my-wsl-build", "wsl2"),
        ("darwin", "24.1.0", "macos"),
        ("win32", "", "windows"),
    ],
)
def test_the_kernel_names_the_platform(tmp_path, system, release, platform):
    assert recognise_platform(system, release, tmp_path) == platform


def test_wsl_is_known_by_its_libraries_under_a_kernel_of_any_name(root):
    assert recognise_platform("linux", "6.10.0", root("wsl2")) == "wsl2"
    assert recognise_platform("linux", "6.10.0", root("linux")) == "linux"


def test_the_host_tells_ram_and_cpu(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: AMD Ryzen 9 \x1b[1m7950X  \nprocessor\t: 1\nmodel name\t: other\n"
    )
    reader = HostReader(tmp_path)
    host = reader.read()
    assert host.cpu_name == "AMD Ryzen 9 7950X"
    assert 0 < host.ram_free_bytes <= host.ram_total_bytes
    assert host.cpu_percent is None, "one reading cannot tell a share of time"
    assert 0 <= reader.read().cpu_percent <= 100


def test_a_cpu_without_a_name_is_unknown(tmp_path):
    assert HostReader(tmp_path).read().cpu_name is None


def drm(root, vendor: str) -> None:
    device = root / "sys/class/drm/card0/device"
    device.mkdir(parents=True)
    (device / "vendor").write_text(f"{vendor}\n")


def pci(root, vendor: str, kind: str) -> None:
    device = root / f"sys/bus/pci/devices/0000:{vendor[2:4]}:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text(f"{vendor}\n")
    (device / "class").write_text(f"{kind}\n")


def test_an_amd_gpu_alone_is_named(tmp_path):
    drm(tmp_path, "0x1002")
    assert "AMD GPU" in no_driver_problem("linux", tmp_path)


def test_an_amd_compute_device_alone_is_named(tmp_path):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kfd").touch()
    assert "AMD GPU" in no_driver_problem("linux", tmp_path)


def test_an_nvidia_card_without_driver_comes_before_the_amd_chip_beside_it(tmp_path):
    drm(tmp_path, "0x1002")
    pci(tmp_path, "0x10de", "0x030000")
    assert "install your distribution's NVIDIA driver" in no_driver_problem("linux", tmp_path)


def test_an_nvidia_sound_chip_is_no_card(tmp_path):
    pci(tmp_path, "0x10de", "0x040300")
    assert no_driver_problem("linux", tmp_path).startswith("no NVIDIA driver was found")


@pytest.mark.parametrize(("platform", "words"), [("macos", "macOS has no NVIDIA driver"), ("wsl2", "NVIDIA driver in Windows")])
def test_platforms_without_a_library_get_their_own_advice(tmp_path, platform, words):
    assert words in driver_problem(12, "Library Not Found", platform, tmp_path)


@pytest.mark.parametrize(
    ("name", "command", "shown"),
    [
        ("llama-server", [], "llama-server"),
        ("python3.11", ["python3.11", "-u", "/home/me/ComfyUI/main.py", "--key", "secret"], "python3.11 ComfyUI/main.py"),
        ("python3", ["python3", "-m", "vllm.entrypoints", "secret"], "python3 -m vllm.entrypoints"),
        ("python3", ["python3", "-c", "secret"], "python3"),
        ("node", ["node"], "node"),
        ("evil\x1b[2Jname", [], "evilname"),
    ],
)
def test_a_process_is_called_by_what_it_runs(name, command, shown):
    assert describe(name, command) == shown


def test_a_pid_that_left_may_come_back_under_another_name():
    names = ProcessNames()
    names._names[os.getpid()] = "before"
    assert names.name(os.getpid()) == "before"
    names.keep_only(set())
    assert names.name(os.getpid()) != "before"

"""The cards through the real bindings, on a stub of the driver's library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import nvml_stub as stubs
from rigtui.rig.division import NO_ENGINES, Engines
from rigtui.rig.nvml import Nvml, normal_pci
from rigtui.rig.rig import Rig
from rigtui.text import MIB

UUID_4090 = "GPU-11111111-aaaa-bbbb-cccc-000000000001"


@pytest.fixture
def rig_of(reader) -> Callable[..., Rig]:
    """One reading of the rig that the stub shows."""
    return lambda platform="linux", engines=NO_ENGINES: reader(platform).read(engines)


def test_mixed_cards_with_all_that_the_driver_tells(nvml_stub, rig_of):
    nvml_stub(stubs.MIXED + f"  process graphics {os.getpid()} 300\n  process compute 999999999 700\n")
    rig = rig_of()
    assert (rig.driver, rig.cuda, rig.problem) == ("580.95.05", "13.0", None)
    fast, other = rig.gpus
    assert (fast.index, fast.name, fast.uuid, fast.pci) == (0, "NVIDIA GeForce RTX 4090", UUID_4090, "0000:01:00.0")
    assert (fast.compute_capability, other.compute_capability) == ("8.9", "12.0")
    assert (fast.total_bytes, fast.reserved_bytes, fast.free_bytes) == (24564 * MIB, 412 * MIB, 24140 * MIB)
    assert (fast.utilization, fast.memory_utilization, fast.temperature_c) == (12, 3, 41)
    assert (fast.power_w, fast.power_limit_w) == (35.5, 450.0)
    assert fast.processes == ()
    assert fast.bandwidth_gb_s == pytest.approx(1008.1)  # 2 x 10,501 MHz x 384 bit
    assert (fast.display, other.display) == (False, True)
    # The generation is what the slot and card can do (idle links drop to 1), the width what the slot gives now.
    assert (fast.pcie, other.pcie) == ("4.0 x16", "5.0 x4")
    assert [(p.kind, p.bytes // MIB) for p in other.processes] == [("graphics", 300), ("compute", 700)]
    assert other.processes[0].name.startswith("py")
    assert other.processes[1].name == "process 999999999"
    assert (other.desktop_bytes, other.others_bytes, other.unknown_bytes) == (300 * MIB, 700 * MIB, 20 * MIB)


def test_a_process_in_both_lists_counts_once(nvml_stub, rig_of):
    nvml_stub(stubs.MIXED + f"  process both {os.getpid()} 300\n")
    gpu = rig_of().gpus[1]
    assert [(p.kind, p.bytes) for p in gpu.processes] == [("graphics", 300 * MIB)]
    assert (gpu.desktop_bytes, gpu.others_bytes) == (300 * MIB, 0)


def test_a_live_process_takes_memory_until_it_lets_go(nvml_stub, reader):
    stub = nvml_stub(stubs.MIXED)
    cards = reader()
    me = Engines(pids=frozenset({os.getpid()}))
    before = cards.read(me).gpus[0]
    stub.hold(os.getpid(), UUID_4090, 5000)
    during = cards.read(me).gpus[0]
    assert (during.engines_bytes, during.free_bytes) == (5000 * MIB, before.free_bytes - 5000 * MIB)
    stub.release(os.getpid())
    assert cards.read(me).gpus[0].free_bytes == before.free_bytes
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    stub.hold(child.pid, 0, 5000)
    assert cards.read(me).gpus[0].free_bytes == before.free_bytes, "what a dead process held is free"


def test_what_a_driver_does_not_tell_is_none(nvml_stub, rig_of):
    nvml_stub("card Plain Card\n  total_mib 8192\n")
    rig = rig_of()
    assert (rig.driver, rig.cuda) == (None, None)
    gpu = rig.gpus[0]
    assert (gpu.total_bytes, gpu.free_bytes, gpu.error) == (8192 * MIB, 8192 * MIB, None)
    for field in ("uuid", "pci", "compute_capability", "display", "utilization", "temperature_c", "power_w", "power_limit_w", "pcie"):
        assert getattr(gpu, field) is None, field
    assert gpu.bandwidth_gb_s is None


def test_a_name_says_the_bandwidth_where_the_driver_does_not(nvml_stub, rig_of):
    nvml_stub("card NVIDIA GeForce RTX 3060\n  total_mib 12288\n")
    assert rig_of().gpus[0].bandwidth_gb_s == 360


def test_the_monitor_counts_only_where_nobody_tells_of_the_desktop(nvml_stub, rig_of):
    nvml_stub("card A\n  total_mib 1\n  monitor 1\ncard B\n  total_mib 1\n  display 0\n  monitor 1\n")
    assert [gpu.display for gpu in rig_of().gpus] == [True, False]


def test_a_driver_without_the_second_memory_query(nvml_stub, rig_of):
    nvml_stub("fail nvmlDeviceGetMemoryInfo_v2 13\n" + stubs.MIXED)
    gpu = rig_of().gpus[0]
    assert (gpu.total_bytes, gpu.free_bytes, gpu.reserved_bytes) == (24564 * MIB, 24140 * MIB, None)
    assert gpu.unknown_bytes == (412 + 12) * MIB


def test_a_driver_with_the_second_process_lists_only(nvml_stub, rig_of):
    missing = "fail nvmlDeviceGetComputeRunningProcesses_v3 13\nfail nvmlDeviceGetGraphicsRunningProcesses_v3 13\n"
    nvml_stub(missing + stubs.DRIVER + stubs.RTX_4090 + f"  process compute {os.getpid()} 10\n")
    assert [p.pid for p in rig_of().gpus[0].processes] == [os.getpid()]


def test_a_card_without_memory_of_its_own(nvml_stub, rig_of):
    nvml_stub(stubs.DRIVER + "card NVIDIA GB10\n  cc 12.1\n")
    rig = rig_of()
    assert (rig.gpus[0].total_bytes, rig.gpus[0].error) == (None, None)
    assert rig.usable_gpus == ()


@pytest.mark.parametrize("function", ["*", "nvmlDeviceGetMemoryInfo_v2"])
def test_a_lost_card_keeps_its_name_and_spares_the_others(nvml_stub, reader, function):
    stub = nvml_stub(stubs.MIXED)
    cards = reader()
    cards.read()
    stub.write(stubs.DRIVER + stubs.RTX_4090 + f"  fail {function} 15\n" + stubs.RTX_5070_TI)
    lost, other = cards.read().gpus
    assert (lost.name, lost.uuid, lost.free_bytes) == ("NVIDIA GeForce RTX 4090", UUID_4090, None)
    assert "fell off the bus" in lost.error
    assert other.error is None
    assert other.free_bytes == 15980 * MIB
    stub.write(stubs.MIXED)
    assert cards.read().gpus[0].error is None, "it came back"


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("nvmlDeviceGetHandleByIndex_v2 4", "refuses access"),
        ("nvmlDeviceGetHandleByIndex_v2 15", "fell off the bus"),
        ("nvmlDeviceGetMemoryInfo_v2 4", "refuses access"),
        ("nvmlDeviceGetMemoryInfo_v2 16", "needs a reset"),
        ("nvmlDeviceGetMemoryInfo_v2 999", "Unknown Error"),
    ],
)
def test_a_card_that_cannot_be_read_is_a_row_with_one_sentence(nvml_stub, rig_of, failure, words):
    nvml_stub(stubs.DRIVER + stubs.RTX_4090 + f"  fail {failure}\n" + stubs.RTX_5070_TI)
    rig = rig_of()
    assert words in rig.gpus[0].error
    assert "\n" not in rig.gpus[0].error
    assert rig.usable_gpus == (rig.gpus[1],)
    assert rig.problem is None


@pytest.mark.parametrize(
    ("platform", "code", "words"),
    [
        ("linux", 9, "modprobe nvidia"),
        ("linux", 18, "different versions"),
        ("linux", 4, "no permission"),
        ("linux", 999, "nvidia-smi"),
        ("wsl2", 9, "wsl --shutdown"),
        ("wsl2", 18, "driver in Windows"),
    ],
)
def test_a_driver_that_does_not_start_is_one_sentence(nvml_stub, rig_of, platform, code, words):
    nvml_stub(f"fail nvmlInitWithFlags {code}\n" + stubs.MIXED)
    rig = rig_of(platform)
    assert rig.gpus == ()
    assert words in rig.problem
    assert rig.ram_total_bytes > 0


def test_a_driver_without_cards(nvml_stub, rig_of):
    nvml_stub(stubs.DRIVER)
    assert "shows no card" in rig_of().problem


def test_wsl_without_a_process_list(nvml_stub, rig_of):
    nvml_stub("processes empty\n" + stubs.DRIVER + stubs.RTX_4090 + f"  process compute {os.getpid()} 3000\n")
    gpu = rig_of("wsl2", Engines(frozenset({os.getpid()}), {UUID_4090: 2900 * MIB})).gpus[0]
    assert gpu.processes is None
    assert (gpu.engines_bytes, gpu.desktop_bytes, gpu.unknown_bytes) == (2900 * MIB, None, 112 * MIB)


def test_wsl_with_a_process_list_that_hides_the_bytes(nvml_stub, rig_of):
    nvml_stub("processes no_bytes\n" + stubs.DRIVER + stubs.RTX_4090 + f"  process compute {os.getpid()} 3000\n")
    gpu = rig_of("wsl2", Engines(frozenset({os.getpid()}), {UUID_4090: 2900 * MIB})).gpus[0]
    assert [(p.pid, p.bytes, p.engine) for p in gpu.processes] == [(os.getpid(), None, True)]
    assert (gpu.engines_bytes, gpu.unknown_bytes) == (2900 * MIB, 112 * MIB)


def test_a_list_that_is_refused_is_none(nvml_stub, rig_of):
    lists = [f"nvmlDeviceGet{kind}RunningProcesses_v{version}" for kind in ("Compute", "Graphics") for version in (2, 3)]
    nvml_stub("".join(f"fail {name} 4\n" for name in lists) + stubs.MIXED)
    gpu = rig_of().gpus[0]
    assert (gpu.processes, gpu.desktop_bytes, gpu.others_bytes, gpu.engines_bytes) == (None, None, None, 0)
    assert gpu.unknown_bytes == 12 * MIB


def test_the_driver_is_opened_again_after_it_failed_but_not_at_once(nvml_stub):
    now = [0.0]
    stub = nvml_stub(stubs.MIXED)
    nvml = Nvml("linux", retry_s=5, clock=lambda: now[0])
    assert len(nvml.read().gpus) == 2
    stub.write("fail nvmlDeviceGetCount_v2 9\nfail nvmlInitWithFlags 9\n")
    assert "not loaded" in nvml.read().problem
    stub.write(stubs.MIXED)
    now[0] = 4.9
    assert "not loaded" in nvml.read().problem
    now[0] = 5.1
    assert len(nvml.read().gpus) == 2
    nvml.close()


def test_a_monitor_that_is_plugged_in_and_a_new_power_limit_are_seen_within_ten_seconds(nvml_stub):
    now = [0.0]
    stub = nvml_stub(stubs.MIXED)
    nvml = Nvml("linux", clock=lambda: now[0])
    assert (nvml.read().gpus[0].display, nvml.read().gpus[0].power_limit_w) == (False, 450)
    stub.write(stubs.MIXED.replace("display 0", "display 1").replace("power_limit_mw 450000", "power_limit_mw 300000"))
    now[0] = 10.0
    card = nvml.read().gpus[0]
    assert (card.display, card.power_limit_w) == (True, 300)
    nvml.close()


def test_memory_is_asked_at_every_reading(nvml_stub):
    stub = nvml_stub(stubs.MIXED)
    nvml = Nvml("linux", clock=lambda: 0.0)
    free = nvml.read().gpus[0].free_bytes
    stub.write(stubs.MIXED.replace("held_mib 12", "held_mib 112", 1))
    assert free - nvml.read().gpus[0].free_bytes == 100 << 20
    nvml.close()


def test_control_sequences_in_a_card_name_are_removed(nvml_stub, rig_of):
    nvml_stub("card Evil \x1b[31mCard\x07\n  total_mib 1\n")
    assert rig_of().gpus[0].name == "Evil Card"


def test_the_library_is_found_where_the_loader_does_not_look(nvml_stub, tmp_path, monkeypatch):
    stub = nvml_stub(stubs.MIXED)
    inside = tmp_path / "root/usr/lib/wsl/lib"
    inside.mkdir(parents=True)
    shutil.copy(stub.library, inside)
    code = "from pathlib import Path; from rigtui.rig.nvml import Nvml; import sys; print(len(Nvml('wsl2', Path(sys.argv[1])).read().gpus))"
    env = {**os.environ, "LD_LIBRARY_PATH": ""}
    for root, gpus in ((tmp_path / "root", "2"), (tmp_path / "nothing", "0")):
        done = subprocess.run([sys.executable, "-c", code, str(root)], env=env, capture_output=True, text=True, check=True)
        if gpus == "2" or not _has_driver():
            assert done.stdout.strip() == gpus


def _has_driver() -> bool:
    """A real driver on the machine that runs the tests."""
    return Path("/dev/nvidiactl").exists()


@pytest.mark.parametrize(
    ("told", "normal"),
    [("00000000:01:00.0", "0000:01:00.0"), ("0000:C1:00.0", "0000:c1:00.0"), ("00010000:01:00.0", "00010000:01:00.0"), ("", None)],
)
def test_pci_addresses_are_written_as_the_kernel_does(told, normal):
    assert normal_pci(told) == normal

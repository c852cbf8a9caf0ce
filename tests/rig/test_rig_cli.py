"""`rigtui gpus` and `rigtui rig save`, as a user meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import nvml_stub as stubs
from rigtui.cli.main import main
from rigtui.rig import rigfile
from rigtui.rig.division import Engines
from rigtui.text import MIB

RIGS = Path(__file__).parents[1] / "rigs"
RIGTUI = [sys.executable, "-m", "rigtui"]
GPU_KEYS = [
    *("index", "uuid", "pci", "name", "compute_capability", "total_bytes", "free_bytes", "reserved_bytes", "desktop_bytes", "others_bytes"),
    *("engines_bytes", "unknown_bytes", "display", "utilization", "temperature_c", "power_w", "pcie", "processes", "error"),
]


@pytest.fixture(autouse=True)
def fresh_reader(monkeypatch):
    """The handle of this process belongs to the test before."""
    monkeypatch.setattr("rigtui.rig.sampler._shared", None)


@pytest.fixture
def rigtui(capsys):
    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_json_says_what_every_card_has(nvml_stub, rigtui):
    nvml_stub(stubs.MIXED + f"  process graphics {os.getpid()} 300\n")
    code, out, err = rigtui("gpus", "--json")
    data = json.loads(out)
    assert (code, err) == (0, "")
    assert list(data) == ["schema", "rig", "gpus"]
    assert data["schema"] == "rigtui.gpus/1"
    assert data["rig"]["driver"] == "580.95.05"
    assert "gpus" not in data["rig"]
    fast, other = data["gpus"]
    assert list(fast) == GPU_KEYS
    assert (fast["pcie"], fast["total_bytes"], fast["processes"]) == ("4.0 x16", 24564 * MIB, [])
    assert other["display"] is True
    (process,) = other["processes"]
    assert list(process) == ["pid", "name", "kind", "bytes"]
    assert (process["pid"], process["kind"], process["bytes"]) == (os.getpid(), "graphics", 300 * MIB)
    for gpu in data["gpus"]:
        names = ("reserved", "desktop", "others", "engines", "unknown", "free")
        assert sum(gpu[f"{name}_bytes"] for name in names) == gpu["total_bytes"]


def test_the_text_names_every_kind_of_use_and_who_holds_it(nvml_stub, rigtui):
    nvml_stub(stubs.MIXED + f"  process graphics {os.getpid()} 300\n")
    code, out, _ = rigtui("gpus")
    lines = out.splitlines()
    assert code == 0
    heading = next(line for line in lines if line.startswith("GPU"))
    assert heading.split()[2:] == ["total", "free", "reserved", "desktop", "others", "engines", "unknown"]
    row = next(line for line in lines if "RTX 5070 Ti" in line)
    assert row.split()[-7:] == ["16,303", "15,680", "303", "300", "0", "0", "20"]
    assert any(str(os.getpid()) in line and "graphics" in line and " 300 " in line for line in lines)


def test_what_rigtuis_own_engines_hold_is_told_apart(nvml_stub, rigtui, monkeypatch):
    nvml_stub(stubs.MIXED + f"  process compute {os.getpid()} 300\n")
    monkeypatch.setattr("rigtui.runs.watch.engines_on_this_rig", lambda: Engines(frozenset({os.getpid()})))
    _, out, _ = rigtui("gpus", "--json")
    other = json.loads(out)["gpus"][1]
    assert (other["engines_bytes"], other["others_bytes"]) == (300 * MIB, 0)
    assert any(str(os.getpid()) in line and " engine " in line for line in rigtui("gpus")[1].splitlines())


def test_the_text_fits_80_columns_with_the_largest_figures(nvml_stub, rigtui):
    card = (
        "card NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition\n  uuid U\n  pci 00000000:C1:00.0\n  cc 12.0\n  total_mib 143771\n"
        "  reserved_mib 10000\n  held_mib 10000\n  display 1\n  utilization 100 100\n  temperature 104\n  power_mw 1000000\n"
        "  power_limit_mw 1000000\n  pcie_generation 5 5\n  pcie_width 16 16\n  process compute 4194304 12345\n"
    )
    nvml_stub(stubs.DRIVER + card * 8 + "card NVIDIA GeForce RTX 5090\n  fail * 15\n")
    _, out, _ = rigtui("gpus")
    assert max(map(len, out.splitlines())) <= 80
    assert "RTX PRO 6000 Blackwell Max-Q Workstation Edition" in out
    assert "fell off the bus" in out


def test_a_failing_card_stands_beside_the_others(nvml_stub, rigtui):
    nvml_stub(stubs.DRIVER + stubs.RTX_4090 + "  fail nvmlDeviceGetMemoryInfo_v2 4\n" + stubs.RTX_5070_TI)
    code, out, _ = rigtui("gpus", "--json")
    failing, other = json.loads(out)["gpus"]
    assert code == 0
    assert "refuses access" in failing["error"]
    assert failing["free_bytes"] is None
    assert other["error"] is None


def test_a_machine_without_a_driver_is_told_what_to_do(nvml_stub, rigtui):
    nvml_stub("fail nvmlInitWithFlags 18\n")
    code, out, _ = rigtui("gpus")
    assert code == 0
    assert "reboot" in out
    code, out, _ = rigtui("gpus", "--json")
    assert code == 0
    data = json.loads(out)
    assert data["gpus"] == []
    assert "reboot" in data["rig"]["problem"]


def test_a_rig_file_is_shown_as_simulated(rigtui):
    _, out, _ = rigtui("--rig", str(RIGS / "wsl-4090.toml"), "gpus")
    assert "simulated" in out
    assert "Windows and other WSL programs" in out
    _, out, _ = rigtui("gpus", "--rig", str(RIGS / "desk-4090-5070ti.toml"), "--json")
    data = json.loads(out)
    assert data["rig"]["simulated"] is True
    assert [gpu["desktop_bytes"] for gpu in data["gpus"]] == [0, 2900 * MIB]
    assert "Windows" not in rigtui("gpus", "--rig", str(RIGS / "desk-4090-5070ti.toml"))[1]


def test_a_rig_without_gpus_says_so(rigtui):
    code, out, _ = rigtui("gpus", "--rig", str(RIGS / "no-gpu.toml"))
    assert code == 0
    assert "no GPU" in out


def test_a_bad_rig_file_is_a_usage_error(tmp_path, rigtui):
    path = tmp_path / "bad.toml"
    path.write_text('[rig]\nname = "x"\n[[gpu]]\nname = "y"\ntotal_mib = -5\n')
    code, out, err = rigtui("gpus", "--rig", str(path))
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "total_mib" in err


def test_watch_prints_reading_after_reading_until_ctrl_c(nvml_stub):
    stub = nvml_stub(stubs.MIXED)
    child = subprocess.Popen([*RIGTUI, "gpus", "--json", "--watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        first = json.loads(child.stdout.readline())
        stub.hold(child.pid, 0, 4000)
        changed = json.loads(child.stdout.readline())
        assert first["gpus"][0]["free_bytes"] - changed["gpus"][0]["free_bytes"] == 4000 * MIB
    finally:
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=120)
    assert (child.returncode, errors) == (130, "")


def test_a_whole_process_reads_the_stub_and_loads_nothing_heavy(nvml_stub):
    nvml_stub(stubs.MIXED)
    code = (
        "import sys; from rigtui.cli.main import main; code = main(['gpus', '--json']);"
        "heavy = {'textual', 'rich', 'huggingface_hub', 'docker', 'asyncio', 'safetensors', 'httpx'} & set(sys.modules);"
        "sys.exit(f'loaded {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["gpus"]) == 2


def test_the_rig_is_saved_and_planned_for_elsewhere(nvml_stub, rigtui, tmp_path):
    nvml_stub(stubs.MIXED + "  process graphics 999999999 300\n")
    path = tmp_path / "mine.toml"
    code, out, err = rigtui("rig", "save", str(path))
    assert (code, out) == (0, "")
    assert "2 GPUs" in err
    rig = rigfile.load(path)
    assert [(gpu.name, gpu.free_bytes, gpu.desktop_bytes, gpu.display) for gpu in rig.gpus] == [
        ("NVIDIA GeForce RTX 4090", 24140 * MIB, 0, False),
        ("NVIDIA GeForce RTX 5070 Ti", 15680 * MIB, 300 * MIB, True),
    ]
    assert rig.ram_total_bytes > 0
    assert rigtui("gpus", "--rig", str(path))[0] == 0


def test_a_saved_rig_is_not_replaced_without_force(rigtui, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("mine")
    code, _, err = rigtui("--rig", str(RIGS / "one-4090.toml"), "rig", "save", str(path))
    assert (code, path.read_text()) == (1, "mine")
    assert "--force" in err
    code, out, _ = rigtui("--rig", str(RIGS / "one-4090.toml"), "rig", "save", str(path), "--force", "--json")
    assert code == 0
    assert json.loads(out) == {"schema": "rigtui.rig/1", "path": str(path), "name": "one-4090", "gpus": 1}
    assert rigfile.load(path) == rigfile.load(RIGS / "one-4090.toml")


def test_a_place_that_cannot_be_written_is_one_sentence(rigtui, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = rigtui("--rig", str(RIGS / "one-4090.toml"), "rig", "save", str(tmp_path / "file" / "rig.toml"))
    assert code == 1
    assert "there is no folder" in err
    assert len(err.splitlines()) == 1

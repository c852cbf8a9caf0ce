"""What the check-up says of rigs that are well and of rigs that are not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from rigtui.cli.main import main
from rigtui.doctor.check import Check, Facts
from rigtui.doctor.examine import examine
from rigtui.doctor.facts import _kill_user_processes
from rigtui.engines.engine import Build, BuildDevice
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import GIB
from tools.make_gguf import tiny_llama

PROGRAMS = {"curl", "du", "export", "git", "nvidia-smi", "ollama", "pip", "printf", "rigtui", "ss", "sudo", "wsl.exe"}
WELL = Facts(
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
CARDS = tuple(
    Gpu(index=i, name=f"Card {i}", uuid=f"GPU-{i}", total_bytes=24 * GIB, free_bytes=free * GIB) for i, free in enumerate((23, 5))
)
RIG = Rig(name="desk", platform="linux", gpus=CARDS, driver="580.95", cuda="13.0", ram_total_bytes=64 * GIB, ram_free_bytes=50 * GIB)
CUDA = Build(
    engine="llama.cpp",
    label="llama-server b1",
    version="b1",
    argv=("/usr/bin/llama-server",),
    devices=(BuildDevice(device="CUDA0", name="Card 0"),),
)
CPU = Build(engine="llama.cpp", label="embedded", version="1", argv=("python",), embedded=True, gpu=False)


def by_id(checks: tuple[Check, ...], identity: str) -> list[Check]:
    return [check for check in checks if check.id == identity]


def test_a_rig_that_is_well() -> None:
    checks = examine(replace(RIG, gpus=CARDS[:1]), [CUDA], [], WELL)
    assert {check.status for check in checks} <= {"ok", "unknown"}
    assert "580.95" in by_id(checks, "driver")[0].text


def test_whatever_is_not_well_says_how_to_mend_it() -> None:
    sick = replace(
        WELL,
        writable=False,
        free_disk_bytes=GIB,
        kill_user_processes=True,
        lingering=False,
        cuda_device_order=None,
        problems=("x.toml: bad",),
    )
    lost = replace(CARDS[1], error="the card fell off the bus", free_bytes=None)
    checks = examine(replace(RIG, gpus=(CARDS[0], lost)), [CPU], ["llama-server does not answer"], sick)
    for identity in ("gpu1", "permissions", "disk", "logind", "cuda_order"):
        found = by_id(checks, identity)[0]
        assert found.status in ("warn", "fail")
        assert found.mend
    assert "until it is corrected" in by_id(checks, "file")[0].text
    assert any(check.status == "warn" and "CPU" in check.text for check in by_id(checks, "engine"))


def test_a_card_that_is_mostly_taken_is_a_warning() -> None:
    assert by_id(examine(RIG, [CUDA], [], WELL), "gpu1")[0].status == "warn"


def test_no_engine_at_all_is_a_failure_with_a_way_out() -> None:
    check = by_id(examine(RIG, [], [], WELL), "engine")[0]
    assert (check.status, "pip install" in (check.mend or "")) == ("fail", True)


def test_an_engine_that_config_toml_names_wrongly_is_told_by_its_line_alone() -> None:
    checks = by_id(examine(RIG, [], [], WELL, misnamed=["llama_server … or take the line out"]), "engine")
    assert [(check.status, check.text, check.mend) for check in checks] == [("fail", "llama_server … or take the line out", None)]


@pytest.mark.parametrize("named", ["/nope/llama-server", "/bin/true", "no-such-llama-server"])
def test_the_line_of_config_toml_is_what_is_in_the_way(named: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = Path.home() / ".config" / "rigtui" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[engines]\nllama_server = "{named}"\n')
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    line = f"llama_server under [engines] in {config} cannot be followed: "
    assert f"FAILED   {line}" in said
    assert "pip install" not in said
    assert main(["plan", str(tiny_llama(tmp_path / "x.gguf"))]) == 4
    assert f"rigtui: {line}" in capsys.readouterr().err


def test_a_config_toml_that_cannot_be_followed_is_said_to_stop_what_it_stops(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = Path.home() / ".config" / "rigtui" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[engines\n")
    assert main(["doctor"]) == 1
    (line,) = (line for line in capsys.readouterr().out.splitlines() if str(config) in line)
    assert line.startswith("FAILED ")
    assert "nothing is planned or launched" in line
    assert "left out" not in line
    for words in (["plan", str(tiny_llama(tmp_path / "x.gguf"))], ["models"]):
        assert main(words) == 2


def test_what_mends_is_a_command_that_a_shell_can_read() -> None:
    sick = replace(WELL, writable=False, free_disk_bytes=GIB, kill_user_processes=True, lingering=False, cuda_device_order=None)
    rigs = [RIG, replace(RIG, gpus=(replace(CARDS[1], error="lost"),)), replace(RIG, platform="wsl2", driver="500.1")]
    mends = {check.mend for one in rigs for builds in ([], [CPU], [CUDA]) for check in examine(one, builds, [], sick) if check.mend}
    assert len(mends) >= 6
    for mend in mends:
        assert subprocess.run(["sh", "-nc", mend], check=False).returncode == 0, mend
        assert re.split(r"[ ;]", mend)[0] in PROGRAMS, mend


def test_a_missing_driver_fails_only_where_there_is_a_card() -> None:
    bare = Rig(name="vm", platform="linux", problem="no NVIDIA driver was found")
    assert by_id(examine(bare, [CPU], [], replace(WELL, nvidia_device=False)), "driver")[0].status == "warn"
    assert by_id(examine(bare, [CPU], [], WELL), "driver")[0].status == "fail"


def test_wsl_is_told_when_its_machine_stops() -> None:
    wsl = replace(RIG, platform="wsl2")
    assert "enable-linger" in (by_id(examine(wsl, [CUDA], [], replace(WELL, lingering=False)), "wsl")[0].mend or "")
    assert "wsl.conf" in (by_id(examine(wsl, [CUDA], [], replace(WELL, systemd=False)), "wsl")[0].mend or "")


def test_logind_is_read_with_its_drop_ins(tmp_path: Path) -> None:
    assert _kill_user_processes(tmp_path) is None
    (tmp_path / "logind.conf").write_text("[Login]\n#KillUserProcesses=yes\nKillUserProcesses=no\n")
    assert _kill_user_processes(tmp_path) is False
    (tmp_path / "logind.conf.d").mkdir()
    (tmp_path / "logind.conf.d" / "10.conf").write_text("[Login]\nKillUserProcesses = yes\n")
    assert _kill_user_processes(tmp_path) is True


def test_the_command_speaks_json(tmp_path: Path) -> None:
    config = Path.home() / ".config" / "rigtui"
    config.mkdir(parents=True)
    (config / "config.toml").write_text("[models]\nfolder = ['/x']\n")
    done = subprocess.run([sys.executable, "-m", "rigtui", "doctor", "--json"], capture_output=True, check=False)
    said = json.loads(done.stdout)
    assert said["schema"] == "rigtui.doctor/1"
    assert {"id", "status", "text", "mend"} == set(said["checks"][0])
    texts = " ".join(check["text"] for check in said["checks"])
    assert "folders" in texts
    assert b"Traceback" not in done.stderr

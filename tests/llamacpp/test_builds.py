"""Builds are found in order, read from what they say themselves, and a broken one costs a sentence."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from rigtui.engines.engine import Build, BuildDevice
from rigtui.engines.llamacpp import abilities, builds
from rigtui.errors import MissingError, RigtuiError
from rigtui.rig.rig import Gpu
from rigtui.text import MIB
from runs.support import wait_until

HELP = """----- common params -----

-h,    --help, --usage                  print usage and exit
--version                               show version and build info
-m,    --model FNAME                    model path to load
                                        (env: LLAMA_ARG_MODEL) see --not-a-flag
--port PORT                             port to listen (default: 8080)
-kvo,  --kv-offload, -nkvo, --no-kv-offload
                                        whether to enable KV cache offloading (default: enabled)
-ot,   --override-tensor <tensor name pattern>=<buffer type>,...
                                        override tensor buffer type
--list-devices                          print list of available devices and exit
"""
DEVICES = """ggml_cuda_init: found 2 CUDA devices (Total VRAM: 40867 MiB):
  Device 0: NVIDIA GeForce RTX 4090, compute capability 8.9, VMM: yes, VRAM: 24564 MiB
Available devices:
  CUDA0: NVIDIA GeForce RTX 4090 (24564 MiB, 23700 MiB free)
  CUDA1: NVIDIA GeForce RTX 5070 Ti (16303 MiB, 12345 MiB free)
  BLAS: OpenBLAS (0 MiB, 0 MiB free)
"""


def fake(
    folder: Path,
    *,
    help_: str = HELP,
    version: str = "version: 0.5.0-dev (build 1, commit 0c1e570)",
    devices: str = DEVICES,
    extra: str = "",
) -> Path:
    """A program that answers like llama-server and notes what it was asked, in `asked` beside it."""
    folder.mkdir(exist_ok=True)
    path = folder / "llama-server"
    path.write_text(
        f'#!/bin/sh\necho "$1 $CUDA_DEVICE_ORDER" >> "{folder}.asked"\n{extra}\n'
        f"case $1 in\n--help) cat <<'X'\n{help_}\nX\n;;\n--version) cat >&2 <<'X'\n{version}\nX\n;;\n"
        f"--list-devices) cat <<'X'\n{devices}\nX\n;;\nesac\n"
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def no_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builds, "_embedded_version", lambda: None)


@pytest.fixture(autouse=True)
def plain_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A PATH with what the fakes need, and no engine of the machine's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("cat", "head", "sleep"):
        (folder / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
    monkeypatch.setenv("PATH", str(folder))
    return str(folder)


def test_a_build_is_what_it_says_of_itself(tmp_path: Path, no_embedded: None) -> None:
    path = fake(tmp_path / "a")
    (build,) = builds.find(str(path))
    assert build.argv == (str(path),)
    assert build.version == "0.5.0-dev (build 1, commit 0c1e570)"
    assert build.label == "llama-server 0.5.0-dev (CUDA)"
    assert builds.build_id(build) == "0.5.0-dev (build 1, commit 0c1e570) CUDA"
    assert [(d.device, d.name, d.total_bytes, d.free_bytes) for d in build.devices] == [
        ("CUDA0", "NVIDIA GeForce RTX 4090", 24564 * MIB, None),
        ("CUDA1", "NVIDIA GeForce RTX 5070 Ti", 16303 * MIB, None),
    ]
    assert build.gpu
    assert {"-nkvo", "--no-kv-offload", "-ot", "--override-tensor", "--usage", "-m"} <= build.options
    assert "--not-a-flag" not in build.options


def test_what_is_on_path_and_what_was_named_come_in_order(tmp_path: Path, plain_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = fake(tmp_path / "path", version="version: 6500 (abc)", devices="Available devices:")
    named = fake(tmp_path / "named")
    monkeypatch.setenv("PATH", f"{on_path.parent}:{plain_path}")
    found = builds.find(str(named))
    assert [b.argv[0] for b in found[:2]] == [str(named), str(on_path)]
    assert found[1].label == "llama-server b6500 (CPU only)"
    assert not found[1].gpu
    assert [b.embedded for b in builds.find()] == [False, True]
    # Named by its name on PATH it is listed once.
    assert [b.embedded for b in builds.find("llama-server")] == [False, True]


def test_the_embedded_engine_is_listed_without_loading_it() -> None:
    loaded = "xllamacpp" in sys.modules
    (build,) = builds.find()
    assert build.embedded
    assert not build.gpu
    assert build.argv == (sys.executable, "-m", "rigtui.engines.llamacpp.embedded")
    assert build.label == f"embedded (xllamacpp {build.version}, CPU only)"
    assert {"-lv", "--fit-target", "--model"} <= build.options
    assert "--log-jsonl" not in build.options
    assert ("xllamacpp" in sys.modules) == loaded


def test_a_build_is_asked_once_and_again_when_it_or_what_it_sees_changes(
    tmp_path: Path, no_embedded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fake(tmp_path / "a")
    asked = Path(f"{path.parent}.asked")
    builds.find(str(path))
    builds.find(str(path))
    assert asked.read_text().split("\n")[:-1] == ["--help PCI_BUS_ID", "--version PCI_BUS_ID", "--list-devices PCI_BUS_ID"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    builds.find(str(path))
    assert len(asked.read_text().split("\n")) == 7
    fake(tmp_path / "a", version="version: 7000 (def)")
    os.utime(path, (1, 1))
    assert builds.find(str(path))[0].version == "7000 (def)"


def test_a_damaged_cache_is_not_missed(tmp_path: Path, home: Path, no_embedded: None) -> None:
    path = fake(tmp_path / "a")
    cache = home / ".cache" / "rigtui" / "builds.msgpack"
    cache.parent.mkdir(parents=True)
    cache.write_bytes(b"\xff" * 100)
    assert builds.find(str(path))[0].gpu
    assert cache.read_bytes() != b"\xff" * 100
    cache.unlink()
    cache.mkdir()
    assert builds.find(str(path))[0].gpu


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        ("kill -SEGV $$", "failed at --help (killed by SIGSEGV)"),
        (
            "echo 'libcuda.so.1: cannot open shared object file\x1b[31m' >&2; exit 127",
            "(exit status 127): libcuda.so.1: cannot open shared object file",
        ),
        ("echo hello; exit 0", "is not a llama-server"),
        ("head -c 3000000 /dev/zero; exit 0", "did not answer --help"),
        ("[ $1 = --version ] && exit 0", "does not say its version"),
    ],
)
def test_a_broken_build_costs_one_sentence(extra: str, why: str, tmp_path: Path, plain_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake(tmp_path / "a", extra=extra)
    with pytest.raises(RigtuiError) as raised:
        builds.find(str(path))
    assert why in str(raised.value)
    assert "\x1b" not in str(raised.value)
    assert "\n" not in str(raised.value)
    monkeypatch.setenv("PATH", f"{path.parent}:{plain_path}")
    found = builds.survey()
    assert [b.embedded for b in found.builds] == [True]
    assert why in found.problems[0]


def test_a_build_that_hangs_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_embedded: None) -> None:
    pids, patience = tmp_path / "pids", 0.3
    path = fake(tmp_path / "a", extra=f'sleep 600 & echo $! >> "{pids}"; wait')
    while not (pids.exists() and pids.read_text()):  # on a busy machine it may be ended before it has begun
        monkeypatch.setattr(abilities, "_ANSWER_S", patience)
        with pytest.raises(RigtuiError, match="did not answer --help within"):
            builds.find(str(path))
        patience *= 2
    for pid in pids.read_text().split():
        # What was killed may still have to be scheduled to end.
        wait_until(lambda state=Path(f"/proc/{pid}/stat"): _has_ended(state), f"the end of child {pid}")


def _has_ended(state: Path) -> bool:
    try:
        return state.read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_build_that_cannot_list_devices_is_too_old(tmp_path: Path, no_embedded: None) -> None:
    path = fake(tmp_path / "a", help_=HELP.replace("--list-devices", "--list-nothing"))
    with pytest.raises(RigtuiError, match="too old"):
        builds.find(str(path))


def test_what_was_named_and_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_embedded: None) -> None:
    plain = tmp_path / "plain"
    plain.write_text("x")
    for named, why in (
        (str(tmp_path / "none"), "there is no file"),
        ("no-such-server", "on PATH"),
        (str(plain), "not executable"),
        ("embedded", "rigtui[engine]"),
        (str(tmp_path), "there is no file"),
    ):
        with pytest.raises(MissingError) as raised:
            builds.find(named)
        assert why in str(raised.value)
    assert builds.find() == []


def _build(*devices: tuple[str, str, int]) -> Build:
    return Build(
        engine="llama.cpp",
        label="x",
        version="1",
        argv=("x",),
        devices=tuple(BuildDevice(device=d, name=n, total_bytes=t * MIB) for d, n, t in devices),
    )


def _gpu(index: int, name: str, total: int) -> Gpu:
    return Gpu(index=index, name=name, total_bytes=total * MIB)


def test_cards_get_the_build_s_names() -> None:
    gpus = (_gpu(0, "NVIDIA GeForce RTX 3060", 12288), _gpu(1, "NVIDIA GeForce RTX 4090", 24564), _gpu(2, "NVIDIA GeForce RTX 3060", 8192))
    full = _build(
        ("CUDA0", "NVIDIA GeForce RTX 3060", 11909), ("CUDA1", "NVIDIA GeForce RTX 4090", 24081), ("CUDA2", "NVIDIA GeForce RTX 3060", 7900)
    )
    assert builds.device_names(full, gpus) == ("CUDA0", "CUDA1", "CUDA2")
    # Only the 8 GB one of two cards of the same name is visible.
    assert builds.device_names(_build(("CUDA0", "NVIDIA GeForce RTX 3060", 7900)), gpus) == (None, None, "CUDA0")
    both = _build(("CUDA0", "NVIDIA GeForce RTX 4090", 24081), ("Vulkan0", "NVIDIA GeForce RTX 4090 (NVIDIA)", 24564))
    assert builds.device_names(both, gpus) == (None, "CUDA0", None)
    assert builds.device_names(_build(), gpus) == (None, None, None)


def test_rubbish_lists_no_device() -> None:
    assert (
        abilities.parse_devices("  CUDA0: x (99999999999999 MiB, 1 MiB free)\n CUDA1: y (1 MiB, 1 MiB free)\nCUDA2\n" + "(" * 100_000) == ()
    )
    assert len(abilities.parse_devices("\n".join(f"  CUDA{i}: x (1 MiB, 1 MiB free)" for i in range(1000)))) == 64

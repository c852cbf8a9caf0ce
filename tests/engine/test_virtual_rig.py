"""The virtual rig behaves as a machine with NVIDIA cards: towards engines, towards NVML, and towards several programs at once."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from engine.virtual_rig import Card, LlamaServer, VirtualRig, uuid
from rigtui.engines.llamacpp import builds
from rigtui.rig.rigfile import load
from rigtui.text import MIB
from tools.make_gguf import model_file, tiny_llama

BIG = Card(name="NVIDIA GeForce RTX 3090", total_mib=24576, free_mib=23400, bandwidth_gb_s=936)
SMALL = Card(name="NVIDIA GeForce RTX 3060", total_mib=12288, free_mib=11910, bandwidth_gb_s=360)
LLAMA = "llama-3.1-8b-q4_k_m"
ON_ONE_CARD = ("-fit", "off", "-c", "4096", "-np", "1", "--no-warmup", "-dev", "CUDA0")

Make = Callable[..., VirtualRig]


def gpus() -> list[dict[str, Any]]:
    """What `rigtui gpus` reads from NVML."""
    code = "import sys; from rigtui.cli.main import main; sys.exit(main(['gpus', '--json']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)["gpus"]
    return found


def complete(server: LlamaServer, tokens: int) -> dict[str, Any]:
    body = {"prompt": "the", "n_predict": tokens, "temperature": 0, "ignore_eos": True}
    request = urllib.request.Request(f"{server.address}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def test_the_engine_and_rigtui_see_the_same_cards(virtual_rig: Make) -> None:
    rig = virtual_rig([BIG, SMALL])
    build = builds.find()[0]
    assert build.argv == (str(rig.llama_server),)
    assert [(device.device, device.name) for device in build.devices] == [("CUDA0", BIG.name), ("CUDA1", SMALL.name)]
    by_file = load(rig.rig_file).gpus
    for card, seen, filed in zip(rig.cards, gpus(), by_file, strict=True):
        assert (seen["name"], seen["total_bytes"], seen["free_bytes"]) == (card.name, card.total_mib * MIB, card.free_mib * MIB)
        assert (filed.name, filed.free_bytes, filed.bandwidth_gb_s) == (card.name, card.free_mib * MIB, card.bandwidth_gb_s)


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (f"{uuid(1)},{uuid(0)}", [SMALL.name, BIG.name]),
        ("1", [SMALL.name]),
        ("0,7,1", [BIG.name]),
        ("", []),
    ],
)
def test_cuda_visible_devices_chooses_and_orders(visible: str, names: list[str], virtual_rig: Make) -> None:
    rig = virtual_rig([BIG, SMALL])
    command, environment = [str(rig.llama_server), "--list-devices"], {**os.environ, "CUDA_VISIBLE_DEVICES": visible}
    listed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert [line.split(": ")[1].split(" (")[0] for line in listed.splitlines() if "CUDA" in line] == names


def test_what_an_engine_holds_shows_in_nvml_by_pid_and_goes_with_it(virtual_rig: Make, tmp_path: Path) -> None:
    rig = virtual_rig([BIG, SMALL], compute=False)
    with rig.serve(model_file(LLAMA, tmp_path), *ON_ONE_CARD) as server:
        assert server.address
        assert rig.holders(0) == {server.process.pid: rig.allocated(0)}
        first, second = gpus()
        [process] = first["processes"]
        assert (process["pid"], process["kind"], process["bytes"]) == (server.process.pid, "compute", rig.allocated(0))
        assert first["free_bytes"] == BIG.free_mib * MIB - rig.allocated(0)
        assert (second["processes"], second["free_bytes"]) == ([], SMALL.free_mib * MIB)
        assert server.stop() == 0
    assert [gpu["free_bytes"] for gpu in gpus()] == [BIG.free_mib * MIB, SMALL.free_mib * MIB]


def test_a_killed_engine_frees_what_it_held(virtual_rig: Make, tmp_path: Path) -> None:
    rig = virtual_rig([BIG], compute=False)
    with rig.serve(model_file(LLAMA, tmp_path), *ON_ONE_CARD) as server:
        assert server.address
        server.process.kill()
        server.ended()
    assert gpus()[0]["free_bytes"] == BIG.free_mib * MIB


def test_another_program_takes_memory_while_an_engine_runs(virtual_rig: Make, tmp_path: Path) -> None:
    rig = virtual_rig([BIG], compute=False)
    model = model_file(LLAMA, tmp_path)
    with rig.serve(model, *ON_ONE_CARD) as first:
        assert first.address
        pid = rig.take(0, 16000)
        assert {process["pid"]: process["bytes"] for process in gpus()[0]["processes"]} == {
            first.process.pid: rig.allocated(0),
            pid: 16000 * MIB,
        }
        left = BIG.free_mib - 16000 - -(-rig.allocated(0) // MIB)
        with rig.serve(model, *ON_ONE_CARD) as second:
            assert second.ended() == 1
        assert f"using device CUDA0 ({BIG.name}) (0000:01:00.0) - {left} MiB free" in second.log
        assert re.search(r"alloc_buffer: allocating \d{4}\.\d\d MiB on device 0: cudaMalloc failed: out of memory\n", second.log)
        assert "alloc_tensor_range: failed to allocate CUDA0 buffer of size" in second.log
        assert first.process.poll() is None
        rig.take(0, 0)
        with rig.serve(model, *ON_ONE_CARD) as third:
            assert third.address


def test_what_the_driver_takes_for_a_process_is_gone_before_the_engine_looks(virtual_rig: Make, tmp_path: Path) -> None:
    rig = virtual_rig([Card(name="A", total_mib=24576, free_mib=24000, context_mib=450, limit_mib=5000)], compute=False)
    with rig.serve(model_file(LLAMA, tmp_path), *ON_ONE_CARD, "-c", "16384") as server:
        assert server.ended() == 1
    assert "(0000:01:00.0) - 23550 MiB free" in server.log
    assert "CUDA0 model buffer size" in server.log
    assert "failed to allocate buffer for kv cache" in server.log


def test_a_model_answers_as_on_the_cpu(virtual_rig: Make, tmp_path: Path) -> None:
    rig = virtual_rig([BIG, SMALL])
    model = tiny_llama(tmp_path / "tiny.gguf")
    answers = []
    for where in (("-dev", "none"), ("-dev", "CUDA0,CUDA1", "-ts", "1,1"), ("-dev", "CUDA1", "-ngl", "2")):
        with rig.serve(model, "-fit", "off", "-c", "1024", *where) as server:
            answers.append(complete(server, 24)["content"])
            assert bool(rig.allocated(1)) == (where[1] != "none")
    assert answers[0]
    assert answers[1:] == answers[:1] * 2


def test_a_paced_rig_is_as_fast_as_its_bandwidths_say(virtual_rig: Make, tmp_path: Path) -> None:
    slow = Card(name="Slow", total_mib=24576, free_mib=24000, bandwidth_gb_s=40)
    fast = Card(name="Fast", total_mib=24576, free_mib=24000, bandwidth_gb_s=160)
    rig = virtual_rig([slow, fast], compute=False, paced=True, ram_gb_s=20)
    model = model_file(LLAMA, tmp_path)
    per_token = {}
    for card in ("CUDA0", "CUDA1"):
        with rig.serve(model, *ON_ONE_CARD, "-dev", card) as server:
            per_token[card] = complete(server, 8)["timings"]["predicted_per_token_ms"]
            weights = server.buffers[card].weights
        # Not faster than memory allows; a busy machine may be slower.
        assert per_token[card] > 0.97 * weights / (rig.cards[int(card[-1])].bandwidth_gb_s * 1e9) * 1000
    assert per_token["CUDA0"] > 2 * per_token["CUDA1"]


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (Card(name="A", total_mib=8192, free_mib=8000, fail_at=3), "CUDA error: unspecified launch failure"),
        (Card(name="A", total_mib=8192, free_mib=8000, pool_mib=7999), "CUDA error: out of memory"),
    ],
)
def test_an_engine_dies_while_it_computes(card: Card, said: str, virtual_rig: Make, tmp_path: Path) -> None:
    rig = virtual_rig([card])
    with rig.serve(tiny_llama(tmp_path / "tiny.gguf"), "-fit", "off", "-c", "1024", "-ngl", "99", "--no-warmup") as server:
        with contextlib.suppress(OSError, HTTPException, AssertionError):
            complete(server, 8)
        assert server.ended() == -6
    assert said in server.log

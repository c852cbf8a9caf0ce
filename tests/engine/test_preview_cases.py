"""The preview against real allocations: for each kind of layer and of placement the case that tells most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.virtual_rig import Card, VirtualRig
from rigtui.engines.llamacpp.arguments import RefusedError, read_command
from rigtui.engines.llamacpp.kv import ONE_CACHE_TYPE
from rigtui.engines.llamacpp.preview import preview
from rigtui.rig.rigfile import load
from rigtui.text import MIB
from tools.make_gguf import model, model_file

CARD = Card(name="NVIDIA RTX A6000", total_mib=49140, free_mib=48000)
EXACT = (
    ("deepseek-v2-lite-q4_k_m", 2, "-c 4096"),  # latent attention, a leading dense block
    ("glm-4.7-flash-q4_k_m", 1, "-c 4096"),
    ("glm-4.5-air-q4_k_m", 3, "-c 4096"),  # the gate's output does not fit the hole that attention leaves
    ("gpt-oss-20b-mxfp4", 1, "-c 8192 -fa off"),  # places of V in two caches
    ("qwen2.5-7b-q4_k_m", 1, "-c 8192 -fa off -np 4"),  # each stream attends to itself
    ("mamba2-2.7b-q4_k_m", 1, "-c 4096"),
    ("qwen3.5-35b-a3b-q4_k_m", 3, "-c 8192 -ub 128"),  # states weigh more than activations
    ("starcoder2-7b-q4_k_m", 1, "-c 4096"),  # no gate
    ("command-r-q4_k_m", 1, "-c 16384 -ctk q8_0 -ctv q8_0"),  # attention's result waits beside the feed-forward part
    ("phi-3-mini-q4_k_m", 2, "-c 4096"),
    ("bge-large-f16", 1, "--embedding"),  # no head, no cache
    ("granite-4.0-h-tiny-q4_k_m", 1, "-c 131072 -ctk bf16 -ctv bf16"),  # positions are rotated in unless its header says otherwise
    ("nemotron-h-8b-q4_k_m", 1, "-c 8192 -ub 2048"),  # blocks in no regular order
    ("smallthinker-21b-q4_k_m", 1, "-c 8192 -fa off"),  # the router stands before attention
    ("mamba-2.8b-q4_k_m", 2, "-c 8192 -ub 2048"),  # a head per channel
    ("jamba-v0.1-q4_k_m", 2, "-c 32768 -ctk q8_0 -ctv q8_0 -np 4"),
    ("falcon-h1-7b-q4_k_m", 2, "-c 8192"),  # attention beside Mamba-2
    ("nemotron-3-nano-30b-a3b-q4_k_m", 2, "-c 16384 -ub 1024 -np 2"),
    ("llama-4-scout-q4_k_m", 2, "-c 16384 -fa off"),  # experts' weights before the experts
    ("minimax-m2-q4_k_m", 4, "-c 32768"),
    ("qwen3-14b-q4_k_m", 2, "-c 12000 -ts 40,1"),  # a context that is padded, a card with the head alone
)
IN_RAM = (
    ("llama-3.1-8b-q4_k_m", 1, "-c 65536 -ngl 20"),
    ("olmo-2-7b-q4_k_m", 1, "-np 8 -ngl 20"),
    ("glm-4.5-air-q4_k_m", 4, "-c 2048 -ncmoe 30"),
    ("glm-4.7-flash-q4_k_m", 2, "-c 131072 -ub 64 -ctk q4_0 -ctv q4_0 -ngl 21"),  # V copied from RAM is no part of K any more
    ("nemotron-h-8b-q4_k_m", 1, "-c 8192 -ngl 34"),  # a GPU would compute attention of a layer in RAM: no flash attention at all
)


@pytest.mark.parametrize(("name", "cards", "arguments"), [*EXACT, *IN_RAM])
def test_as_allocated(name: str, cards: int, arguments: str, virtual_rig: Callable[..., VirtualRig], tmp_path: Path) -> None:
    rig = virtual_rig([CARD] * cards, compute=False)
    words = ("--fit", "off", *arguments.split())
    plan = preview(load(rig.rig_file), model(name), read_command(("llama-server", *words)), words)
    with rig.serve(model_file(name, tmp_path), *words, "--no-warmup") as server:
        assert server.address
        real = server.buffers
    for index, device in enumerate(plan.devices):
        buffers = real[device.device]
        assert [device.weights_bytes, device.kv_bytes] == pytest.approx([buffers.weights, buffers.kv], abs=MIB)
        off = device.compute_bytes - buffers.compute
        assert off > -32 * MIB
        if (name, cards, arguments) in EXACT:
            assert abs(off) < 1.5 * MIB
        else:
            assert abs(off) <= (64 * MIB if index else max(256 * MIB, buffers.compute / 4))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("llama-3.1-8b-q4_k_m", "-c 32768 -ctk q8_0 -ctv q8_0"),
        ("glm-4.7-flash-q4_k_m", "-c 131072 -ub 64 -ctk q4_0 -ctv q4_0"),  # the CPU makes no copies of K and V
        ("falcon-h1-7b-q4_k_m", "-c 16384"),
    ],
)
def test_as_allocated_without_a_gpu(name: str, arguments: str, virtual_rig: Callable[..., VirtualRig], tmp_path: Path) -> None:
    rig = virtual_rig([CARD], compute=False)
    words = ("--device", "none", *arguments.split())
    plan = preview(load(rig.rig_file), model(name), read_command(("llama-server", *words)), words)
    with rig.serve(model_file(name, tmp_path), *words, "--no-warmup") as server:
        assert server.address
        real = server.buffers["CPU"]
    assert plan.host.compute_bytes == pytest.approx(real.compute, abs=MIB)
    assert plan.host.kv_bytes == pytest.approx(real.kv, abs=MIB)


LARGE = Card(name="NVIDIA RTX A6000", total_mib=49140, free_mib=47000)
SMALL = Card(name="NVIDIA GeForce GTX 1660 Ti", total_mib=6144, free_mib=2400, compute_capability="7.5")
MIDDLE = Card(name="NVIDIA GeForce RTX 3060", total_mib=12288, free_mib=11000)


@pytest.mark.parametrize(
    ("name", "cards", "arguments"),
    [
        # Blocks with experts take turns with others: more layers may take less, and the end of the search is one of several.
        ("jamba-v0.1-q4_k_m", [replace(SMALL, free_mib=5990)], "-c 4096 -ub 2048 -fa off"),
        # The whole mixture fits on the first card, and its head goes there too, which `--fit` does by counting below zero.
        ("qwen3-30b-a3b-q4_k_m", [LARGE, SMALL], "-c 8192 -fitt 1024,2100"),
        # The last card holds nothing at all: no experts are brought back from RAM, though the others have room for them.
        ("qwen3-30b-a3b-q4_k_m", [LARGE, MIDDLE, SMALL], "-c 8192 -fitt 1024,1024,2250"),
    ],
)
def test_the_turns_that_fit_takes(
    name: str, cards: list[Card], arguments: str, virtual_rig: Callable[..., VirtualRig], tmp_path: Path
) -> None:
    rig = virtual_rig(cards, compute=False)
    words = tuple(arguments.split())
    plan = preview(load(rig.rig_file), model(name), read_command(("llama-server", *words)), words)
    with rig.serve(model_file(name, tmp_path), *words, "--no-warmup") as server:
        assert server.address
        real = server.buffers
    for device in plan.devices:
        assert [device.weights_bytes, device.kv_bytes] == pytest.approx(
            [real[device.device].weights, real[device.device].kv] if device.device in real else [0, 0], abs=MIB
        )


@pytest.mark.parametrize(
    ("name", "free", "arguments"),
    [
        # Without flash attention: measured on the card with copies of K and V, allocated in RAM.
        ("gemma-3-4b-q4_k_m", 6490, "-ub 2048 -np 2 -fa off"),
        ("qwen3-0.6b-q4_k_m", 4592, "-ub 2048 -np 1 -fa off -ctk q8_0"),
        ("llama-3.2-1b-q4_k_m", 4369, "-np 4 -fa off"),
        ("gemma-3-4b-q4_k_m", 6490, "-ub 2048 -np 2 -fa on"),
        ("llama-3.2-1b-q4_k_m", 4369, "-ub 1024 -np 2 -fa on"),
        # States in RAM draw attention there, and the engine gives flash attention up unless it was told to use it.
        ("lfm2-1.2b-q4_k_m", 4500, "-ub 256"),
        ("lfm2-1.2b-q4_k_m", 4500, "-ub 256 -np 2 -fa on"),
        ("mamba2-2.7b-q4_k_m", 4500, "-ub 1024"),
    ],
)
def test_a_cache_in_ram(name: str, free: int, arguments: str, virtual_rig: Callable[..., VirtualRig], tmp_path: Path) -> None:
    rig = virtual_rig([replace(MIDDLE, free_mib=free)], compute=False)
    words = ("-nkvo", *arguments.split())
    plan = preview(load(rig.rig_file), model(name), read_command(("llama-server", *words)), words)
    with rig.serve(model_file(name, tmp_path), *words, "--no-warmup") as server:
        assert server.address
        log, real = server.log, server.buffers
    assert f"llama_context: n_ctx                 = {plan.context}\n" in log
    assert plan.engine_view.flash_attention == ("Flash Attention not supported" not in log and "-fa off" not in arguments)
    assert plan.devices[0].weights_bytes == pytest.approx(real["CUDA0"].weights, abs=MIB)
    assert plan.host.kv_bytes == pytest.approx(real["CPU"].kv, abs=MIB)
    assert plan.devices[0].compute_bytes == pytest.approx(real["CUDA0"].compute, abs=1.5 * MIB)
    assert plan.host.compute_bytes == pytest.approx(real["CUDA_Host"].compute, abs=1.5 * MIB)


def test_a_fit_that_does_not_end_is_said(virtual_rig: Callable[..., VirtualRig]) -> None:
    """Seen with llama.cpp 0.5.0-dev: over 260 placements tried in eight minutes, layers counted up to 2³², none of them to any avail."""
    rig = virtual_rig([LARGE, MIDDLE, SMALL], compute=False)
    words = ("-c", "8192", "-fitt", "1024,9500")
    with pytest.raises(RefusedError, match="--fit does not end here"):
        preview(load(rig.rig_file), model("qwen3-30b-a3b-q4_k_m"), read_command(("llama-server", *words)), words)


def test_latent_attention_has_one_cache_type(virtual_rig: Callable[..., VirtualRig], tmp_path: Path) -> None:
    rig = virtual_rig([CARD], compute=False)
    words = ("-ctk", "f16", "-ctv", "q8_0")
    with pytest.raises(RefusedError) as refused:
        preview(load(rig.rig_file), model("deepseek-v2-lite-q4_k_m"), read_command(("llama-server", *words)), words)
    with rig.serve(model_file("deepseek-v2-lite-q4_k_m", tmp_path), *words) as server:
        assert server.ended() == 1
    assert str(refused.value) == ONE_CACHE_TYPE.format("f16", "q8_0")
    assert str(refused.value) in server.log


@pytest.mark.parametrize(("second", "more"), [(48_000, "--fit off -ts 1,1"), (4000, "")], ids=["divided by hand", "fitted"])
def test_weights_are_loaded_before_the_cache_is_refused(
    second: int, more: str, virtual_rig: Callable[..., VirtualRig], tmp_path: Path
) -> None:
    rig = virtual_rig([replace(CARD, free_mib=3000), replace(CARD, free_mib=second)], compute=False)
    words = ("-ctk", "f16", "-ctv", "q8_0", *more.split())
    plan = preview(load(rig.rig_file), model("deepseek-v2-lite-q4_k_m"), read_command(("llama-server", *words)), words)
    assert plan.status == "no_fit"
    with rig.serve(model_file("deepseek-v2-lite-q4_k_m", tmp_path), *words) as server:
        assert server.ended() == 1
    assert "unable to allocate CUDA0 buffer" in server.log
    # `--fit` asks for a context beforehand, in vain.
    assert "cache types" not in server.log.rpartition("fitting params")[2]
    assert plan.engine_view.fit.status == ("off" if more else "failed")
    assert (plan.engine_view.fit.message or "") in server.log

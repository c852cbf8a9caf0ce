"""The preview against what real llama.cpp decided and allocated."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from msgspec.structs import replace

from planning.toys import gpu, rig
from rigtui.engines.llamacpp.arguments import RefusedError, read_command
from rigtui.engines.llamacpp.environment import arguments
from rigtui.engines.llamacpp.preview import preview
from rigtui.errors import UsageError
from rigtui.planning.plan import Plan
from rigtui.rig.rigfile import load
from rigtui.text import GIB, MIB
from tools.make_gguf import model

RIGS = Path(__file__).parents[1] / "rigs"
CASES = {case["id"]: case for case in map(json.loads, (Path(__file__).parent / "oracle" / "cases.jsonl").read_text().splitlines())}
LOADED = [identity for identity, case in CASES.items() if not case["refused"]]


@cache
def previewed(identity: str) -> Plan:
    case = CASES[identity]
    words = ("llama-server", "-m", case["model"], *case["args"])
    return preview(load(RIGS / f"{case['rig']}.toml"), model(case["model"]), read_command(words), words)


def layers(identity: str) -> tuple[list[int], list[int]]:
    """Layers per device: predicted and real."""
    return [device.layers for device in previewed(identity).devices], [device[0] for device in CASES[identity]["devices"]]


def same_decision(identity: str) -> bool:
    mine, real = layers(identity)
    return previewed(identity).context == CASES[identity]["context"] and mine == real


@pytest.mark.parametrize("identity", LOADED)
def test_decision(identity: str) -> None:
    case, plan = CASES[identity], previewed(identity)
    assert plan.context == pytest.approx(case["context"], rel=0.05)
    assert all(abs(mine - real) <= 2 for mine, real in zip(*layers(identity), strict=True))
    assert (plan.engine_view.fit.status, plan.engine_view.fit.message) == (case["fit"], case["message"])
    assert plan.engine_view.pipeline_parallel == case["pipeline"]


def test_nearly_every_decision_is_exact() -> None:
    assert sum(map(same_decision, LOADED)) >= 0.95 * len(LOADED)


def test_bytes_per_device() -> None:
    rows = exact = 0
    for identity in filter(same_decision, LOADED):
        case, plan = CASES[identity], previewed(identity)
        for index, (device, (_, weights, kv, compute)) in enumerate(zip(plan.devices, case["devices"], strict=True)):
            assert abs(device.kv_bytes - kv) <= MIB, identity
            if not plan.engine_view.override_tensor:
                assert abs(device.weights_bytes - weights) <= MIB, identity
            if not case["allocated"]:
                continue
            # Too little is what makes a load die; too much only wastes.
            assert device.compute_bytes > compute - 32 * MIB, identity
            off = abs(device.compute_bytes - compute)
            if plan.host.offloaded_layers:
                assert off <= (max(256 * MIB, compute // 4) if index == 0 else 64 * MIB), identity
            else:
                rows += 1
                exact += off <= MIB
                assert off <= 48 * MIB, identity
    assert rows > 150
    assert exact >= 0.95 * rows


def test_a_refused_command_is_refused_with_the_engines_words() -> None:
    refused = [case for case in CASES.values() if case["refused"]]
    assert refused
    for case in refused:
        with pytest.raises(RefusedError, match="requires flash_attn"):
            previewed(case["id"])


def test_weights_that_do_not_fit_end_a_load_before_its_cache_types_are_refused() -> None:
    words = ("-ctk", "f16", "-ctv", "q8_0", "--fit", "off", "-ts", "1,3")
    asked = read_command(("llama-server", *words))
    small = rig(gpu(0, 2000), gpu(1, 60_000))
    plan = preview(small, model("deepseek-v2-lite-q4_k_m"), asked, words)
    assert plan.status == "no_fit"
    assert [reason.code for reason in plan.warnings] == ["no_fit", "refused"]
    with pytest.raises(RefusedError, match="different K"):
        preview(rig(gpu(0, 20_000), gpu(1, 60_000)), model("deepseek-v2-lite-q4_k_m"), asked, words)


def test_heads_that_a_cache_type_does_not_divide_are_refused_with_the_engines_words() -> None:
    words = ("llama-server", "-m", "x", "-ctk", "q8_0")
    with pytest.raises(RefusedError, match="K cache type q8_0 with block size 32 does not divide n_embd_head_k=80"):
        preview(load(RIGS / "dual-3090.toml"), model("phi-2-q4_k_m"), read_command(words), words)


def test_attention_in_one_piece_is_off_where_no_card_has_it() -> None:
    words = ("llama-server", "-m", "x")
    for name, has in (("minilm-l12-f16", False), ("bge-large-f16", True)):
        plan = preview(load(RIGS / "dual-3090.toml"), model(name), read_command(words), words)
        assert plan.engine_view.flash_attention == has


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name the command"),
        (["llama-server", "-c"], "needs a value"),
        (["llama-server", "-c", "many"], "whole number"),
        (["llama-server", "-ctk", "q8"], "did you mean q8_0"),
        (["llama-server", "-sm", "rows"], "none, layer"),
        (["llama-server", "-ts", "a,b"], "shares"),
        (["llama-server", "-ot", "nonsense"], "PATTERN=BUFFER"),
        (["llama-server", "-fa", "maybe"], "on, off or auto"),
        (["llama-server", "-np", "0"], "-np takes"),
        (["llama-server", "--ctx-size=2048"], "write --ctx-size 2048"),
    ],
)
def test_words_that_cannot_be_are_one_sentence(words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_command(words)


@pytest.mark.parametrize(
    ("words", "context", "slots", "shared"),
    [
        ("-c 4096 -no-kvu", 4096, 4, True),
        ("-c 4096 -np -1 -no-kvu", 4096, 4, True),
        ("-c 4096 -np 2 -no-kvu -kvu", 4096, 2, True),
        ("-c 4096 -np 2 -kvu -no-kvu", 4096, 2, False),
        ("-np 3 --kv-unified-per-slot 1024", 3072, 3, False),
        ("-c 8192 -np 3 --kv-unified-per-slot 1024", 8192, 3, False),
    ],
)
def test_slots_share_the_cache_as_llama_server_has_them(words: str, context: int, slots: int, shared: bool) -> None:
    settings = read_command(["llama-server", *words.split()]).settings
    assert (settings.context, settings.slots, settings.unified_kv) == (context, slots, shared)


def test_no_microbatch_is_the_whole_batch() -> None:
    assert read_command(["llama-server", "-ub", "0", "-b", "777"]).settings.ubatch == 777


def test_dense_layers_that_the_user_keeps_in_ram_are_there() -> None:
    words = ("llama-server", "-m", "x", "-c", "4096", "-ncffn", "4")
    plain = preview(load(RIGS / "one-4090.toml"), model("llama-3.1-8b-q4_k_m"), read_command(words[:-2]), words)
    plan = preview(load(RIGS / "one-4090.toml"), model("llama-3.1-8b-q4_k_m"), read_command(words), words)
    assert (plan.status, plan.host.offloaded_layers) == ("offload", 4)
    assert plan.host.weights_bytes - plain.host.weights_bytes > 300 * MIB


def test_variables_before_the_command_count_and_its_own_words_win() -> None:
    env = {"LLAMA_ARG_CTX_SIZE": "8192", "LLAMA_ARG_N_PARALLEL": "2", "LLAMA_ARG_KV_OFFLOAD": "0", "OTHER": "1"}
    asked = read_command(("llama-server", *arguments(env), "-c", "4096"))
    assert (asked.settings.context, asked.settings.slots, asked.settings.kv_offload) == (4096, 2, False)
    assert asked.passed_over == ()


def test_cards_that_cuda_hides_are_not_used_and_the_rest_are_counted_anew() -> None:
    words, rig = ("llama-server", "-m", "x", "-c", "4096", "-ngl", "99"), load(RIGS / "desk-3090-3060.toml")
    for shown, names in (("1", ["NVIDIA GeForce RTX 3060"]), ("1,0", ["NVIDIA GeForce RTX 3060", "NVIDIA GeForce RTX 3090"]), ("", [])):
        plan = preview(rig, model("llama-3.1-8b-q4_k_m"), read_command(words), words, {"CUDA_VISIBLE_DEVICES": shown})
        assert [device.name for device in plan.devices] == names
        assert [device.device for device in plan.devices] == [f"CUDA{at}" for at in range(len(names))]


def test_what_takes_memory_beside_the_model_is_said() -> None:
    words = ("llama-server", "-m", "x", "-c", "4096", "-md", "draft.gguf", "--temp", "1")
    plan = preview(load(RIGS / "one-4090.toml"), model("llama-3.1-8b-q4_k_m"), read_command(words), words)
    said = {warning.code: warning.text for warning in plan.warnings}
    assert "a draft model" in said["not_counted"]
    assert said["passed_over"] == "not looked at: --temp"


@pytest.mark.parametrize(
    "more", [["--device", "CUDA7"], ["-ot", "x=CUDA9"], ["-ot", "(=CPU"], ["-sm", "none", "-mg", "5"], ["-sm", "tensor"]]
)
def test_what_the_rig_does_not_have_is_one_sentence(more: list[str]) -> None:
    words = ("llama-server", "-m", "x", *more)
    with pytest.raises(UsageError):
        preview(load(RIGS / "dual-3090.toml"), model("llama-3.1-8b-q4_k_m"), read_command(words), words)


def test_without_a_gpu_ram_decides() -> None:
    words = ("llama-server", "-m", "x", "-c", "65536", "-np", "1")
    small = replace(load(RIGS / "no-gpu.toml"), ram_free_bytes=20 * GIB)
    plan = preview(small, model("qwen3-32b-q4_k_m"), read_command(words), words)
    assert plan.status == "no_fit"
    assert {"ram", "context_trained"} <= {warning.code for warning in plan.warnings}
    roomy = replace(small, ram_free_bytes=200 * GIB)
    assert preview(roomy, model("qwen3-32b-q4_k_m"), read_command(words), words).status == "fits"


def test_the_last_of_equal_options_wins() -> None:
    asked = read_command(["llama-server", "-c", "1024", "--ctx_size", "2048", "--mystery", "7", "-np", "2"])
    assert (asked.settings.context, asked.settings.slots, asked.settings.unified_kv) == (2048, 2, False)
    assert asked.passed_over == ("--mystery",)

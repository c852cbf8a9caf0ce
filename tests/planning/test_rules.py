"""The rules of the derivation, each with numbers a reader can add up."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from planning.toys import HEAD, LAYER, gpu, intent, rig, toy_model
from rigtui.engines.engine import Build
from rigtui.engines.llamacpp.arguments import read_command
from rigtui.engines.llamacpp.command import spawn
from rigtui.engines.llamacpp.preview import preview
from rigtui.errors import MissingError, UsageError
from rigtui.planning.choose import choose
from rigtui.planning.plan import Plan
from rigtui.planning.speed import Stage, decode_tok_s
from rigtui.text import GIB, MIB


def codes(plan: Plan) -> set[str]:
    return {reason.code for reason in (*plan.reasons, *plan.warnings)}


def test_fastest_card_alone_when_the_wanted_context_fits_it() -> None:
    plan = choose(rig(gpu(0, 4000, bandwidth=400), gpu(1, 4000, bandwidth=900)), toy_model(), intent(), [])
    assert plan.status == "fits"
    assert [device.name for device in plan.devices] == ["Card 1"]
    assert plan.split_mode == "none"
    assert plan.devices[0].weights_bytes == 10 * LAYER + HEAD
    # 8,192 tokens x 1 KiB x 10 layers.
    assert plan.devices[0].kv_bytes == 80 * MIB
    assert plan.devices[0].output
    assert plan.fit_target_mib == (128,)
    assert plan.env == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "GPU-1"}


def test_one_card_that_holds_it_beats_a_split_that_is_hardly_faster() -> None:
    plan = choose(rig(gpu(0, 4000, bandwidth=490), gpu(1, 900, bandwidth=500)), toy_model(), intent(), [])
    assert [device.name for device in plan.devices] == ["Card 0"]


def test_a_split_beats_a_slow_card_that_holds_it_alone() -> None:
    plan = choose(rig(gpu(0, 4000, bandwidth=200), gpu(1, 900, bandwidth=900)), toy_model(), intent(), [])
    assert {device.name: device.layers for device in plan.devices} == {"Card 0": 4, "Card 1": 6}


def test_as_few_cards_as_hold_it_the_fast_ones_first() -> None:
    cards = (gpu(0, 900, bandwidth=300), gpu(1, 900, bandwidth=900), gpu(2, 900, bandwidth=700), gpu(3, 900, bandwidth=300))
    plan = choose(rig(*cards), toy_model(), intent(), [])
    assert sorted(device.name for device in plan.devices) == ["Card 1", "Card 2"]
    assert plan.env["CUDA_VISIBLE_DEVICES"].split(",") == [f"GPU-{device.name[-1]}" for device in plan.devices]


def test_two_cards_when_one_does_not_hold_it() -> None:
    plan = choose(rig(gpu(0, 900), gpu(1, 900)), toy_model(), intent(), [])
    assert plan.status == "fits"
    assert sum(device.layers for device in plan.devices) == 10
    assert [device.output for device in plan.devices] == [False, True]
    assert plan.devices[1].first_layer == plan.devices[0].layers
    assert sum(device.weights_bytes for device in plan.devices) == 10 * LAYER + HEAD
    assert plan.split_mode == "layer"
    assert {"-ngl", "-ts", "-ot"}.isdisjoint(plan.command)
    assert "--load-mode" in plan.command


def test_a_card_with_a_desktop_keeps_more_free() -> None:
    plan = choose(rig(gpu(0, 1200), gpu(1, 2000, display=True)), toy_model(), intent(), [])
    assert plan.fit_target_mib == (128, 1024)
    assert [device.headroom_bytes for device in plan.devices] == [128 * MIB, GIB]


def test_context_shrinks_to_what_fits_and_says_so() -> None:
    plan = choose(rig(gpu(0, 1400)), toy_model(), intent(context=65536), [])
    assert plan.status == "tight"
    assert 4096 <= plan.context < 65536
    assert plan.context % 256 == 0
    assert "most that fit" in " ".join(reason.text for reason in plan.reasons)
    # The next 256 tokens (2.5 MiB of KV and their share of the mask) would not fit any more.
    assert plan.devices[0].free_after_bytes - plan.devices[0].headroom_bytes < 4 * MIB


def test_a_coarser_cache_is_taken_only_when_it_is_needed() -> None:
    wide = intent(context=65536, kv=("f16", "q8_0"))
    assert choose(rig(gpu(0, 4000)), toy_model(), wide, []).kv_type == ("f16", "f16")
    tight = choose(rig(gpu(0, 1710)), toy_model(), wide, [])
    assert (tight.status, tight.kv_type) == ("fits", ("q8_0", "q8_0"))
    assert "-ctk" in tight.command


def test_layers_go_to_ram_only_when_the_least_context_does_not_fit() -> None:
    plan = choose(rig(gpu(0, 700)), toy_model(), intent(), [])
    assert plan.status == "offload"
    assert 0 < plan.devices[0].layers < 10
    assert plan.host.offloaded_layers == 10 - plan.devices[0].layers
    assert "--load-mode" not in plan.command


def test_experts_go_to_ram_before_dense_layers() -> None:
    plan = choose(rig(gpu(0, 700)), toy_model(experts=True), intent(), [])
    assert plan.status == "offload"
    assert plan.devices[0].layers == 10
    assert plan.host.offloaded_layers > 0
    assert any("ffn_" in pattern for pattern in plan.engine_view.override_tensor or ())


def test_ram_that_does_not_hold_the_rest_is_no_fit() -> None:
    plan = choose(rig(gpu(0, 700), ram_gib=2), toy_model(), intent(), [])
    assert plan.status == "no_fit"
    assert "RAM" in plan.reasons[0].text
    assert "smaller" in codes(plan)


def test_host_cache_is_lowered_when_ram_is_tight() -> None:
    plan = choose(rig(gpu(0, 4000), ram_gib=6), toy_model(), intent(), [])
    index = plan.command.index("--cache-ram")
    assert 0 < int(plan.command[index + 1]) < 8192


def test_runtime_is_counted_apart_from_headroom() -> None:
    plan = choose(rig(gpu(0, 4000, runtime_mib=450)), toy_model(), intent(), [])
    device = plan.devices[0]
    assert device.floor_bytes == 450 * MIB
    assert device.used_bytes == device.weights_bytes + device.kv_bytes + device.compute_bytes + device.floor_bytes
    assert device.free_after_bytes == device.free_before_bytes - device.used_bytes


def test_a_rig_without_gpu_runs_on_the_cpu() -> None:
    plan = choose(rig(), toy_model(), intent(), [])
    assert plan.status == "fits"
    assert plan.devices == ()
    assert plan.host.weights_bytes >= 10 * LAYER + 2 * HEAD
    assert plan.env == {}
    assert "cpu" in codes(plan)


def test_a_build_that_sees_no_gpu_gives_a_cpu_plan_with_a_warning() -> None:
    build = Build(engine="llama.cpp", label="embedded", version="1", argv=("python", "-m", "x"), embedded=True, gpu=False)
    plan = choose(rig(gpu(0, 8000)), toy_model(), intent(), [build])
    assert plan.devices == ()
    assert plan.status == "offload"
    assert "cpu_build" in codes(plan)
    assert plan.command[:3] == ("python", "-m", "x")
    assert "--fit-target" not in plan.command


def test_a_simulated_rig_gets_a_command_of_its_own_unless_it_is_launched_here() -> None:
    build = Build(engine="llama.cpp", label="embedded", version="1", argv=("python", "-m", "x"), embedded=True, gpu=False)
    described = replace(rig(gpu(0, 8000)), simulated=True)
    shown = choose(described, toy_model(), intent(), [build])
    assert shown.command[0] == "llama-server"
    assert "--fit-target" in shown.command
    assert shown.env == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    launched = choose(described, toy_model(), intent(), [build], here=True)
    assert launched.command[0] == "python"
    assert "--fit-target" not in launched.command
    assert launched.devices == shown.devices
    assert "cpu_build" in codes(launched)


def test_what_the_user_set_is_never_changed() -> None:
    plan = choose(
        rig(gpu(0, 1400), gpu(1, 1400)),
        toy_model(),
        intent(context=8192, gpus=("1", "0"), fit_target_mib=(300, 200), kv_type=("q8_0", "f16"), ubatch=256, engine_args=("--foo", "x y")),
        [],
    )
    assert [device.name for device in plan.devices] == ["Card 1", "Card 0"]
    assert plan.fit_target_mib == (300, 200)
    assert plan.kv_type == ("q8_0", "f16")
    assert plan.command[plan.command.index("-ub") + 1] == "256"
    assert plan.command[-2:] == ("--foo", "x y")
    assert plan.env["CUDA_VISIBLE_DEVICES"] == "GPU-1,GPU-0"


def test_a_context_of_the_users_is_kept_even_if_layers_go_to_ram() -> None:
    wanted = intent()
    wanted = replace(wanted, overrides=replace(wanted.overrides, context=65536))
    plan = choose(rig(gpu(0, 1400)), toy_model(), wanted, [])
    assert (plan.context, plan.status) == (65536, "offload")


def test_several_requests_share_the_context() -> None:
    plan = choose(rig(gpu(0, 4000)), toy_model(), intent(context=8192, parallel=4), [])
    assert (plan.parallel, plan.context_per_slot, plan.context) == (4, 8192, 32768)
    assert plan.command[plan.command.index("-np") + 1] == "4"


def test_settings_that_switch_fit_off_are_named() -> None:
    plan = choose(rig(gpu(0, 4000)), toy_model(), intent(engine_args=("-ngl", "20")), [])
    assert "fit_off" in codes(plan)
    assert plan.command[-2:] == ("-ngl", "20")


OWN = [
    "-ngl 3",
    "-ngl 99",
    "-ts 1,3",
    "--fit off",
    "-nkvo",
    "-fa off",
    "-ot blk\\.[01]\\.ffn=CPU",
    "-ncffn 2",
    "-np -1",
    "-c 4096 -np 2",
    "-ctk q8_0",
    "-b 256",
]


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("cards", [(4000,), (700, 600)])
def test_a_plan_is_what_its_own_command_does_whatever_the_user_adds(own: str, cards: tuple[int, ...]) -> None:
    here = rig(*(gpu(index, size) for index, size in enumerate(cards)))
    plan = choose(here, toy_model(), intent(context=8192, least=1024, engine_args=tuple(own.split())), [])
    seen = preview(here, toy_model(), read_command(plan.command), plan.command, plan.env)

    def said(plan: Plan) -> list[object]:
        rows = [(d.device, d.layers, d.output, d.weights_bytes, d.kv_bytes, d.compute_bytes, d.free_after_bytes) for d in plan.devices]
        return [rows, plan.host, plan.context, plan.context_per_slot, plan.parallel, plan.kv_type, plan.engine_view.fit.status]

    assert said(plan) == said(seen)


def test_a_micro_batch_counts_as_no_more_than_the_batch() -> None:
    plan = choose(rig(gpu(0, 4000)), toy_model(), intent(batch=256, ubatch=4096), [])
    small = choose(rig(gpu(0, 4000)), toy_model(), intent(batch=256, ubatch=256), [])
    assert "ubatch_over_batch" in codes(plan)
    assert plan.devices == small.devices


def test_what_the_user_pins_is_shown_as_it_will_be_with_its_status() -> None:
    plan = choose(rig(gpu(0, 4000)), toy_model(), intent(engine_args=("-ngl", "3")), [])
    assert (plan.status, plan.devices[0].layers, plan.host.offloaded_layers) == ("offload", 2, toy_model().layers - 2)
    assert plan.reasons[0].code == "own_arguments"
    free = choose(rig(gpu(0, 4000)), toy_model(), intent(), [])
    assert (plan.expected.decode_tok_s or 0) < (free.expected.decode_tok_s or 0)


def test_a_context_among_the_arguments_is_the_users_own() -> None:
    plan = choose(rig(gpu(0, 4000)), toy_model(), intent(context=65536, least=1024, engine_args=("-c", "4096", "-np", "2")), [])
    assert (plan.context, plan.context_per_slot, plan.parallel) == (4096, 2048, 2)


def test_a_shells_variables_for_llama_server_do_not_reach_what_is_launched() -> None:
    build = Build(engine="llama.cpp", label="llama-server", version="1", argv=("llama-server",), gpu=True)
    plan = choose(rig(gpu(0, 4000)), toy_model(), intent(env={"LLAMA_ARG_THREADS": "4"}), [build])
    found = spawn(plan, build, "127.0.0.1", 8080)
    assert {"LLAMA_ARG_N_GPU_LAYERS", "LLAMA_ARG_FIT", "LLAMA_ARG_HF_REPO", "LLAMA_ARG_KV_OFFLOAD"} <= set(found.not_inherited)
    assert "LLAMA_ARG_THREADS" not in found.not_inherited
    assert found.env["LLAMA_ARG_THREADS"] == "4"


def test_a_split_that_rigtui_cannot_follow_is_said() -> None:
    for own, word in ((("-sm", "row"), "--split-mode row"), (("-dev", "CUDA0"), "--gpus")):
        plan = choose(rig(gpu(0, 4000)), toy_model(), intent(engine_args=own), [])
        assert word in next(warning.text for warning in plan.warnings if warning.code == "not_followed")


@pytest.mark.parametrize("own", [("--device", "none"), ("--n-gpu-layers", "0"), ("-ngl", "0", "--fit", "off")])
def test_arguments_that_leave_the_gpus_out_give_a_cpu_plan(own: tuple[str, ...]) -> None:
    plan = choose(rig(gpu(0, 8000)), toy_model(), intent(engine_args=own), [])
    assert plan.devices == ()
    assert plan.status == "offload"
    assert "leaves the GPUs out" in plan.reasons[0].text
    assert "--fit-target" not in plan.command
    assert plan.command[-len(own) :] == own


def test_a_context_that_is_no_multiple_of_a_block_is_counted_as_the_engine_rounds_it() -> None:
    wanted = replace(intent(), overrides=replace(intent().overrides, context=3000))
    plan = choose(rig(gpu(0, 4000)), toy_model(), wanted, [])
    assert (plan.context, plan.context_per_slot) == (3072, 3072)
    assert plan.command[plan.command.index("-c") + 1] == "3000"


def test_a_larger_micro_batch_is_kept_and_priced() -> None:
    plan = choose(rig(gpu(0, 4000)), toy_model(), intent(ubatch=2048), [])
    assert plan.command[plan.command.index("-ub") + 1] == "2048"
    assert any(warning.code == "ubatch" and "MiB more" in warning.text for warning in plan.warnings)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"gpus": ("7",)}, "no GPU is called '7'"),
        ({"gpus": ("card",)}, "means several GPUs"),
        ({"gpus": ("0", "GPU-0")}, "named twice"),
        ({"fit_target_mib": (1, 2, 3)}, "3 values for 2 GPUs"),
        ({"kv_type": ("q9", "q9")}, "'q9' is not a KV cache type"),
    ],
)
def test_settings_that_cannot_be_are_one_sentence(own: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        choose(rig(gpu(0, 4000), gpu(1, 4000)), toy_model(), intent(**own), [])  # type: ignore[arg-type]


def test_a_profiles_headroom_for_other_cards_is_told_by_the_profiles_key() -> None:
    wanted = replace(intent(fit_target_mib=(1, 2, 3)), profile="coder")
    with pytest.raises(UsageError, match=r"profile coder: `overrides.fit_target_mib` \(or --fit-target\) has 3 values for 1 GPU; give one"):
        choose(rig(gpu(0, 4000)), toy_model(), wanted, [])


def test_an_option_that_the_build_does_not_know_is_said_with_the_build() -> None:
    options = frozenset({"--model", "--temp", "--jinja", "-c"})
    build = Build(engine="llama.cpp", label="llama-server b1 (CUDA)", version="1", argv=("llama-server",), options=options)
    own = intent(engine_args=("--temp", "-1", "--jinjaa", "-cc", "4"))

    def said(build: Build | None, *, simulated: bool = False) -> list[str]:
        plan = choose(replace(rig(gpu(0, 4000)), simulated=simulated), toy_model(), own, [build] if build else [])
        assert plan.status == "fits"
        return [warning.text for warning in plan.warnings if warning.code == "unknown_option"]

    assert said(build) == ["llama-server b1 (CUDA) does not know --jinjaa, -cc and will not start with that; did you mean --jinja?"]
    assert said(replace(build, options=frozenset())) == [], "what it knows is not known"
    assert said(None) == []
    assert said(build, simulated=True) == [], "another build will run it"


def test_safetensors_are_not_for_llamacpp() -> None:
    with pytest.raises(MissingError, match="GGUF"):
        choose(rig(gpu(0, 4000)), replace(toy_model(), format="safetensors"), replace(intent(), engine="llama.cpp"), [])


def test_the_fast_card_is_filled_first_where_that_pays() -> None:
    """20 layers of 100 MiB on 1,600 MiB each of a fast and a slow card: by free memory about ten each, by speed twelve and eight."""
    plan = choose(rig(gpu(0, 1600, bandwidth=1000), gpu(1, 1600, bandwidth=250)), toy_model(20), intent(), [])
    fast = next(device for device in plan.devices if device.name == "Card 0")
    slow = next(device for device in plan.devices if device.name == "Card 1")
    assert plan.status == "fits"
    assert (fast.layers, slow.layers) == (12, 8)
    # One layer more would not leave its 128 MiB.
    assert fast.free_after_bytes - fast.headroom_bytes < 110 * MIB
    assert fast.free_after_bytes >= fast.headroom_bytes == 128 * MIB
    assert slow.headroom_bytes == 128 * MIB
    # Asked for is more than wanted on the slow card; that is the lever.
    assert plan.fit_target_mib[plan.devices.index(slow)] > 128
    assert "fast_first" in codes(plan)
    assert "-ts" not in plan.command


def test_a_mixture_gives_the_fast_card_its_head_and_all_that_it_holds() -> None:
    """By free memory each card would have ten of 20 layers; 1,600 MiB hold twelve and the head, and no expert has to lie in RAM."""
    plan = choose(rig(gpu(0, 1600, bandwidth=1000), gpu(1, 1600, bandwidth=250)), toy_model(20, experts=True), intent(), [])
    fast = next(device for device in plan.devices if device.name == "Card 0")
    assert (plan.status, fast.output) == ("fits", True)
    assert fast.layers == 12
    assert all(device.free_after_bytes >= device.headroom_bytes for device in plan.devices)
    assert {"-ngl", "-ts", "-ot"}.isdisjoint(plan.command)


def test_of_slow_plans_the_faster_one_is_told_apart() -> None:
    """At two tokens per second a layer more on the faster card is a hundredth of a token."""
    bytes_read = (20_000, 20_010)
    first, second = (decode_tok_s([Stage(size * MIB, 60.0, 40)]) or 0 for size in bytes_read)
    assert second < first < 2.3


def test_an_order_or_targets_of_the_users_are_not_steered() -> None:
    cards = rig(gpu(0, 1600, bandwidth=1000), gpu(1, 1600, bandwidth=250))
    for own in ({"gpus": ("0", "1")}, {"fit_target_mib": (128,)}):
        plan = choose(cards, toy_model(20), intent(**own), [])  # type: ignore[arg-type]
        assert [device.name for device in plan.devices] == ["Card 0", "Card 1"]
        assert set(plan.fit_target_mib) == {128}


def test_alternatives_differ_and_can_be_run() -> None:
    plan = choose(rig(gpu(0, 4000), gpu(1, 3000)), toy_model(), intent(kv=("f16", "q8_0")), [])
    summaries = [other.summary for other in plan.alternatives]
    assert len(summaries) == len(set(summaries)) > 1
    assert all(other.status != "no_fit" for other in plan.alternatives)


def test_a_coarser_cache_is_taken_where_reading_less_is_worth_more() -> None:
    """16 slots with 4,096 tokens each: 640 MiB of cache beside 1,050 MiB of weights are read for a token, and half of it with q8_0."""
    wanted = intent(4096, kv=("f16", "q8_0"), parallel=16)
    tight, roomy = (choose(rig(gpu(0, free)), toy_model(), wanted, []) for free in (1700, 8000))
    assert (tight.kv_type, roomy.kv_type) == (("q8_0", "q8_0"), ("q8_0", "q8_0"))
    assert (roomy.expected.decode_tok_s or 0) >= (tight.expected.decode_tok_s or 0)
    assert choose(rig(gpu(0, 8000)), toy_model(), intent(4096, kv=("f16", "q8_0")), []).kv_type == ("f16", "f16")

"""The published case: a dense 27B coding model in AWQ-INT4 on 12 GB and 24 GB cards, by vLLM's default settings and by rigtui's own."""

from __future__ import annotations

import pytest

from rigtui.engines.engine import Build
from rigtui.engines.vllm.arguments import RefusedError, read
from rigtui.engines.vllm.preview import Meant, preview
from rigtui.engines.vllm.published import MEASURED, TENSOR_PARALLEL_2
from rigtui.engines.vllm.releases import NEWEST, release
from rigtui.intent.intent import Intent, Overrides
from rigtui.intent.use_cases import use_case
from rigtui.models.model import Model
from rigtui.models.safetensors import read_safetensors
from rigtui.planning.choose import choose
from rigtui.planning.plan import Plan
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import GIB, MIB
from tools.make_safetensors import coder_27b, coder_27b_with_eyes, write
from tools.toy_checkpoints import codes, gpu, option, rig, why


@pytest.fixture(scope="module")
def coder(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return read_safetensors(write(tmp_path_factory.mktemp("models") / "coder-27b", *coder_27b()))


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The same with a tower for images, which is the only way 0.18 and 0.19 know this architecture (models/registry.py)."""
    return read_safetensors(write(tmp_path_factory.mktemp("models") / "coder-27b-eyes", *coder_27b_with_eyes()))


def small(index: int) -> Gpu:
    return Gpu(
        index=index,
        name="NVIDIA GeForce RTX 3060",
        compute_capability="8.6",
        total_bytes=12288 * MIB,
        free_bytes=11910 * MIB,
        bandwidth_gb_s=360,
    )


LARGE = Gpu(
    index=0,
    name="NVIDIA GeForce RTX 4090",
    compute_capability="8.9",
    total_bytes=24564 * MIB,
    free_bytes=int(22.4 * GIB),
    bandwidth_gb_s=1008,
)


def described(*cards: Gpu) -> Rig:
    return Rig(name="fleet", platform="linux", gpus=cards, simulated=True)


def serve(model: Model, cards: Rig, *own: str, meant: str | None = None, **env: str) -> Plan:
    found = release(meant) if meant else NEWEST
    assert found is not None
    return preview(cards, model, read(("/m", *own)), env, ("vllm", "serve", "/m", *own), Meant(found))


def derived(model: Model, cards: Rig, name: str) -> Plan:
    return choose(cards, model, Intent(use_case=use_case(name), engine="vllm"), [])


def test_the_shape_is_the_published_one(coder: Model) -> None:
    assert 16 * GIB < coder.weights_bytes < 17.5 * GIB
    undivided = [tensor.bytes for tensor in coder.tensors if tensor.name in ("model.embed_tokens.weight", "lm_head.weight")]
    assert all(2.3 * GIB < size < 2.45 * GIB for size in undivided)
    assert 26e9 < coder.parameters < 28e9


def test_by_default_an_even_split_over_two_dies_at_the_head(coder: Model) -> None:
    plan = serve(coder, described(small(0), small(1)), "-pp", "2", "--max-model-len", "4096")
    assert plan.status == "no_fit"
    assert [device.layers for device in plan.devices] == [32, 32]
    text = why(plan, "no_fit")
    assert "the last stage" in text
    assert "LM head" in text


@pytest.mark.parametrize("meant", ["0.19", "0.33"])
def test_by_default_four_fit_and_hold_more_than_the_one_large_card(coder: Model, meant: str) -> None:
    eager = ("--max-model-len", "3072", "--enforce-eager")
    four = serve(coder, described(*(small(index) for index in range(4))), "-pp", "4", *eager, meant=meant)
    one = serve(coder, described(LARGE), *eager, meant=meant)
    assert all(plan.status in ("fits", "tight") for plan in (four, one))
    tokens = [plan.engine_view.kv_tokens or 0 for plan in (four, one)]
    assert tokens == sorted(tokens, reverse=True)
    published = [measured.kv_tokens for measured in (MEASURED[2], MEASURED[1], MEASURED[0])]
    assert published == sorted(published, reverse=True)
    # The last stage of the four is the poorest: the head lies there.
    assert "the last stage" in why(four, "kv_min_over_stages")


def test_what_0_19_would_log_is_held_against_what_was_published(coder: Model, eyes: Model) -> None:
    """One card eager: between the shape with a tower and without. Four cards: more than was published, by what docs/design.md says."""
    eager = ("--max-model-len", "3072", "--enforce-eager")

    def logged(model: Model, cards: Rig, *own: str) -> int:
        return serve(model, cards, *own, *eager, meant="0.19").engine_view.kv_tokens or 0

    one = [logged(model, described(LARGE)) for model in (eyes, coder)]
    assert one == [5488, 10976]
    assert one[0] < (MEASURED[1].kv_tokens or 0) < one[1]
    four = [logged(model, described(*(small(index) for index in range(4))), "-pp", "4") for model in (eyes, coder)]
    assert four == [30576, 53312]
    assert (MEASURED[2].kv_tokens or 0) < four[0]


@pytest.mark.parametrize("meant", ["0.19", "0.33"])
def test_a_tower_lies_on_every_stage_and_two_cards_die_at_the_head_even_without_graphs(eyes: Model, coder: Model, meant: str) -> None:
    """vLLM 0.32, models/qwen3_5.py:513: the tower is built whatever the stage."""
    four = [serve(model, described(*(small(index) for index in range(4))), "-pp", "4", meant=meant) for model in (eyes, coder)]
    more = [seeing.weights_bytes - blind.weights_bytes for seeing, blind in zip(four[0].devices, four[1].devices, strict=True)]
    assert len(set(more)) == 1
    assert more[0] / GIB == pytest.approx(0.86, abs=0.01)
    two = serve(eyes, described(small(0), small(1)), "-pp", "2", "--max-model-len", "3072", "--enforce-eager", meant=meant)
    assert two.status == "no_fit"
    assert "the last stage" in why(two, "no_fit")
    assert "LM head" in why(two, "no_fit")


def test_every_stage_looked_at_an_image_until_the_second_model_runner(eyes: Model) -> None:
    compute = {}
    for meant in ("0.28.0", "0.29.0"):
        plan = serve(eyes, described(*(small(index) for index in range(4))), "-pp", "4", "--max-model-len", "3072", meant=meant)
        compute[meant] = [device.compute_bytes for device in plan.devices]
    before, after = compute.values()
    assert before[0] == after[0]
    assert all(then > now for then, now in zip(before[1:], after[1:], strict=True))


def test_before_0_20_graphs_lie_beside_the_share_and_cost_kv_by_making_it_smaller(coder: Model) -> None:
    """The published 3,136 tokens against 8,624: default share, graphs on top of it, less than that is free."""

    def one(*own: str) -> Plan:
        return serve(coder, described(LARGE), "--max-model-len", "3072", *own, meant="0.19")

    eager, graphs = one("--enforce-eager"), one()
    assert (eager.status, graphs.status) == ("tight", "no_fit")
    passes = why(graphs, "graphs_over_free").partition(" passes")[0].rsplit(" ", 1)[1]
    smaller = one("--gpu-memory-utilization", passes)
    assert smaller.status == "tight"
    lost = (eager.engine_view.kv_tokens or 0) - (smaller.engine_view.kv_tokens or 0)
    assert lost >= 3 * 784
    assert lost % 784 == 0
    assert "beside its share" in why(smaller, "graphs_cost_kv")


def test_rigtui_leaves_room_beside_the_share_for_the_graphs_of_an_older_vllm(coder: Model) -> None:
    def asked(version: str) -> Plan:
        build = Build(engine="vllm", label=f"vLLM {version} (CUDA)", version=version, argv=("vllm",))
        own = Overrides(context=4096, engine_args=("--no-enforce-eager",))
        return choose(described(LARGE), coder, Intent(use_case=use_case("chat"), overrides=own, engine="vllm"), [build])

    older, newer = asked("0.19.1"), asked("0.33.0")
    assert (older.status, newer.status) == ("fits", "fits")
    assert (older.engine_view.utilization or 0) < (newer.engine_view.utilization or 0)
    assert all(device.free_after_bytes >= device.headroom_bytes for plan in (older, newer) for device in plan.devices)


def test_more_requests_than_state_blocks_end_a_start_with_graphs_and_the_number_that_passes_is_said(coder: Model) -> None:
    """One verdict: the headline is what the release does (vLLM 0.33, config/compilation.py:1526)."""
    asked = ("--max-model-len", "3072")
    graphs, eager = serve(coder, described(LARGE), *asked), serve(coder, described(LARGE), *asked, "--enforce-eager")
    assert (graphs.status, eager.status) == ("no_fit", "tight")
    assert (graphs.engine_view.kv_tokens or 0) < (eager.engine_view.kv_tokens or 0)
    assert "tokens of KV" in why(graphs, "graphs_cost_kv")
    text = why(graphs, "state_blocks")
    assert "vLLM 0.33 does not start" in text
    passes = text.partition("--max-num-seqs ")[2].split()[0]
    assert serve(coder, described(LARGE), *asked, "--max-num-seqs", passes).status == "tight"
    assert not any(warning.code == "state_blocks" for plan in (graphs, eager) for warning in plan.warnings)


def test_a_number_of_state_blocks_too_near_to_tell_is_warned_of(coder: Model) -> None:
    asked = ("-pp", "4", "--max-model-len", "3072")
    four = described(*(small(index) for index in range(4)))
    plans = (serve(coder, four, *asked, "--max-num-seqs", str(number)) for number in range(200, 400, 4))
    near = next(plan for plan in plans if "state_blocks" in {warning.code for warning in plan.warnings})
    assert near.status == "tight"
    warned = next(warning.text for warning in near.warnings if warning.code == "state_blocks")
    assert "may not start" in warned
    safe = warned.partition("--max-num-seqs ")[2].split()[0]
    assert not any(warning.code == "state_blocks" for warning in serve(coder, four, *asked, "--max-num-seqs", safe).warnings)


@pytest.mark.parametrize(("meant", "said"), [("0.17.1", True), ("0.18.0", False), ("0.19.1", False), ("0.20.0", True), ("0.32.0", True)])
def test_only_releases_that_fail_for_too_few_state_blocks_are_said_to(coder: Model, meant: str, said: bool) -> None:
    """0.17 asserts while it captures (vllm#34094), 0.18 and 0.19 capture smaller batches, 0.20 and later refuse."""
    plan = serve(coder, described(LARGE), "--max-model-len", "3072", "--gpu-memory-utilization", "0.85", meant=meant)
    assert ("state_blocks" in codes(plan)) is said
    assert plan.status == ("no_fit" if said else "tight")
    assert plan.engine_build == meant


def test_what_is_never_divided_is_about_five_gib_a_card(coder: Model) -> None:
    plan = serve(coder, described(*(small(index) for index in range(4))), "-pp", "4", "--max-model-len", "3072", "--enforce-eager")
    last = plan.devices[-1]
    layers = plan.devices[1].weights_bytes
    assert 4.3 * GIB < last.floor_bytes + last.compute_bytes + last.weights_bytes - layers < 5.5 * GIB


def test_a_utilization_of_95_percent_is_refused_before_launch_with_one_that_passes(coder: Model) -> None:
    plan = serve(coder, described(LARGE), "--gpu-memory-utilization", "0.95", "--max-model-len", "4096")
    assert plan.status == "no_fit"
    passes = why(plan, "util_over_free").rsplit(" passes", 1)[0].rsplit(" ", 1)[1]
    assert 0.88 < float(passes) < 0.95
    again = serve(coder, described(LARGE), "--gpu-memory-utilization", passes, "--max-model-len", "4096", "--enforce-eager")
    assert again.status == "tight"
    assert "util_over_free" not in codes(again)


def test_what_stands_in_the_way_after_the_share_is_said_at_once(coder: Model) -> None:
    asked = ("--max-model-len", "4096")
    plan = serve(coder, described(LARGE), "--gpu-memory-utilization", "0.95", *asked)
    passes = why(plan, "util_over_free").rsplit(" passes", 1)[0].rsplit(" ", 1)[1]
    sequences = why(plan, "state_blocks").partition("--max-num-seqs ")[2].split()[0]
    again = serve(coder, described(LARGE), "--gpu-memory-utilization", passes, "--max-num-seqs", sequences, *asked)
    assert again.status == "tight"


def test_rigtuis_own_settings_do_better_and_say_why(coder: Model) -> None:
    two = derived(coder, described(small(0), small(1)), "coding")
    assert two.status == "tight"
    assert two.context_per_slot >= 8192
    eight = derived(coder, described(*(small(index) for index in range(8))), "coding")
    assert eight.status == "fits"
    assert len(eight.devices) < 4
    assert "--enforce-eager" in eight.command
    assert {"fewest_stages", "kv_min_over_stages", "partition", "graphs_cost_kv"} <= codes(eight)
    assert "even split" in why(eight, "partition")
    one = derived(coder, described(LARGE), "coding")
    default = serve(coder, described(LARGE), "--max-model-len", "auto")
    assert one.context_per_slot > default.context
    assert all(device.free_after_bytes >= GIB for device in one.devices)


def test_graphs_are_not_proposed_for_more_requests_than_there_are_blocks_for_their_states(coder: Model) -> None:
    def asked(*own: str) -> Plan:
        intent = Intent(use_case=use_case("chat"), overrides=Overrides(context=4096, engine_args=own), engine="vllm")
        return choose(described(LARGE), coder, intent, [])

    many = asked("--max-num-seqs=256")
    assert many.engine_view.eager is True
    assert many.status in ("fits", "tight")
    graphs = asked("--max-num-seqs=256", "--no-enforce-eager")
    assert graphs.status == "no_fit"
    passes = why(graphs, "state_blocks").partition("--max-num-seqs ")[2].split()[0]
    assert asked(f"--max-num-seqs={passes}", "--no-enforce-eager").status in ("fits", "tight")


@pytest.mark.parametrize("measured", MEASURED)
def test_expected_speeds_are_near_the_published_ones(coder: Model, measured: object) -> None:
    stages, eager, speed = measured.stages, measured.eager, measured.decode_tok_s  # type: ignore[attr-defined]
    cards = described(LARGE) if stages == 1 else described(*(small(index) for index in range(stages)))
    own = ["-pp", str(stages), "--max-model-len", "3072", *(["--enforce-eager"] if eager else [])]
    expected = serve(coder, cards, *own).expected.decode_tok_s
    assert expected == pytest.approx(speed, rel=0.1)


def test_two_cards_are_expected_to_be_as_much_faster_as_others_measured(coder: Model) -> None:
    low, high, _ = TENSOR_PARALLEL_2
    pair = rig(*(gpu(index, 24000, bandwidth=936) for index in range(2)))
    both = serve(coder, pair, "-tp", "2", "--max-model-len", "4096").expected.decode_tok_s
    alone = serve(coder, pair, "--max-model-len", "4096").expected.decode_tok_s
    assert both is not None
    assert alone is not None
    assert low <= both / alone <= high


@pytest.mark.parametrize(
    ("name", "total", "sequences"),
    [
        ("NVIDIA RTX PRO 6000", 97887, 1024),
        ("NVIDIA A100-SXM4-80GB", 81920, 256),
        ("NVIDIA RTX 6000 Ada", 49140, 256),
        ("NVIDIA B200", 183359, 1024),
    ],
)
def test_large_cards_have_larger_defaults_unless_told_otherwise(coder: Model, name: str, total: int, sequences: int) -> None:
    """vLLM 0.32, engine/arg_utils.py:2923: the first card decides."""
    card = Gpu(index=0, name=name, compute_capability="9.0", total_bytes=total * MIB, free_bytes=(total - 500) * MIB, bandwidth_gb_s=1800)
    plan = serve(coder, described(card), "--max-model-len", "4096", "--enforce-eager")
    assert plan.engine_view.slots == sequences
    told = serve(
        coder, described(card), "--max-model-len", "4096", "--enforce-eager", "--max-num-seqs", "8", "--max-num-batched-tokens", "2048"
    )
    assert told.engine_view.slots == 8
    assert told.devices[0].compute_bytes < plan.devices[0].compute_bytes


def test_a_preview_changes_nothing_and_refuses_what_vllm_refuses(coder: Model) -> None:
    cards = described(*(small(index) for index in range(3)))
    plan = serve(coder, cards, "-pp", "3", "--max-model-len", "4096", VLLM_PP_LAYER_PARTITION="20,24,20")
    assert [device.layers for device in plan.devices] == [20, 24, 20]
    assert option(plan, "--max-num-seqs") is None
    assert plan.engine_view.slots == 256
    assert any("rigtui's own settings" in other.summary for other in plan.alternatives)
    for own, words in ((("-tp", "3"), "KV heads"), (("-pp", "4"), "World size"), (("--max-model-len", "999999"), "config.json")):
        with pytest.raises(RefusedError, match=words):
            serve(coder, cards, *own)
    with pytest.raises(RefusedError, match="adds up to 3 layers"):
        serve(coder, cards, "-pp", "2", VLLM_PP_LAYER_PARTITION="1,2")
    with pytest.raises(RefusedError, match="--kv-cache-dtype has no 'q8_0'"):
        serve(coder, cards, "--kv-cache-dtype", "q8_0")

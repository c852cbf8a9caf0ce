"""What must hold for every vLLM plan, whatever the rig."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from rigtui.engines.vllm.footprint import demand
from rigtui.engines.vllm.partition import best, even, least_blocks
from rigtui.engines.vllm.settings import Settings
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.choose import STATUS_RANK, choose, ranked
from rigtui.rig.rig import Gpu
from rigtui.text import MIB
from tools.toy_checkpoints import LAYER, gpu, intent, rig, toy

TOTALS = st.sampled_from([4000, 6144, 8192, 8192, 12288, 24576])
CARDS = st.lists(st.tuples(TOTALS, st.integers(0, 1500), st.booleans()), min_size=1, max_size=4).map(
    lambda found: tuple(gpu(i, total, used_mib=used, display=display) for i, (total, used, display) in enumerate(found))
)
MODELS = st.builds(
    toy,
    st.integers(4, 160),
    head=st.sampled_from([50 * MIB, 900 * MIB]),
    heads=st.sampled_from([4, 5]),
    kv_heads=st.sampled_from([1, 2]),
    tied=st.booleans(),
    states=st.booleans(),
)
INTENTS = st.builds(
    intent,
    st.sampled_from([4096, 16384, 65536]),
    parallel=st.sampled_from([1, 6]),
    prefer=st.sampled_from(["speed", "context"]),
)


@settings(max_examples=80)
@given(CARDS, MODELS, INTENTS)
def test_what_can_be_run_leaves_the_headroom_and_passes_vllms_check(cards: tuple[Gpu, ...], model: Model, wanted: Intent) -> None:
    for plan in ranked(rig(*cards), model, wanted, []):
        by_uuid = {card.uuid: card for card in cards}
        for device in plan.devices:
            assert device.used_bytes == device.weights_bytes + device.kv_bytes + device.compute_bytes + device.floor_bytes
            assert device.free_after_bytes == device.free_before_bytes - device.used_bytes
            if plan.status != "no_fit":
                assert device.free_after_bytes >= device.headroom_bytes
                share = (plan.engine_view.utilization or 0) * (by_uuid[device.uuid].total_bytes or 0)
                assert share + device.headroom_bytes <= (by_uuid[device.uuid].free_bytes or 0)


@settings(max_examples=80)
@given(CARDS, MODELS, INTENTS)
def test_every_layer_lies_on_one_stage_and_every_byte_is_counted(cards: tuple[Gpu, ...], model: Model, wanted: Intent) -> None:
    for plan in ranked(rig(*cards), model, wanted, []):
        held = sum(device.weights_bytes for device in plan.devices)
        if plan.split_mode == "tensor":
            assert all(device.layers == model.layers for device in plan.devices)
            assert model.weights_bytes <= held <= model.weights_bytes * len(plan.devices)
            continue
        assert sum(device.layers for device in plan.devices) == model.layers
        # A tied head is the embedding a second time, on another card than the first.
        again = model.tensors[0].bytes if model.tied and len(plan.devices) > 1 else 0
        assert held == model.weights_bytes + again


@settings(max_examples=80)
@given(CARDS, MODELS, INTENTS)
def test_a_context_that_is_promised_fits_with_all_its_requests(cards: tuple[Gpu, ...], model: Model, wanted: Intent) -> None:
    plan = choose(rig(*cards), model, wanted, [])
    if plan.status == "fits":
        assert plan.context_per_slot == wanted.use_case.context
        assert (plan.engine_view.kv_tokens or 0) >= plan.context
    if plan.status != "no_fit":
        assert wanted.use_case.context_least <= plan.context_per_slot <= wanted.use_case.context  # type: ignore[operator]


@settings(max_examples=60)
@given(CARDS, MODELS, INTENTS, st.integers(100, 2000))
def test_more_free_memory_never_gives_a_worse_status(cards: tuple[Gpu, ...], model: Model, wanted: Intent, more: int) -> None:
    roomier = tuple(
        replace(card, free_bytes=(card.free_bytes or 0) + more * MIB, total_bytes=(card.total_bytes or 0) + more * MIB) for card in cards
    )
    # Who prefers speed may give up context for a card that now holds enough of it.
    wanted = replace(wanted, use_case=replace(wanted.use_case, prefer="context"))
    before, after = (choose(rig(*found), model, wanted, []) for found in (cards, roomier))
    assert STATUS_RANK[after.status] >= STATUS_RANK[before.status]


@settings(max_examples=200)
@given(st.integers(2, 12), st.integers(1500, 9000), st.integers(1500, 9000))
def test_the_even_split_is_beaten_wherever_a_layer_more_fits_the_larger_card(half: int, one: int, other: int) -> None:
    """Alike layers and no head to speak of: with m layers each, the larger card can take one more where its room is above (m + 1) / m."""
    model = toy(2 * half, head=2 * MIB)
    needs = demand(model, Settings(stages=2, context=4096, sequences=4, batched_tokens=512, eager=True))
    spare = needs.use(0, 1).compute + 10 * MIB
    small, large = sorted((one, other))
    assume((large * MIB - spare) * half > (small * MIB - spare) * (half + 1) + LAYER)
    for budgets in ([small * MIB, large * MIB], [large * MIB, small * MIB]):
        found = best(needs, budgets)
        if found is not None:
            assert least_blocks(needs, budgets, found) > least_blocks(needs, budgets, even(2 * half, 2))

"""What must hold for every plan."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from planning.toys import gpu, intent, rig, toy_model
from rigtui.intent.intent import Intent, Overrides
from rigtui.models.model import Model
from rigtui.planning.choose import choose, different, ranked, score
from rigtui.planning.plan import Plan
from rigtui.planning.wants import wants
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import MIB

cards = st.lists(st.tuples(st.integers(100, 5000), st.sampled_from([200.0, 500.0, 900.0]), st.booleans()), min_size=1, max_size=4).map(
    lambda found: tuple(gpu(i, free, bandwidth=speed, display=display, runtime_mib=50) for i, (free, speed, display) in enumerate(found))
)
models = st.builds(toy_model, st.integers(2, 24), experts=st.booleans(), mtp=st.sampled_from([0, 0, 1]))
PLAY = 0.89
"""Share of a score that is kept at least: a finer cache is taken where it is not slower by more than a tenth."""
intents = st.builds(
    intent,
    st.sampled_from([4096, 8192, 65536]),
    st.just(4096),
    kv=st.sampled_from([("f16",), ("f16", "q8_0"), ("q8_0", "q4_0")]),
    parallel=st.sampled_from([1, 3]),
)


def plans(gpus: tuple[Gpu, ...], model: Model, wanted: Intent) -> list[Plan]:
    return ranked(rig(*gpus), model, wanted, [])


@settings(max_examples=60)
@given(cards, models, intents)
def test_a_plan_that_can_be_run_leaves_the_headroom(gpus: tuple[Gpu, ...], model: Model, wanted: Intent) -> None:
    for plan in plans(gpus, model, wanted):
        for device in plan.devices:
            assert device.used_bytes == device.weights_bytes + device.kv_bytes + device.compute_bytes + device.floor_bytes
            assert device.free_after_bytes == device.free_before_bytes - device.used_bytes
            if plan.status != "no_fit":
                assert device.free_after_bytes >= device.headroom_bytes


@settings(max_examples=60)
@given(cards, models, intents)
def test_what_would_work_instead_comes_out_as_offered_when_its_settings_are_the_users(
    gpus: tuple[Gpu, ...], model: Model, wanted: Intent
) -> None:
    found = plans(gpus, model, wanted)
    for offered in [plan for plan in found[:1] if plan.status != "no_fit"] + different(found)[:4]:
        own = Overrides(
            context=offered.context_per_slot,
            kv_type=offered.kv_type,
            gpus=tuple(device.uuid or "" for device in offered.devices) or None,
        )
        taken = plans(gpus, model, replace(wanted, overrides=own))[0]
        if offered.devices:
            assert [device.uuid for device in taken.devices] == [device.uuid for device in offered.devices]
            assert (taken.context_per_slot, taken.kv_type) == (offered.context_per_slot, offered.kv_type)
            assert taken.expected.decode_tok_s == pytest.approx(offered.expected.decode_tok_s, rel=0.01)


@settings(max_examples=60)
@given(cards, models, intents)
def test_every_tensor_is_counted_where_it_lies(gpus: tuple[Gpu, ...], model: Model, wanted: Intent) -> None:
    for plan in plans(gpus, model, wanted):
        counted = sum(device.weights_bytes for device in plan.devices) + plan.host.weights_bytes
        assert counted == model.weights_bytes
        whole_in_ram = model.layers - sum(device.layers for device in plan.devices)
        assert whole_in_ram <= plan.host.offloaded_layers <= model.layers
        if plan.devices and plan.host.offloaded_layers == 0:
            assert sum(device.output for device in plan.devices) == 1


@settings(max_examples=60)
@given(cards, models, intents)
def test_context_is_between_the_least_and_the_wanted(gpus: tuple[Gpu, ...], model: Model, wanted: Intent) -> None:
    plan = choose(rig(*gpus), model, wanted, [])
    assert plan.context_per_slot * plan.parallel == plan.context
    if plan.status != "no_fit":
        assert wanted.use_case.context_least <= plan.context_per_slot <= wanted.use_case.context  # type: ignore[operator]
    if plan.status == "fits":
        assert plan.context_per_slot == wanted.use_case.context


@settings(max_examples=60)
@given(cards, models, intents, st.integers(1, 2000))
def test_more_free_memory_on_every_card_never_gives_a_worse_status(gpus: tuple[Gpu, ...], model: Model, wanted: Intent, more: int) -> None:
    want = wants(model, wanted)

    def best(found: tuple[Gpu, ...]) -> float:
        return score(ranked(Rig(name="t", platform="linux", gpus=found), model, wanted, [])[0], want, wanted)[0]

    roomier = tuple(
        replace(card, free_bytes=(card.free_bytes or 0) + more * MIB, total_bytes=(card.total_bytes or 0) + more * MIB) for card in gpus
    )
    assert best(roomier) >= best(gpus)


@settings(max_examples=40)
@given(cards, models, intents)
def test_the_same_question_has_the_same_answer(gpus: tuple[Gpu, ...], model: Model, wanted: Intent) -> None:
    assert choose(rig(*gpus), model, wanted, []) == choose(rig(*gpus), model, wanted, [])


@settings(max_examples=60)
@given(cards, models, intents, st.integers(0, 3), st.integers(1, 2000))
def test_more_memory_on_one_card_never_gives_a_clearly_worse_plan(
    gpus: tuple[Gpu, ...], model: Model, wanted: Intent, which: int, more: int
) -> None:
    """But for a finer cache, whole layers and orders of cards that are tried only where they pay leave a few percent of play."""
    want, index = wants(model, wanted), which % len(gpus)

    def best(found: tuple[Gpu, ...]) -> tuple[float, ...]:
        return score(ranked(rig(*found), model, wanted, [])[0], want, wanted)

    grown = replace(
        gpus[index], free_bytes=(gpus[index].free_bytes or 0) + more * MIB, total_bytes=(gpus[index].total_bytes or 0) + more * MIB
    )
    before, after = best(gpus), best((*gpus[:index], grown, *gpus[index + 1 :]))
    assert after[0] >= before[0]
    if after[0] == before[0]:
        assert after[2] >= before[2] * PLAY


def test_a_card_that_would_hold_nothing_is_left_out_however_fast_a_run_with_it_was() -> None:
    model, wanted = toy_model(8), intent(8192, 4096)
    (alone,) = plans((gpu(0, 5000, bandwidth=900.0),), model, wanted)[:1]
    (device,) = alone.devices
    fast = replace(alone.expected, decode_tok_s=2 * (alone.expected.decode_tok_s or 0))
    beside = replace(alone, devices=(device, replace(device, layers=0, output=False)), expected=fast)
    want = wants(model, wanted)
    assert alone.status != "no_fit"
    assert score(alone, want, wanted) > score(beside, want, wanted)

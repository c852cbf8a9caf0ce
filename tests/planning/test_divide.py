"""Divisions that rigtui writes itself: of models whose blocks for further tokens `--fit` forgets to count."""

from __future__ import annotations

from msgspec.structs import replace

from planning.toys import gpu, intent, rig, toy_model
from rigtui.engines.engine import Build
from rigtui.planning.choose import choose
from rigtui.planning.plan import Plan
from rigtui.text import MIB

PAIR = rig(gpu(0, 1600, bandwidth=1000), gpu(1, 1600, bandwidth=250))
DENSE = toy_model(20, mtp=1)
MIXTURE = toy_model(40, experts=True, mtp=1)
CURRENT = Build(
    engine="llama.cpp",
    label="llama.cpp",
    version="1",
    argv=("llama-server",),
    gpu=True,
    options=frozenset({"--fit-target", "--tensor-split"}),
)


def value(plan: Plan, option: str) -> str:
    """What the command says after an option."""
    return plan.command[plan.command.index(option) + 1]


def test_the_fast_card_is_filled_by_a_written_division() -> None:
    """13 layers of 108 MiB leave the fast card its headroom; one slot of the split carries nothing."""
    plan = choose(PAIR, DENSE, intent(), [])
    fast, slow = plan.devices
    assert (plan.status, fast.layers, slow.layers, slow.output) == ("fits", 13, 7, True)
    assert value(plan, "-ts") == "13,9"
    assert plan.engine_view.tensor_split == (13, 9)
    assert all(device.free_after_bytes >= device.headroom_bytes for device in plan.devices)
    assert "-ts 13,9" in next(reason.text for reason in plan.reasons if reason.code == "written")


def test_a_slow_card_between_fast_ones_gets_what_they_leave() -> None:
    cards = rig(gpu(0, 1000, bandwidth=1000), gpu(1, 1600, bandwidth=250), gpu(2, 1000, bandwidth=1000))
    plan = choose(cards, DENSE, intent(4096, gpus=("0", "1", "2")), [])
    assert (plan.status, [device.layers for device in plan.devices], value(plan, "-ts")) == ("fits", [8, 5, 7], "8,5,9")
    assert (choose(cards, DENSE, intent(4096), []).expected.decode_tok_s or 0) >= (plan.expected.decode_tok_s or 0)


def test_nothing_is_divided_onto_a_card_that_lacks_its_headroom() -> None:
    cards = rig(gpu(0, 100, bandwidth=200), gpu(1, 754, bandwidth=200), gpu(2, 1651, bandwidth=200))
    plan = choose(cards, toy_model(12, mtp=1), intent(65536), [])
    assert all(device.free_after_bytes >= device.headroom_bytes for device in plan.devices)


def test_all_lies_on_the_cards_where_the_division_by_free_memory_does_not_hold_it() -> None:
    """16 and 4 layers fit beside the headroom; in shares of what is free it would be 17 and 3."""
    cards = rig(gpu(0, 1900, bandwidth=500), gpu(1, 640, bandwidth=500))
    plan = choose(cards, DENSE, intent(4096), [])
    assert (plan.status, [device.layers for device in plan.devices], plan.host.offloaded_layers) == ("fits", [16, 4], 0)


def test_the_copies_for_pipeline_parallelism_are_spared_where_they_are_what_does_not_fit() -> None:
    """`-ncmoe 1` of blocks without experts moves nothing, and llama.cpp keeps one copy of the inputs instead of four."""
    cards = rig(gpu(0, 1507), gpu(1, 1600))
    plan = choose(cards, DENSE, intent(32768), [])
    assert (plan.status, plan.context, plan.host.offloaded_layers) == ("fits", 32768, 0)
    assert (value(plan, "-ncmoe"), plan.engine_view.pipeline_parallel) == ("1", False)
    assert "spares the copies" in next(reason.text for reason in plan.reasons if reason.code == "written")
    without = choose(cards, DENSE, intent(32768), [CURRENT])
    assert (without.engine_view.pipeline_parallel, "-ncmoe" in without.command) == (True, False)
    assert without.context < plan.context


def test_only_experts_lie_in_ram() -> None:
    """Of 40 layers of 100 MiB, 80 of them experts, some do not fit; everything dense does."""
    plan = choose(rig(gpu(0, 2300), gpu(1, 2200)), MIXTURE, intent(4096), [])
    assert (plan.status, sum(device.layers for device in plan.devices), plan.devices[0].first_layer) == ("offload", 40, 0)
    assert int(value(plan, "-ncmoe")) == plan.host.offloaded_layers
    assert all(device.free_after_bytes >= device.headroom_bytes for device in plan.devices)
    assert [reason.code for reason in plan.reasons].count("written") == 1


def test_one_card_alone_keeps_the_first_block_too() -> None:
    plan = choose(rig(gpu(0, 4300)), MIXTURE, intent(), [])
    assert (plan.status, plan.devices[0].layers, "-ts" in plan.command) == ("offload", 40, False)
    assert int(value(plan, "-ncmoe")) == plan.host.offloaded_layers


def test_nothing_is_written_that_the_build_cannot_read() -> None:
    assert "-ts" in choose(PAIR, DENSE, intent(), [CURRENT]).command
    assert "-ncmoe" not in choose(rig(gpu(0, 4300)), MIXTURE, intent(), [CURRENT]).command
    assert "-ts" not in choose(PAIR, DENSE, intent(), [replace(CURRENT, options=frozenset({"--fit-target"}))]).command


def test_nothing_is_written_where_fit_reaches_as_much() -> None:
    alike = rig(gpu(0, 1600, bandwidth=500), gpu(1, 1600, bandwidth=500))
    assert "-ts" not in choose(alike, DENSE, intent(), []).command
    assert "-ts" not in choose(PAIR, toy_model(20), intent(), []).command


def test_beside_what_the_user_pins_nothing_is_written() -> None:
    plan = choose(PAIR, DENSE, intent(engine_args=("-fa", "off")), [])
    assert "-ts" not in plan.command


def test_targets_of_the_users_stand_and_are_kept() -> None:
    plan = choose(PAIR, DENSE, intent(fit_target_mib=(200,)), [])
    assert value(plan, "--fit-target") == "200,200"
    assert all(device.free_after_bytes >= 200 * MIB for device in plan.devices)

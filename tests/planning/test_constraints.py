"""Constraints make a plan more careful, and never touch what the user set."""

from __future__ import annotations

from msgspec.structs import replace

from planning.toys import gpu, intent, rig, toy_model
from rigtui.intent.intent import Intent, Overrides
from rigtui.planning.choose import choose
from rigtui.planning.constraints import Constraint
from rigtui.planning.plan import Plan
from rigtui.text import MIB


def plan(constraint: Constraint, wanted: Intent | None = None) -> Plan:
    cards = rig(gpu(0, 4000, bandwidth=900), gpu(1, 4000, bandwidth=400))
    return choose(cards, toy_model(), wanted or intent(kv=("f16", "q8_0")), [], constraints=[constraint])


def own(**overrides: object) -> Intent:
    return replace(intent(kv=("f16", "q8_0")), overrides=Overrides(**overrides))  # type: ignore[arg-type]


def test_more_headroom_on_one_card() -> None:
    constraint = Constraint(kind="headroom", gpu="GPU-0", value=700 * MIB, text="too little was left")
    assert plan(constraint).devices[0].headroom_bytes == 700 * MIB
    assert plan(constraint).fit_target_mib == (700,)
    assert plan(constraint, own(fit_target_mib=(128,))).fit_target_mib == (128,)


def test_headroom_that_leaves_too_little_moves_the_model_to_the_other_card() -> None:
    constraint = Constraint(kind="headroom", gpu="GPU-0", value=3950 * MIB, text="too little was left")
    assert [device.name for device in plan(constraint).devices] == ["Card 1"]


def test_a_card_that_is_not_used() -> None:
    constraint = Constraint(kind="without_gpu", gpu="GPU-0", text="it fell off the bus")
    assert [device.name for device in plan(constraint).devices] == ["Card 1"]
    assert [device.name for device in plan(constraint, own(gpus=("0",))).devices] == ["Card 0"]


def test_less_context_down_to_the_least() -> None:
    assert plan(Constraint(kind="context", value=6144, text="")).context == 6144
    assert plan(Constraint(kind="context", value=512, text="")).context == 4096
    assert plan(Constraint(kind="context", value=6144, text=""), own(context=8192)).context == 8192


def test_a_coarser_cache_only_where_the_use_case_allows_it() -> None:
    assert plan(Constraint(kind="kv_type", value="q8_0", text="")).kv_type == ("q8_0", "q8_0")
    assert plan(Constraint(kind="kv_type", value="q4_0", text="")).kv_type == ("f16", "f16")
    assert plan(Constraint(kind="kv_type", value="q8_0", text=""), own(kv_type=("f16", "f16"))).kv_type == ("f16", "f16")


def test_a_smaller_micro_batch() -> None:
    def ubatch(found: Plan) -> str:
        return found.command[found.command.index("-ub") + 1]

    assert ubatch(plan(Constraint(kind="ubatch", value=256, text=""))) == "256"
    assert ubatch(plan(Constraint(kind="ubatch", value=256, text=""), own(ubatch=1024))) == "1024"


def test_without_any_card_the_engine_is_told_to_leave_them_alone() -> None:
    constraint = Constraint(kind="without_gpu", gpu="GPU-0", text="it is full")
    found = choose(rig(gpu(0, 4000)), toy_model(), intent(), [], constraints=[constraint])
    assert found.devices == ()
    assert found.command[found.command.index("--device") + 1] == "none"

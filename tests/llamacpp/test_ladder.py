"""The ladder after a failure: which steps, in which order, with which numbers; and what the user set is never among them."""

from __future__ import annotations

from msgspec.structs import replace

from planning.toys import gpu, intent, rig, toy_model
from rigtui.engines.engine import Failure
from rigtui.engines.ladder import Ladder, Setback
from rigtui.engines.llamacpp.ladder import ladder
from rigtui.intent.intent import Intent, Overrides
from rigtui.planning.choose import choose
from rigtui.planning.constraints import Constraint
from rigtui.planning.plan import Plan
from rigtui.rig.rig import Rig
from rigtui.text import MIB, mib

BOTH = rig(gpu(0, 2000, bandwidth=900), gpu(1, 2000, bandwidth=400))
ONE = rig(gpu(0, 2000))


def planned(cards: Rig, wanted: Intent, *constraints: Constraint) -> Plan:
    return choose(cards, toy_model(), wanted, [], constraints=constraints)


def after(failure: Failure, cards: Rig = ONE, wanted: Intent | None = None, now: Rig | None = None, *constraints: Constraint) -> Ladder:
    wanted = wanted or intent(kv=("f16", "q8_0"))
    plan = planned(cards, wanted, *constraints)
    return ladder(Setback(failure=failure, plan=plan, intent=wanted, rig=now or cards, constraints=constraints))


def out_of_vram(stage: str, missing: int | None = 372, device: str = "CUDA0") -> Failure:
    size = None if missing is None else missing * MIB
    return Failure(code="out_of_vram", text="", device=device, stage=stage, asked_bytes=size, missing_bytes=size)  # type: ignore[arg-type]


def kinds(found: Ladder) -> list[tuple[str, ...]]:
    return [tuple(constraint.kind for constraint in step.constraints) for step in found.steps]


def test_each_step_costs_more_than_the_one_before() -> None:
    assert kinds(after(out_of_vram("compute"), BOTH)) == [
        ("headroom",),
        ("headroom", "kv_type", "context"),
        ("headroom", "ubatch", "context"),
        ("headroom", "context"),
        ("without_gpu",),
    ]


def test_headroom_grows_by_all_that_was_short() -> None:
    wanted = intent(kv=("f16",))
    [device] = planned(ONE, wanted).devices
    found = after(out_of_vram("compute"), ONE, wanted)
    # What the plan left and what was missing beyond it, with the margin, in steps of 64 MiB.
    least = device.free_after_bytes + (372 + 128) * MIB
    value = found.steps[0].constraints[0].value
    assert isinstance(value, int)
    assert least <= value < least + 64 * MIB
    assert found.steps[0].text.startswith("Card 0 ran out by 372 MiB while making the compute buffers: headroom 128 → ")


def test_what_was_still_to_come_counts_as_short_too() -> None:
    wanted = intent(kv=("f16",))
    [device] = planned(ONE, wanted).devices
    by_stage = {stage: after(out_of_vram(stage), ONE, wanted).steps[0].constraints[0].value for stage in ("weights", "kv", "compute")}
    assert by_stage["weights"] - by_stage["compute"] >= device.kv_bytes + device.compute_bytes - 64 * MIB  # type: ignore[operator]
    assert by_stage["weights"] > by_stage["kv"] >= by_stage["compute"] > 128 * MIB  # type: ignore[operator]


def test_what_the_fresh_reading_shows_is_not_counted_twice() -> None:
    wanted = intent(kv=("f16",))
    [device] = planned(ONE, wanted).devices
    taken = device.free_after_bytes + 372 * MIB
    now = rig(replace(gpu(0, 2000), free_bytes=2000 * MIB - taken))
    step = after(out_of_vram("compute"), ONE, wanted, now).steps[0]
    assert step.constraints == ()
    [learned] = step.learned
    assert learned.kind == "headroom", "the next launch finds the memory free, and somebody takes it again"
    assert taken <= learned.value - 64 * MIB <= taken + 128 * MIB  # type: ignore[operator]
    assert "372 MiB" in step.text
    assert f"{mib(taken)} less are free there than when it was planned" in step.text


def test_every_step_makes_room_on_the_card_that_failed() -> None:
    cards, wanted = BOTH, intent(kv=("f16", "q8_0"))
    before = planned(cards, wanted)
    failed = before.devices[0]
    for step in after(out_of_vram("compute", device=failed.device), cards, wanted).steps:
        plan = planned(cards, wanted, *step.constraints)
        left = [device.free_after_bytes for device in plan.devices if device.uuid == failed.uuid]
        assert not left or left[0] >= failed.free_after_bytes + 372 * MIB, step.text


def test_an_unknown_shortage_is_taken_larger_each_time() -> None:
    first = after(out_of_vram("runtime", None)).steps[0].constraints[0]
    second = after(out_of_vram("runtime", None), ONE, None, None, first).steps[0].constraints[0]
    third = after(out_of_vram("runtime", None), ONE, None, None, first, second).steps[0].constraints[0]
    values = [constraint.value for constraint in (first, second, third)]
    assert values == sorted(values)  # type: ignore[type-var]
    assert values[2] - values[1] >= 512 * MIB  # type: ignore[operator]


def test_what_the_user_set_is_named_and_never_softened() -> None:
    own = Overrides(context=8192, kv_type=("f16", "f16"), ubatch=512, gpus=("0", "1"), fit_target_mib=(128,), engine_args=("-ngl", "99"))
    wanted = replace(intent(kv=("f16", "q8_0")), overrides=own)
    found = after(out_of_vram("kv"), BOTH, wanted)
    assert found.steps == ()
    assert found.in_the_way == ("--fit-target 128", "-ngl", "--kv-type f16", "--ubatch 512", "--context 8192", "--gpus 0,1")


def test_a_coarse_cache_stays_coarse_when_a_later_step_frees_memory() -> None:
    wanted, coarse = intent(kv=("f16", "q8_0")), Constraint(kind="kv_type", value="q8_0", text="")
    steps = after(out_of_vram("compute"), ONE, wanted, None, coarse).steps
    for step in steps:
        if any(c.kind in ("ubatch", "context") for c in step.constraints):
            assert planned(ONE, wanted, *step.constraints).kv_type == ("q8_0", "q8_0"), step.text
    assert len(steps) >= 3


def test_context_goes_down_to_the_least_and_no_further() -> None:
    wanted = intent(context=8192, least=3000)
    contexts = [c.value for step in after(out_of_vram("kv"), ONE, wanted).steps for c in step.constraints if c.kind == "context"]
    assert contexts[-2:] == [4096, 3000]
    assert min(value for value in contexts if isinstance(value, int)) == 3000


def test_a_lost_card_is_left_out_and_one_alone_has_no_step() -> None:
    lost = Failure(code="gpu_lost", text="", device="CUDA0")
    assert kinds(after(lost, BOTH)) == [("without_gpu",)]
    assert after(lost, ONE) == Ladder()
    assert after(lost, BOTH, replace(intent(), overrides=Overrides(gpus=("0", "1")))).in_the_way == ("--gpus 0,1",)


def test_a_card_that_fell_off_the_bus_is_left_out_whether_it_is_still_listed_or_not() -> None:
    lost = Failure(code="gpu_lost", text="", device="CUDA0")
    failed = planned(BOTH, intent(kv=("f16", "q8_0"))).devices[0].uuid
    others = tuple(card for card in BOTH.gpus if card.uuid != failed)
    listed = tuple(card if card.uuid != failed else replace(card, error="GPU is lost") for card in BOTH.gpus)
    for now in (rig(*others), rig(*listed)):
        [step] = after(lost, BOTH, None, now).steps
        assert [(c.kind, c.gpu) for c in step.constraints] == [("without_gpu", failed)]


def test_no_other_plan_mends_a_bad_file() -> None:
    for code in ("model_bad", "unsupported_model", "bad_argument", "crash", "timeout", "engine_missing"):
        assert after(Failure(code=code, text=""), BOTH) == Ladder()

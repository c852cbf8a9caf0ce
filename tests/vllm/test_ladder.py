"""After a failure of vLLM: which steps, in which order, with which numbers; and what the user set is never among them."""

from __future__ import annotations

from msgspec.structs import replace

from rigtui.engines.engine import Failure
from rigtui.engines.ladder import Ladder, Setback
from rigtui.engines.vllm.ladder import ladder
from rigtui.intent.intent import Intent, Overrides, UseCase
from rigtui.planning.plan import EngineView, Plan, PlanDevice, PlanModel
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import GIB, MIB

USE_CASE = UseCase(name="chat", context=16384, context_least=4096)
INTENT = Intent(use_case=USE_CASE)
CARDS = tuple(Gpu(index=at, uuid=f"GPU-{at}", name=f"Card {at}", total_bytes=12 * GIB, free_bytes=11 * GIB) for at in range(3))


def rig(cards: int) -> Rig:
    return Rig(name="r", platform="linux", gpus=CARDS[:cards])


def plan(stages: int = 1, *, eager: bool = False, slots: int = 4, utilization: float = 0.9) -> Plan:
    devices = tuple(
        PlanDevice(
            device=f"CUDA{at}",
            uuid=f"GPU-{at}",
            name=f"Card {at}",
            layers=8,
            first_layer=8 * at,
            weights_bytes=GIB,
            kv_bytes=GIB,
            compute_bytes=GIB,
            floor_bytes=GIB,
            used_bytes=4 * GIB,
            free_before_bytes=11 * GIB,
            free_after_bytes=7 * GIB,
            headroom_bytes=GIB,
        )
        for at in range(stages)
    )
    return Plan(
        status="fits",
        engine="vllm",
        model=PlanModel(name="m", path="/m", architecture="llama", layers=8 * stages, weights_bytes=GIB, context_trained=32768),
        use_case="chat",
        context=16384,
        context_per_slot=16384,
        parallel=1,
        kv_type=("bf16", "bf16"),
        devices=devices,
        engine_view=EngineView(slots=slots, tensor_split=(8,) * stages if stages > 1 else None, utilization=utilization, eager=eager),
    )


def after(failure: Failure, shown: Plan | None = None, wanted: Intent = INTENT, cards: int = 2) -> Ladder:
    return ladder(Setback(failure=failure, plan=shown or plan(), intent=wanted, rig=rig(cards)))


def steps(found: Ladder) -> list[tuple[str, object]]:
    return [(constraint.kind, constraint.value) for step in found.steps for constraint in step.constraints]


def own(*arguments: str, **overrides: object) -> Intent:
    return replace(INTENT, overrides=Overrides(engine_args=arguments, **overrides))  # type: ignore[arg-type]


OVER_FREE = Failure(code="out_of_vram", text="too much; 0.82 would pass", device="CUDA0", stage="runtime", utilization=0.82)
TOO_LONG = Failure(code="context_too_long", text="too long", stage="kv", context=8000)
OOM = Failure(code="out_of_vram", text="no VRAM", device="CUDA0", stage="compute", missing_bytes=512 * MIB)


def test_the_share_comes_down_to_what_the_message_allows() -> None:
    found = after(OVER_FREE)
    assert steps(found)[0] == ("utilization", 0.82)
    assert found.steps[0].text == "too much: share of the cards 0.9 → 0.82"


def test_the_context_comes_down_to_the_length_that_the_message_names() -> None:
    assert steps(after(TOO_LONG)) == [("context", 8000), ("eager", None), ("sequences", 2), ("stages", 2), ("engine", "vllm")]


def test_what_was_short_comes_off_the_share() -> None:
    # 0.5 of 12 GiB are 0.0417, and a little more.
    assert steps(after(OOM)) == [("utilization", 0.84), ("eager", None), ("sequences", 2), ("stages", 2), ("engine", "vllm")]
    assert steps(after(replace(OOM, missing_bytes=None)))[0] == ("utilization", 0.87)


def test_weights_that_are_too_large_need_another_card() -> None:
    assert steps(after(replace(OOM, stage="weights"))) == [("stages", 2), ("engine", "vllm")]
    assert steps(after(replace(OOM, stage="weights"), plan(2), cards=3)) == [("stages", 3), ("engine", "vllm")]
    assert steps(after(replace(OOM, stage="weights"), plan(2), cards=2)) == [("engine", "vllm")]


def test_a_share_that_leaves_no_cache_is_not_made_smaller() -> None:
    nothing_left = Failure(code="out_of_vram", text="nothing left for the cache", device="CUDA0", stage="kv")
    assert steps(after(nothing_left)) == [("eager", None), ("sequences", 2), ("stages", 2), ("engine", "vllm")]
    assert steps(after(nothing_left, plan(eager=True, slots=1))) == [("stages", 2), ("engine", "vllm")]


def test_states_that_graphs_have_no_blocks_for_come_down_to_what_the_message_names() -> None:
    failure = Failure(code="out_of_vram", text="too few blocks; 3 would pass", device="CUDA0", stage="kv", sequences=3)
    assert steps(after(failure)) == [("eager", None), ("sequences", 3), ("stages", 2), ("engine", "vllm")]


def test_more_than_the_model_takes_is_mended_by_less_context_alone() -> None:
    found = after(Failure(code="context_too_long", text="made for 8,192", context=8192))
    assert steps(found) == [("context", 8192)]


def test_a_length_below_the_least_is_the_use_cases_word() -> None:
    found = after(replace(TOO_LONG, context=2000))
    assert ("context", 2000) not in steps(found)
    assert found.in_the_way == ("--use-case chat (it takes no less than 4,096 tokens of context)",)


def test_ram_has_no_share_and_no_cards() -> None:
    found = after(
        Failure(code="out_of_ram", text="no RAM"), replace(plan(), devices=(), engine_view=EngineView(slots=2, eager=True)), cards=0
    )
    assert steps(found) == [("context", 8192), ("context", 4096), ("sequences", 1), ("engine", "vllm")]


def test_a_dead_card_is_left_out() -> None:
    found = after(Failure(code="gpu_lost", text="gone", device="CUDA0"), plan(2))
    assert [(c.kind, c.gpu) for step in found.steps for c in step.constraints] == [("without_gpu", "GPU-0"), ("engine", None)]


def test_what_another_plan_cannot_mend_has_no_steps() -> None:
    for code in ("model_bad", "bad_argument", "disk_full", "killed", "crash", "exited", "engine_missing"):
        assert after(Failure(code=code, text="")) == Ladder()


def test_what_the_user_set_stands_and_is_named() -> None:
    wanted = own(
        "--gpu-memory-utilization=0.95", "--no-enforce-eager", "--max-num-seqs", "8", "--pipeline-parallel-size", "1", context=16384
    )
    wanted = replace(wanted, engine="vllm")
    assert after(OVER_FREE, wanted=wanted) == Ladder(
        in_the_way=(
            "--gpu-memory-utilization 0.95",
            "--no-enforce-eager",
            "--max-num-seqs 8",
            "--pipeline-parallel-size 1",
            "--engine vllm",
        )
    )
    assert "--engine-arg=--max-num-seqs" in after(TOO_LONG, wanted=own("--max-num-seqs")).in_the_way, "another engine has no such argument"
    assert "--context 16384" in after(TOO_LONG, wanted=wanted).in_the_way
    assert "--max-model-len 9000" in after(TOO_LONG, wanted=own("--max-model-len=9000")).in_the_way
    assert "--parallel 3" in after(TOO_LONG, wanted=own(parallel=3)).in_the_way
    assert "--gpus 0" in after(TOO_LONG, wanted=own(gpus=("0",))).in_the_way
    assert "--tensor-parallel-size 1" in after(TOO_LONG, wanted=own("-tp", "1")).in_the_way

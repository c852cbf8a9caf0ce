"""After another engine had to take the place of the model's own, the next launch begins with it, until something speaks against it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from planning.past import BUILD, NODE, a_run
from planning.toys import gpu, intent, rig, toy_model
from rigtui.engines.engine import Build
from rigtui.intent.intent import Intent
from rigtui.planning.given_up import given_up, reason
from rigtui.planning.lessons import learn
from rigtui.planning.outcomes import AttemptResult, GivenUp, RunResult
from rigtui.rig.rig import Rig

RIG = replace(rig(gpu(0, 700), gpu(1, 700)), driver="580.95")
ASKED = intent()
CHECKPOINT = replace(toy_model(), path="/m/coder", name="coder", format="safetensors", fingerprint="checkpoint")
GGUF = replace(toy_model(), path="/m/coder-Q8_0.gguf", fingerprint="gguf")
VLLM = Build(engine="vllm", label="vLLM 0.33.0 (CUDA)", version="0.33.0", argv=("vllm",))
LEFT = GivenUp(engine="vllm", build=VLLM.label, fingerprint="checkpoint", instead=GGUF.path, why="it does not know TomorrowsForCausalLM")
READY = AttemptResult(outcome="ready", context=4096, context_per_slot=4096, parallel=1, kv_type=("f16", "f16"), split_mode="none")


def instead(asked: Intent = ASKED, day: int = 1, **changes: Any) -> RunResult:
    """A run in which llama.cpp served the GGUF after vLLM had failed."""
    return replace(a_run(RIG, GGUF, asked, READY, day=day, given_up=LEFT), model="coder", **changes)


def next_launch(*runs: RunResult, on: Rig = RIG, asked: Intent = ASKED, build: Build | None = VLLM) -> RunResult | None:
    return given_up(learn(runs, NODE), on, CHECKPOINT, asked, build)


def test_the_next_launch_begins_with_the_engine_that_worked_and_says_why() -> None:
    found = next_launch(instead(day=1), instead(day=2))
    assert found is not None
    assert found.run == "r2"
    said = reason(found, "coder")
    assert said.text == (
        "llama.cpp at once, as on 2026-01-02: vLLM 0.33.0 (CUDA) could not serve this model here: it does not know TomorrowsForCausalLM; "
        "it is tried again after `rigtui forget coder`, or when it is another version"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"forgotten": True},
        {"simulated": True},
        {"outcome": "failed"},
        {"driver": "1.0"},
        {"gpus": ()},
        {"use_case": "another"},
        {"given_up": None},
        {"given_up": replace(LEFT, fingerprint="another checkpoint")},
    ],
)
def test_what_was_not_this_question_on_this_rig_decides_nothing(change: dict[str, Any]) -> None:
    assert next_launch(instead(**change)) is None


def test_another_build_of_the_engine_or_none_is_tried_first() -> None:
    newer = replace(VLLM, label="vLLM 0.34.0 (CUDA)", version="0.34.0")
    assert next_launch(instead(), build=newer) is None
    assert next_launch(instead(), build=None) is None


def test_an_engine_that_the_user_names_is_never_passed_over() -> None:
    assert next_launch(instead(), asked=replace(ASKED, engine="vllm")) is None


def test_other_settings_are_another_question() -> None:
    assert next_launch(instead(), asked=intent(fit_target_mib=(64,))) is None


def test_once_the_engine_has_served_the_model_it_comes_first_again() -> None:
    served = a_run(RIG, CHECKPOINT, ASKED, READY, day=2, engine="vllm", build=VLLM.label)
    assert next_launch(instead(day=1), served) is None
    assert next_launch(served, instead(day=3)) is not None


def test_a_rig_that_is_only_described_knows_nothing_of_it() -> None:
    assert next_launch(instead(), on=replace(RIG, simulated=True)) is None


def test_the_gguf_itself_is_launched_as_ever() -> None:
    assert given_up(learn([instead()], NODE), RIG, GGUF, ASKED, BUILD) is None

"""The same model on both engines, side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from planning.toys import gpu, intent, rig, toy_model
from rigtui.intent.intent import Intent
from rigtui.intent.use_cases import use_case
from rigtui.models.safetensors import read_safetensors
from rigtui.planning.choose import choose
from rigtui.planning.plan import Alternative, Plan
from rigtui.planning.twin import twin
from rigtui.rig.rigfile import load
from rigtui.text import GIB
from tools.make_gguf import model as gguf
from tools.make_safetensors import coder_27b, dense, write

RIGS = Path(__file__).parents[1] / "rigs"


def other(plan: Plan) -> Alternative:
    """The one on the other engine."""
    return next(found for found in plan.alternatives if found.engine != plan.engine)


def test_a_checkpoint_goes_to_vllm_with_llamacpp_beside_it(tmp_path: Path) -> None:
    model = read_safetensors(write(tmp_path / "coder", *coder_27b()))
    plan = choose(load(RIGS / "one-4090.toml"), model, Intent(use_case=use_case("coding")), [])
    assert plan.engine == "vllm"
    beside = other(plan)
    assert "Q4_K_M GGUF" in beside.summary
    assert beside.status == "fits"
    assert beside.context == 65536
    assert 30 < (beside.expected.decode_tok_s or 0) < 60


def test_a_gguf_goes_to_llamacpp_with_vllm_beside_it() -> None:
    plan = choose(load(RIGS / "dual-3090.toml"), gguf("qwen3-32b-q4_k_m"), Intent(use_case=use_case("coding")), [])
    assert plan.engine == "llama.cpp"
    assert "AWQ-INT4 checkpoint" in other(plan).summary
    assert 0 < other(plan).context <= plan.context


def test_where_the_other_engine_cannot_run_it_is_not_offered() -> None:
    old = replace(gpu(0, 4000, name="NVIDIA Tesla P40"), compute_capability="6.1")
    for cards in (rig(old), rig()):
        assert all(found.engine == "llama.cpp" for found in choose(cards, toy_model(), intent(), []).alternatives)


def test_who_names_an_engine_or_speaks_its_language_sees_that_one() -> None:
    cards = rig(gpu(0, 4000))
    for wanted in (replace(intent(), engine="llama.cpp"), intent(engine_args=("--foo",)), intent(kv_type=("q8_0", "q8_0"))):
        assert all(found.engine == "llama.cpp" for found in choose(cards, toy_model(), wanted, []).alternatives)


@pytest.mark.parametrize(("kind", "label", "low", "high"), [("awq", "Q4_K_M", 14, 17), ("bf16", "BF16", 14.5, 15.5)])
def test_the_twin_of_a_checkpoint_has_about_its_size(tmp_path: Path, kind: str, label: str, low: float, high: float) -> None:
    shape = coder_27b() if kind == "awq" else dense()
    model = read_safetensors(write(tmp_path / "m", *shape))
    found = twin(model)
    assert found.label == f"{label} GGUF"
    assert low * GIB < found.model.weights_bytes < high * GIB
    assert {t.layer for t in found.model.tensors} == {None, *range(model.layers)}


def test_the_twin_of_a_gguf_keeps_its_ends_as_trained() -> None:
    model = gguf("qwen3-32b-q4_k_m")
    found = twin(model).model
    assert 17 * GIB < found.weights_bytes < 20 * GIB
    head = next(t.bytes for t in found.tensors if t.name == "lm_head.weight")
    assert head == pytest.approx(model.embedding_length * model.vocabulary * 2, rel=0.02)
    assert (found.layers, found.kv_heads) == (model.layers, model.kv_heads)

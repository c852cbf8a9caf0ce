"""A model whose engine was given up: the stored results lead the next launch to the file and the engine that worked."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from planning.past import BUILD, a_run
from planning.toys import gpu, intent, rig
from rigtui.cli.main import main
from rigtui.engines.engine import Build
from rigtui.models.gguf import read_gguf
from rigtui.models.model import Model
from rigtui.models.safetensors import read_safetensors
from rigtui.planning.outcomes import AttemptResult, GivenUp
from rigtui.runs import memory
from rigtui.runs.results import record
from tools.make_gguf import tiny_llama
from tools.make_safetensors import dense, write

RIG = rig(gpu(0, 9000), gpu(1, 9000))
ASKED = intent()
VLLM = Build(engine="vllm", label="vLLM 0.33.0 (CUDA)", version="0.33.0", argv=("vllm",))
READY = AttemptResult(outcome="ready", context=4096, context_per_slot=4096, parallel=1, kv_type=("f16", "f16"), split_mode="none")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Model:
    return read_safetensors(write(tmp_path / "tiny", *dense(4, hidden=64, heads=2, kv_heads=1, width=128, vocabulary=320)))


@pytest.fixture
def beside(tmp_path: Path, checkpoint: Model) -> Path:
    """The GGUF that a first run ended with, as its result says."""
    path = tiny_llama(tmp_path / "tiny-F16.gguf")
    other = read_gguf(path)
    left = GivenUp(engine="vllm", build=VLLM.label, fingerprint=checkpoint.fingerprint, instead=str(path), why="not known")
    record("tiny", replace(a_run(RIG, other, ASKED, READY, given_up=left), model="tiny"))
    return path


def launched(checkpoint: Model, *builds: Build) -> memory.Derived:
    return memory.derive(RIG, checkpoint, ASKED, builds or (VLLM, BUILD))


def test_the_next_launch_goes_straight_to_what_worked_and_its_own_result_will_say_so(checkpoint: Model, beside: Path) -> None:
    derived = launched(checkpoint)
    assert (derived.plan.engine, derived.plan.model.path, derived.model.path) == ("llama.cpp", str(beside), str(beside))
    assert derived.plan.reasons[0].code == "given_up"
    assert "vLLM 0.33.0 (CUDA) could not serve this model here: not known" in derived.plan.reasons[0].text
    assert derived.given_up is not None
    assert derived.given_up.fingerprint == checkpoint.fingerprint


def test_another_version_of_the_engine_is_tried_first(checkpoint: Model, beside: Path) -> None:
    derived = launched(checkpoint, replace(VLLM, label="vLLM 0.34.0 (CUDA)"), BUILD)
    assert (derived.plan.engine, derived.given_up) == ("vllm", None)


def test_after_forgetting_the_model_its_own_engine_is_tried_first(checkpoint: Model, beside: Path) -> None:
    assert main(["forget", "tiny"]) == 0
    assert launched(checkpoint).plan.engine == "vllm"
    assert main(["forget", "tiny", "--undo"]) == 0
    assert launched(checkpoint).plan.engine == "llama.cpp"


def test_without_the_file_or_with_another_in_its_place_the_models_own_engine_is_tried(checkpoint: Model, beside: Path) -> None:
    tiny_llama(beside, layers=2)
    assert launched(checkpoint).plan.engine == "vllm"
    beside.unlink()
    assert launched(checkpoint).plan.engine == "vllm"


def test_without_the_other_engine_the_models_own_is_tried(checkpoint: Model, beside: Path) -> None:
    assert launched(checkpoint, VLLM).plan.engine == "vllm"

"""How a plan for vLLM is started: what stands in its command, and what does not."""

from __future__ import annotations

import pytest

from rigtui.engines.engine import Build
from rigtui.engines.vllm.spawn import spawn
from rigtui.planning.choose import choose
from tools.toy_checkpoints import gpu, intent, rig, toy

BUILD = Build(engine="vllm", label="vLLM 0.33.0", version="0.33.0", argv=("/env/bin/vllm",))


def test_the_users_arguments_stay_last() -> None:
    plan = choose(rig(gpu(0, 8000)), toy(), intent(engine_args=("--seed", "7")), [BUILD])
    found = spawn(plan, BUILD, "127.0.0.1", 8080)
    assert found.argv[:9] == (
        "/env/bin/vllm",
        "serve",
        "/models/toy",
        "--host",
        "127.0.0.1",
        "--port",
        "8080",
        "--served-model-name",
        "toy",
    )
    assert found.argv[-2:] == ("--seed", "7")
    assert (found.api, found.model_name, found.key_variable) == ("vllm", "toy", None)
    assert plan.env.items() <= found.env.items()
    assert found.env["VLLM_NO_USAGE_STATS"] == "1"
    assert "VLLM_PP_LAYER_PARTITION" in found.not_inherited, "a shell's own would divide the layers of every launch"


def test_a_key_is_only_named() -> None:
    plan = choose(rig(gpu(0, 8000)), toy(), intent(), [BUILD])
    found = spawn(plan, BUILD, "127.0.0.1", 8080, "/secret/keys")
    assert found.key_variable == "VLLM_API_KEY"
    assert not [word for word in (*found.argv, *found.env.values()) if "secret" in word]


@pytest.mark.parametrize(
    "words", [("--served-model-name", "mine", "other"), ("--served-model-name=mine",), ("--served_model_name", "mine")]
)
def test_a_name_of_the_users_own_is_what_the_api_knows(words: tuple[str, ...]) -> None:
    plan = choose(rig(gpu(0, 8000)), toy(), intent(engine_args=words), [BUILD])
    found = spawn(plan, BUILD, "127.0.0.1", 8080)
    assert found.model_name == "mine"

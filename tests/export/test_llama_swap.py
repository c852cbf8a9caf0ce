"""llama-swap: a YAML reader and a shell-like splitter of others give back the plan's command and environment."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml
from hypothesis import given

from export.foreign import ARGUMENTS, NAMES, ODD, entry, vllm
from export.plans import plan
from rigtui.errors import RigtuiError
from rigtui.export.exported import Exported
from rigtui.export.llama_swap import write
from rigtui.intent.profile import Profile
from rigtui.planning.plan import Plan

ADDRESS = ["--host", "127.0.0.1", "--port", "5800"]


def read(text: str) -> dict[str, Any]:
    models = yaml.safe_load(text)["models"]
    assert isinstance(models, dict)
    return models


def started(model: dict[str, Any]) -> list[str]:
    """What llama-swap starts: macros first, comment lines left out, then split."""
    assert set(re.findall(r"\$\{([^}]*)\}", model["cmd"])) <= {"PORT"}, "another macro is an error when it is read"
    text = model["cmd"].replace("${PORT}", "5800")
    return shlex.split("\n".join(line for line in text.split("\n") if not line.strip().startswith("#")))


def command(plan_: Plan, at: int = 1, more: tuple[str, ...] = ()) -> list[str]:
    return [*plan_.command[:at], *ADDRESS, *more, *plan_.command[at:]]


def test_the_command_and_the_environment_are_those_of_the_plan() -> None:
    one = entry("--fit-target", "128,1024", *ODD)
    model = read(write([one]))["my coder"]
    assert started(model) == command(one.plan)
    assert model["env"] == ["CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=GPU-5070,GPU-4090"]


def test_a_person_reads_one_option_a_line_and_what_another_machine_needs() -> None:
    text = write([entry("--fit-target", "128,1024")])
    assert "\n      --port ${PORT}\n" in text
    assert "\n      --fit-target 128,1024\n" in text
    assert "    # Needs the model at /models/glm/GLM-Q8_0.gguf.\n" in text


def test_the_log_is_for_people_unless_the_user_wants_it_otherwise() -> None:
    watched = ("-lv", "4", "--log-jsonl")
    one = entry("--metrics", *watched, "-lv", "4")
    assert started(read(write([one]))["my coder"])[-3:] == ["--metrics", "-lv", "4"]
    assert not set(watched) & set(started(read(write([entry(*watched)]))["my coder"]))


@given(NAMES, ARGUMENTS, NAMES)
def test_no_name_path_or_argument_means_anything_to_llama_swap(name: str, argument: str, file: str) -> None:
    one = entry("--note", argument, name=name.replace("${", "$"), path=f"/models/{file}.gguf")
    ((key, model),) = read(write([one])).items()
    assert key == one.profile.name
    assert started(model) == command(one.plan)


@given(ARGUMENTS.filter(lambda value: "${" not in value))
def test_the_environment_arrives_unchanged(value: str) -> None:
    assert read(write([entry(env={"NOTE": value})]))["my coder"]["env"] == [f"NOTE={value}"]


def test_several_profiles_are_several_models() -> None:
    models = read(write([entry(), entry("--seed", "1", name="b")]))
    assert list(models) == ["my coder", "b"]
    assert started(models["b"])[-2:] == ["--seed", "1"]


def test_vllm_is_asked_by_the_name_that_it_serves() -> None:
    named = ("--served-model-name", "Qwen3-32B-AWQ")
    model = read(write([Exported(Profile(name="q", model="/models/qwen"), vllm())]))["q"]
    assert started(model) == command(vllm(), 3, named)
    assert model["useModelName"] == "Qwen3-32B-AWQ"
    own = vllm("--served-model-name", "mine")
    model = read(write([Exported(Profile(name="q", model="/models/qwen"), own)]))["q"]
    assert started(model) == command(own, 3)
    assert model["useModelName"] == "mine"


def test_an_address_of_the_users_is_kept_and_a_port_is_not() -> None:
    model = read(write([entry("--host", "192.168.1.9", "--port", "9000")]))["my coder"]
    assert started(model)[1:5] == ["--host", "192.168.1.9", "--port", "5800"]
    assert "9000" not in model["cmd"]
    assert model["proxy"] == "http://192.168.1.9:${PORT}"


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (entry("--note", "a\nb"), "more than one line"),
        (entry(name="a${b}"), "macro; rename it"),
        (entry(env={"A": "${HOME}"}), "macro of its own"),
        (entry(path="models/x.gguf"), "not known from the root"),
        (entry(status="no_fit"), "does not fit this rig"),
        (entry("--api-key", "s3cret"), "--api-key-file"),
        (entry(env={"HF_TOKEN": "s3cret"}), "HF_TOKEN"),
        (Exported(Profile(name="my coder", model="m"), plan(command=(), engine="ollama")), "ollama is not started by a command"),
        (Exported(Profile(name="my coder", model="m"), None), "it is not started by a command"),
    ],
)
def test_what_llama_swap_cannot_start_is_refused_in_one_sentence(one: Exported, reason: str) -> None:
    with pytest.raises(RigtuiError, match=reason) as caught:
        write([one])
    assert str(caught.value).startswith(("my coder cannot be written as a llama-swap configuration: ", "a${b} cannot"))
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_profile_is_one_model() -> None:
    with pytest.raises(RigtuiError, match="named twice"):
        write([entry(), entry()])


def test_the_models_own_name_cannot_end_a_comment() -> None:
    from msgspec.structs import replace

    one = entry()
    named = replace(one.plan, model=replace(one.plan.model, name="x\u2028apiKeys: [a]"))
    assert set(yaml.safe_load(write([Exported(one.profile, named)]))) == {"healthCheckTimeout", "models"}

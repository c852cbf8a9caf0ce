"""Presets of llama-server's router: readers of others give back the plan's options."""

from __future__ import annotations

import configparser
import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.foreign import ARGUMENTS, NAMES, entry, vllm
from export.plans import RTX_4090, device
from rigtui.errors import RigtuiError
from rigtui.export.exported import Exported
from rigtui.export.llama_preset import write
from rigtui.intent.profile import Profile

PLAN = {
    "model": "/models/glm/GLM-Q8_0.gguf",
    "ctx-size": "131072",
    "parallel": "1",
    "batch-size": "2048",
    "ubatch-size": "512",
}
ALONE = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "GPU-4090"}


def read(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(
        interpolation=None, delimiters=("=",), comment_prefixes=(";", "#"), inline_comment_prefixes=(";", "#"), default_section="*"
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def read_as_llama_server(text: str) -> dict[str, dict[str, str]]:
    """The grammar of common/preset.cpp: a value ends where blanks, a comment mark or the line's end follow."""
    found: dict[str, dict[str, str]] = {}
    for line in re.split(r"\r\n|\n|\r", text):
        if header := re.fullmatch(r"\[[ \t]*([^\]]+)\][ \t]*(?:[;#].*)?", line, re.DOTALL):
            section = found.setdefault(header[1], {})
        elif pair := re.fullmatch(r"([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*(.*?)[ \t]*(?:[;#].*)?", line, re.DOTALL):
            section[pair[1]] = pair[2]
        else:
            assert re.fullmatch(r"[ \t]*(?:[;#].*)?", line, re.DOTALL), f"llama-server refuses {line!r}"
    return found


def test_the_options_are_those_of_the_plan_and_nothing_decides_for_fit() -> None:
    text = write([entry("--fit-target", "128,1024", "-ctk", "q8_0", "--no-mmap", "--metrics", "--temp", "-1")])
    told = {"fit-target": "128,1024", "cache-type-k": "q8_0", "no-mmap": "true", "metrics": "true", "temp": "-1"}
    assert read(text) == read_as_llama_server(text) == {"my coder": PLAN | told}


def test_the_heading_starts_the_router_with_the_plans_environment_on_this_machine_alone() -> None:
    line = write([entry()]).splitlines()[1].removeprefix("; ")
    assert shlex.split(line) == [
        "CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=GPU-5070,GPU-4090", "/usr/bin/llama-server", "--models-preset", "FILE",
        "--models-max", "1", "--host", "127.0.0.1", "--port", "8080",
    ]  # fmt: skip


def test_models_on_other_cards_share_one_router() -> None:
    alone = entry("--split-mode", "none", name="small", env=ALONE)
    text = write([entry("--fit-target", "128,1024"), alone])
    assert "CUDA_VISIBLE_DEVICES=GPU-5070,GPU-4090 " in text
    found = read(text)
    assert "device" not in found["my coder"]
    assert found["small"]["device"] == "CUDA1"
    turned = entry(name="turned", env=ALONE | {"CUDA_VISIBLE_DEVICES": "GPU-4090,GPU-5070"})
    assert read(write([entry(), turned]))["turned"]["device"] == "CUDA1,CUDA0"


@given(NAMES.filter(lambda name: "]" not in name and name == name.strip() and name.isprintable() and name != "*"), ARGUMENTS)
def test_a_value_arrives_unchanged_or_is_refused(name: str, value: str) -> None:
    one = entry("--note", value, name=name)
    said = value and not set(value) & set(";#") and value == value.strip(" \t")
    if re.match(r"--?[A-Za-z]", value):
        return  # nobody can tell such a value from an option
    if not said:
        with pytest.raises(RigtuiError, match="the value of --note"):
            write([one])
        return
    assert read_as_llama_server(write([one])) == {name: PLAN | {"note": value}}


@given(st.permutations([("-ub", "512"), ("--ubatch-size", "1024"), ("-ub", "256")]))
def test_of_an_option_that_counts_once_the_last_one_is_kept(given_: list[tuple[str, str]]) -> None:
    found = read(write([entry(*(word for pair in given_ for word in pair))]))
    assert found["my coder"]["ubatch-size"] == given_[-1][1]


def test_of_a_switch_and_its_opposite_the_last_one_is_kept() -> None:
    assert read(write([entry("--no-mmap", "--mmap")]))["my coder"] == PLAN | {"mmap": "true"}


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([Exported(Profile(name="my coder", model="m"), vllm())], "it runs with vllm"),
        ([entry("-ot", "a=CPU", "-ot", "b=CPU")], "-ot is given twice"),
        ([entry("--range", "1", "2")], "--range has several values"),
        ([entry("--note", "a\nb")], "the value of --note"),
        ([entry("--a=b")], "is no option"),
        ([entry(path="/models/a;b.gguf")], "the value of -m"),
        ([entry(env={"LLAMA_ARG_CTX_SIZE": "1"})], "LLAMA_ARG_CTX_SIZE would hold for the router"),
        ([entry("--api-key", "s3cret")], "--api-key-file"),
        ([entry(), entry()], "named twice"),
        ([entry(name="a"), entry(env={"GGML_X": "1"})], "another than that of a"),
        ([entry(name="a"), entry(devices=(device(RTX_4090, 0),), env={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})], "names its cards"),
        ([entry(name="a]b")], "rename it"),
    ],
)
def test_what_a_preset_cannot_say_is_refused_in_one_sentence(entries: list[Exported], reason: str) -> None:
    with pytest.raises(RigtuiError, match=reason) as caught:
        write(entries)
    assert "cannot be written as a preset for llama-server: " in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)

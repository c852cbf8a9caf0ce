"""Modelfiles: Ollama's parser, written down once more, gives back what a plan can say there."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from msgspec.structs import replace

from export.foreign import ARGUMENTS, NAMES, entry, vllm
from export.plans import RTX_4090, device
from rigtui.errors import RigtuiError
from rigtui.export.exported import Exported
from rigtui.export.modelfile import write
from rigtui.intent.profile import Profile

PLAN = [("FROM", "/models/glm/GLM-Q8_0.gguf"), ("num_ctx", "131072"), ("num_batch", "512")]


def read(text: str) -> list[tuple[str, str]]:
    """Commands and parameters as parser/parser.go reads them, a character at a time."""
    found, rest = [], text
    while rest := rest.lstrip(" \t\r\n"):
        if rest.startswith("#"):
            _, _, rest = rest.partition("\n")
            continue
        name, _, rest = rest.partition(" ")
        assert name in ("FROM", "PARAMETER"), name
        if name == "PARAMETER":
            name, _, rest = rest.partition(" ")
            assert re.fullmatch("[a-z_]+", name)
        at = 0
        while True:
            at = next((place for place in range(at, len(rest)) if rest[place] in "\r\n"), len(rest))
            value = unquoted(rest[:at].strip())
            if value is not None:
                break
            assert at < len(rest), "a quote without an end"
            at += 1
        assert all(char.isprintable() or char in "\t\n" for char in value), "left out"
        found.append((name, value))
        rest = rest[at:]
    return found


def unquoted(text: str) -> str | None:
    for quote in ('"""', '"'):
        if text.startswith(quote):
            return text[len(quote) : -len(quote)] if len(text) >= 2 * len(quote) and text.endswith(quote) else None
    return text


def told(text: str) -> list[str]:
    """The variables for the server, from the comments."""
    return re.findall(r"^#   (\S+)$", text, re.MULTILINE)


def test_model_context_and_batch_are_those_of_the_plan() -> None:
    text = write([entry("--fit-target", "128,1024", "--metrics", "-lv", "4", "--jinja")])
    assert read(text) == PLAN
    assert told(text) == [
        "CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=GPU-5070,GPU-4090", "LLAMA_ARG_FIT_TARGET=128,1024", "OLLAMA_SCHED_SPREAD=1",
    ]  # fmt: skip
    assert "Not carried over" not in text
    assert "ollama create my-coder -f FILE" in text


def test_what_the_server_has_to_be_told_and_cannot_be_told_stands_in_comments() -> None:
    one = entry("-ctk", "q8_0", "-ctv", "q8_0", "-ncmoe", "8", parallel=4, context_per_slot=32768, kv_type=("q8_0", "q8_0"))
    text = write([one])
    assert ("num_ctx", "32768") in read(text)
    assert {"OLLAMA_NUM_PARALLEL=4", "OLLAMA_KV_CACHE_TYPE=q8_0", "OLLAMA_FLASH_ATTENTION=1"} <= set(told(text))
    assert "# Not carried over: -ncmoe 8\n" in text
    placed = write([entry("--device", "CUDA1", "--split-mode", "row", env={})])
    assert "# Not carried over: --device CUDA1; --split-mode row\n" in placed
    mixed = write([entry("-ctk", "q8_0", "-ctv", "q5_1", kv_type=("q8_0", "q5_1"))])
    assert "OLLAMA_KV_CACHE_TYPE" not in mixed
    assert "# Not carried over: KV cache q8_0/q5_1" in mixed


def test_how_it_answers_and_layers_that_the_user_fixed_are_parameters() -> None:
    args = ("--temp", "1.0", "--top-k", "40", "-r", "a", "--temp", "0.7", "-r", '"b" ', "-n", "-1")
    answers = [("top_k", "40"), ("stop", "a"), ("temperature", "0.7"), ("stop", '"b" '), ("num_predict", "-1")]
    assert read(write([entry(*args)]))[3:] == answers
    assert ("num_gpu", "20") in read(write([entry("-ngl", "20")]))
    assert not any(name == "num_gpu" for name, _ in read(write([entry("-ngl", "auto")])))
    assert ("num_gpu", "0") in read(write([entry("--device", "none", devices=(), env={})]))
    assert "OLLAMA_SCHED_SPREAD" not in write([entry(devices=(device(RTX_4090, 0),))])


@given(NAMES, ARGUMENTS, NAMES)
def test_no_name_path_or_argument_means_anything_to_ollama(name: str, stop: str, file: str) -> None:
    path = f"/models/{file}.gguf"
    said = all(char.isprintable() or char == "\t" for char in path + stop) and '"""' not in path + stop
    option = re.match(r"--?[A-Za-z]", stop)
    one = entry("-r", "#1", "-r", stop, name=name, path=path)
    if option:
        return  # nobody can tell such a value from an option
    if not said:
        with pytest.raises(RigtuiError, match="Ollama leaves out"):
            write([one])
        return
    assert read(write([one])) == [("FROM", path), *PLAN[1:], ("stop", "#1"), ("stop", stop)]


def test_a_stop_of_several_lines_is_kept() -> None:
    assert read(write([entry("-r", 'a\n# "b"\n')]))[-1] == ("stop", 'a\n# "b"\n')


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([Exported(Profile(name="q", model="m"), vllm())], "runs with vllm, and Ollama takes GGUF models"),
        ([entry(name="a"), entry(name="b")], r"holds one model, not 2 \(a, b\)"),
        ([entry(path="/models/x-00001-of-00003.gguf")], "llama-gguf-split --merge"),
        ([entry(path="x.gguf")], "not known from the root"),
        ([entry("-r", 'a"""b')], "three quotes"),
        ([entry(status="no_fit")], "does not fit"),
        ([entry("--api-key=s3cret")], "--api-key-file"),
        ([Exported(Profile(name="q", model="m"), replace(vllm(), command=()))], "not started by a command"),
    ],
)
def test_what_a_modelfile_cannot_hold_is_refused_in_one_sentence(entries: list[Exported], reason: str) -> None:
    with pytest.raises(RigtuiError, match=reason) as caught:
        write(entries)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)

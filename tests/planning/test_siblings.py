"""The same model in another format is known by its shape and its name, and a fine-tune of it is another model."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from planning.toys import toy_model
from rigtui.models.model import Model
from rigtui.planning.siblings import siblings


def gguf(path: str, **changes: object) -> Model:
    fields = {"path": path, "name": Path(path).stem, "format": "gguf", "architecture": "qwen3moe", "transformers": None, **changes}
    return replace(toy_model(), **fields)


def checkpoint(path: str, **changes: object) -> Model:
    fields = {"path": path, "name": Path(path).name, "format": "safetensors", "architecture": "qwen3_moe", **changes}
    return replace(toy_model(), **fields)


@pytest.mark.parametrize(
    ("folder", "file"),
    [
        ("/m/Coder-30B-A3B-Instruct", "/m/Coder-30B-A3B-Instruct-Q4_K_M.gguf"),
        ("/m/Coder-30B-A3B-Instruct-AWQ-INT4", "/m/coder-30b-a3b-instruct-UD-IQ3_XXS.gguf"),
        ("/m/Coder-30B-A3B-Instruct-FP8", "/m/Coder-30B-A3B-Instruct-Q8_0-00001-of-00002.gguf"),
        ("/m/Coder-30B-A3B-Instruct-GPTQ-w4a16-g128", "/m/Coder_30B_A3B_Instruct.i1-Q5_K_S.gguf"),
        ("/hub/models--a--Coder-30B-A3B-Instruct-AWQ/snapshots/0a1b", "/hub/models--b--Coder-30B-A3B-Instruct-GGUF/snapshots/9/x.gguf"),
    ],
)
def test_the_same_model_in_another_format_is_found(folder: str, file: str) -> None:
    here, there = checkpoint(folder), gguf(file)
    assert siblings(here, [there]) == (there,)
    assert siblings(there, [here]) == (here,)


@pytest.mark.parametrize(
    "other",
    [
        gguf("/m/Coder-30B-A3B-Q4_K_M.gguf"),  # the base model
        gguf("/m/Coder-30B-A3B-Instruct-abliterated-Q4_K_M.gguf"),
        gguf("/m/Coder-30B-A3B-Instruct-Q4_K_M.gguf", layers=7),
        gguf("/m/Coder-30B-A3B-Instruct-Q4_K_M.gguf", architecture="qwen3"),
        checkpoint("/elsewhere/Coder-30B-A3B-Instruct"),
    ],
)
def test_another_model_is_not_taken_for_it(other: Model) -> None:
    assert siblings(checkpoint("/m/Coder-30B-A3B-Instruct"), [other]) == ()


def test_of_several_the_finest_comes_first() -> None:
    small = gguf("/m/Coder-Q4_K_M.gguf", weights_bytes=4)
    large = gguf("/m/Coder-Q8_0.gguf", weights_bytes=8)
    found = siblings(checkpoint("/m/Coder"), [small, large, small])
    assert [model.path for model in found] == [large.path, small.path]

"""What vLLM refuses, by its own rules."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from rigtui.engines.engine import Build
from rigtui.engines.vllm.rules import card_too_old, divisors, driver_too_old, refused, tensor_parallel_problem
from rigtui.engines.vllm.tools import tool_parser
from rigtui.models.model import Transformers
from tools.toy_checkpoints import gpu, toy


@pytest.mark.parametrize(
    ("heads", "kv_heads", "size", "fine"),
    [(64, 8, 2, True), (64, 8, 3, False), (64, 8, 16, True), (40, 8, 5, False), (28, 4, 8, False), (28, 4, 4, True), (12, 6, 4, False)],
)
def test_heads_and_kv_heads_divide_or_are_repeated(heads: int, kv_heads: int, size: int, fine: bool) -> None:
    assert (tensor_parallel_problem(toy(heads=heads, kv_heads=kv_heads), size) is None) == fine


def test_latent_attention_does_not_ask_for_kv_heads() -> None:
    assert tensor_parallel_problem(replace(toy(heads=16), mla=True), 4) is None


def test_quantization_groups_are_not_cut() -> None:
    awq = replace(toy(heads=64, kv_heads=8), feed_forward=(13824,) * 10, transformers=Transformers(quant_method="awq", quant_group=128))
    assert tensor_parallel_problem(awq, 4) is None
    assert "groups of 128" in (tensor_parallel_problem(awq, 8) or "")
    assert divisors(awq, 8) == (2, 4)


@pytest.mark.parametrize(
    ("method", "capability", "fine"),
    [("awq", "7.5", True), ("awq", "7.0", False), ("mxfp4", "7.5", False), ("mxfp4", "8.0", True), ("", "7.5", True), ("", "6.1", False)],
)
def test_a_checkpoint_needs_its_kernels(method: str, capability: str, fine: bool) -> None:
    assert (card_too_old(gpu(0, 8000, capability=capability), toy(method=method)) is None) == fine


@pytest.mark.parametrize(("driver", "fine"), [("580.65.06", True), ("580.65", False), ("580.95", True), ("590", True), ("575.99", False)])
def test_the_wheel_needs_a_driver_for_cuda_13(driver: str, fine: bool) -> None:
    assert (driver_too_old(driver, None) is None) == fine
    older = Build(engine="vllm", label="", version="0.28.0", argv=("vllm",))
    assert driver_too_old(driver, older) is None


def test_what_left_the_core_is_refused_from_then_on() -> None:
    model = toy(method="bitsandbytes")
    assert refused(model, None) is not None
    assert refused(model, Build(engine="vllm", label="", version="0.19.1", argv=("vllm",))) is None


@pytest.mark.parametrize(
    ("name", "architecture", "parser"),
    [
        ("Qwen3-Coder-30B-A3B-Instruct-FP8", "qwen3_moe", "qwen3_coder"),
        ("Qwen3-32B", "qwen3", "hermes"),
        ("gpt-oss-20b", "gpt_oss", "openai"),
        ("Devstral-Small-2", "mistral3", "mistral"),
        ("Meta-Llama-3.1-8B-Instruct", "llama", "llama3_json"),
        ("Hermes-3-Llama-3.1-8B", "llama", "hermes"),
        ("GLM-4.7-Flash", "glm4_moe", "glm47"),
        ("SomethingNew-7B", "llama", None),
        ("odd", "newmodel", None),
    ],
)
def test_a_family_has_its_parser_or_none(name: str, architecture: str, parser: str | None) -> None:
    assert tool_parser(replace(toy(), name=name, architecture=architecture)) == parser

"""What vLLM refuses: cards, drivers, checkpoints and divisions. Pure.

Source: vLLM 0.33, config/model.py:1559 and model_executor/layers/linear.py:1066 (tensor parallel), model_executor/layers/quantization
(`get_min_capability`), platforms/cuda.py (bfloat16); docs/getting_started gpu.cuda.inc.md (compute capability 7.5); CUDA 13.0 release notes
(driver 580.65.06 for the wheel on PyPI).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import gcd

from rigtui.engines.engine import Build
from rigtui.models.model import Model
from rigtui.rig.rig import Gpu

LEAST_CAPABILITY = 75
LEAST_DRIVER = (580, 65, 6)
CUDA_13_SINCE = (0, 33)
FP8_KV_CAPABILITY = 89
BF16_CAPABILITY = 80
_LEAST_FOR = {
    "awq": 75,
    "awq_marlin": 75,
    "gptq": 75,
    "gptq_marlin": 75,
    "fp8": 75,
    "compressed-tensors": 75,
    "mxfp4": 80,
    "gpt_oss_mxfp4": 80,
    "modelopt": 80,
    "modelopt_fp4": 75,
    "modelopt_mixed": 75,
    "moe_wna16": 75,
    "torchao": 75,
    "experts_int8": 80,
    "fbgemm_fp8": 80,
    "fp_quant": 100,
}
"""Checkpoint's method -> least compute capability, times ten."""
_GONE = {"bitsandbytes": (0, 33), "gguf": (0, 33)}
"""Methods that left vLLM's core, and the first version without them."""


def capability(gpu: Gpu) -> int | None:
    """Compute capability times ten, None when unknown."""
    if gpu.compute_capability is None:
        return None
    major, _, minor = gpu.compute_capability.partition(".")
    return int(major) * 10 + int(minor or 0) if major.isdigit() and (minor or "0").isdigit() else None


def least_capability(cards: Sequence[Gpu]) -> int | None:
    """The lowest known one: kernels must run on every card of a group."""
    return min((found for card in cards if (found := capability(card)) is not None), default=None)


def method(model: Model) -> str:
    """How the checkpoint is quantized, in vLLM's words."""
    return model.transformers.quant_method if model.transformers else ""


def card_too_old(gpu: Gpu, model: Model) -> str | None:
    """Why vLLM cannot compute this model on the card, or None."""
    found = capability(gpu)
    if found is None:
        return None
    if found < LEAST_CAPABILITY:
        return f"{gpu.name} has compute capability {gpu.compute_capability}, vLLM needs {_dotted(LEAST_CAPABILITY)}"
    least = _LEAST_FOR.get(method(model), LEAST_CAPABILITY)
    if found < least:
        what = model.quantization or method(model)
        return f"{gpu.name} has compute capability {gpu.compute_capability}, vLLM's kernels for {what} need {_dotted(least)}"
    return None


def driver_too_old(driver: str | None, build: Build | None) -> str | None:
    """Why this driver cannot run vLLM's wheel, or None; an unknown driver is given the benefit of the doubt."""
    if driver is None or (build is not None and (version_of(build) < CUDA_13_SINCE or "+cu12" in build.version)):
        return None
    found = tuple(int(part) for part in re.findall(r"\d+", driver)[:3])
    if found and found + (0,) * (3 - len(found)) < LEAST_DRIVER:
        return f"driver {driver} is too old for vLLM's CUDA 13 build: 580.65.06 is the least"
    return None


def version_of(build: Build) -> tuple[int, ...]:
    """Its version as numbers."""
    return tuple(int(part) for part in re.findall(r"\d+", build.version.partition("+")[0])[:3])


def refused(model: Model, build: Build | None) -> str | None:
    """Why vLLM cannot load this checkpoint on any card, or None."""
    if model.format == "gguf":
        return f"{model.name} is a GGUF file: vLLM's core does not read them since 0.33; llama.cpp does"
    gone = _GONE.get(method(model))
    if gone is not None and (build is None or version_of(build) >= gone):
        return f"{model.name} is quantized with {method(model)}, which left vLLM's core in 0.33; take AWQ, GPTQ or FP8 weights"
    return None


def tensor_parallel_problem(model: Model, size: int) -> str | None:
    """Why the model cannot be divided over `size` ranks, or None: the first of vLLM's own rules that it breaks."""
    return None if size == 1 else _heads_problem(model, size) or _widths_problem(model, size)


def _heads_problem(model: Model, size: int) -> str | None:
    heads = max(model.heads, default=0)
    if heads % size:
        return f"TP {size} needs attention heads that {size} divides: {heads} are not"
    kv = max(model.kv_heads, default=0)
    if kv and not model.mla and kv % size and size % kv:
        return f"TP {size} needs KV heads that divide with {size}: {kv} do not"
    state = model.recurrent
    if state is not None and state.known and state.group_count and gcd(state.group_count, size) != size:
        return f"TP {size} needs state heads that {size} divides: {state.group_count} are not"
    return None


def _widths_problem(model: Model, size: int) -> str | None:
    group = model.transformers.quant_group if model.transformers else 0
    for width in {*model.feed_forward, model.experts.feed_forward if model.experts else 0}:
        if width % size:
            return f"TP {size} needs feed-forward rows that {size} divides: {width:,} are not"
        if width and group and width // size % group:
            return f"TP {size} would cut the quantization groups of {group}: {width:,} rows in {size} parts"
    return None


def divisors(model: Model, most: int) -> tuple[int, ...]:
    """Sizes of a tensor-parallel group, from 2 to `most`, over which the model divides."""
    return tuple(size for size in range(2, most + 1) if tensor_parallel_problem(model, size) is None)


def dtype_for(model: Model, cards: Sequence[Gpu]) -> tuple[str, bool]:
    """Type of the activations on these cards, and whether it must be asked for: bfloat16 needs compute capability 8.0."""
    own = model.transformers.dtype if model.transformers else "bf16"
    if own == "f32":
        own = "bf16"
    least = least_capability(cards)
    if own == "bf16" and least is not None and least < BF16_CAPABILITY:
        return "f16", True
    return own, False


def _dotted(number: int) -> str:
    return f"{number // 10}.{number % 10}"

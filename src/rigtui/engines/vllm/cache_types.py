"""Which types vLLM's KV cache may have here: rigtui's names, the use case's wishes and the cards' abilities brought together. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rigtui.engines.vllm import rules
from rigtui.engines.vllm.arguments import Own
from rigtui.errors import UsageError
from rigtui.models.model import Model
from rigtui.planning.wants import Wants
from rigtui.rig.rig import Gpu

NAMES = ("auto", "f16", "bf16", "fp8")
_SAME = {"q8_0": "fp8"}
"""What a use case's llama.cpp type allows here: one byte a value."""


def kv_types(want: Wants, own: Own, model: Model, cards: Sequence[Gpu]) -> tuple[str, ...]:
    """Types to try, finest first: the user's own alone, or the model's own and what the use case allows and every card can.

    Raises UsageError for a type that vLLM does not have.
    """
    dtype, _ = rules.dtype_for(model, cards)
    native = own.dtype or dtype
    if own.kv_type is not None:
        return (own.kv_type,)
    if want.kv_fixed:
        return (_named(want.kv_types[0], native),)
    found = [native]
    least = rules.least_capability(cards)
    if least is not None and least >= rules.FP8_KV_CAPABILITY and any(_SAME.get(kind) == "fp8" for pair in want.kv_types for kind in pair):
        found.append("fp8")
    if all(_SAME.get(kind) == "fp8" for kind in want.kv_types[0]) and "fp8" in found:
        found.remove(native)
    return tuple(found)


def _named(pair: tuple[str, str], native: str) -> str:
    key, value = pair
    if key != value:
        raise UsageError(f"vLLM has one type for keys and values, not {key} and {value}")
    if key not in NAMES:
        raise UsageError(f"'{key}' is not a KV cache type of vLLM; known are {', '.join(NAMES)}")
    # Sixteen bits are sixteen bits: the cache has the model's own type.
    return key if key == "fp8" else native

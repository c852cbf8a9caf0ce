"""What arguments of `vllm serve` set, as far as rigtui's plan depends on it. Pure.

Source: vLLM 0.33, engine/arg_utils.py, utils/argparse_utils.py (dashes and underscores are the same; `32k` is 32,000 and `32K` is 32,768).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from rigtui.errors import UsageError
from rigtui.text import clean


class RefusedError(UsageError):
    """vLLM would not start with this, whatever the memory; the message says why, in its own terms where it has some."""


class Own(Struct, frozen=True, kw_only=True):
    """What the arguments say; None: nothing."""

    model: str | None = None
    utilization: float | None = None
    context: int | None = None
    context_auto: bool = False
    """As long as fits (`--max-model-len auto`)."""
    sequences: int | None = None
    batched_tokens: int | None = None
    tensor_parallel: int | None = None
    stages: int | None = None
    eager: bool | None = None
    """CUDA graphs are off, or (False) asked for."""
    kv_type: str | None = None
    dtype: str | None = None
    kv_bytes: int | None = None
    block_tokens: int | None = None
    prefix_caching: bool | None = None
    flags: frozenset[str] = frozenset()
    """Every option that is named, in its long form with dashes."""


_SHORT = {"-tp": "--tensor-parallel-size", "-pp": "--pipeline-parallel-size", "-q": "--quantization", "-cc": "--compilation-config"}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([kKmMgG]?)")
_KV = {"auto": None, "bfloat16": "bf16", "float16": "f16", "fp8": "fp8", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8"}
_OTHER_KV = ("fp8", "int8", "nvfp4", "turboquant")
"""How the names of its further cache types begin."""
_DTYPES = {"auto": None, "half": "f16", "float16": "f16", "bfloat16": "bf16", "float": "f32", "float32": "f32"}


def read(arguments: Sequence[str]) -> Own:
    """What `arguments` set; the last one wins. Raises RefusedError for a value that cannot be."""
    own = Own()
    flags: set[str] = set()
    words = list(arguments)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            own = replace(own, model=own.model or word)
            continue
        name, equals, value = word.partition("=")
        name = _SHORT.get(name, name).replace("_", "-")
        flags.add(name)
        if name in _SWITCHES:
            own = _SWITCHES[name](own)
        elif name.startswith(("-O", "-cc.", "--compilation-config")):
            own = replace(own, eager=True) if _graphs_off(name, value) else own
        elif not equals and words and not words[0].startswith("-"):
            value = words.pop(0)
            own = _set(own, name, value)
        else:
            own = _set(own, name, value)
    return replace(own, flags=frozenset(flags))


_SWITCHES: dict[str, Callable[[Own], Own]] = {
    "--enforce-eager": lambda own: replace(own, eager=True),
    "--no-enforce-eager": lambda own: replace(own, eager=False),
    "--enable-prefix-caching": lambda own: replace(own, prefix_caching=True),
    "--no-enable-prefix-caching": lambda own: replace(own, prefix_caching=False),
    "--enable-auto-tool-choice": lambda own: own,
    "--trust-remote-code": lambda own: own,
    "--disable-custom-all-reduce": lambda own: own,
}


def _graphs_off(name: str, value: str) -> bool:
    return name == "-O0" or (name in ("-cc.cudagraph-mode", "--compilation-config.cudagraph-mode") and value.upper() == "NONE")


def _set(own: Own, name: str, value: str) -> Own:
    if name == "--gpu-memory-utilization":
        return replace(own, utilization=_share(name, value))
    if name == "--max-model-len":
        auto = value in ("auto", "-1")
        return replace(own, context=None if auto else _whole(name, value), context_auto=auto)
    if name == "--kv-cache-dtype":
        return replace(own, kv_type=_kv(value))
    words = {"--dtype": ("dtype", _DTYPES.get(value)), "--model": ("model", value)}
    if name in words:
        field, word = words[name]
        return replace(own, **{field: word})
    numbers = {
        "--kv-cache-memory-bytes": "kv_bytes",
        "--kv-cache-memory": "kv_bytes",
        "--max-num-seqs": "sequences",
        "--max-num-batched-tokens": "batched_tokens",
        "--tensor-parallel-size": "tensor_parallel",
        "--pipeline-parallel-size": "stages",
        "--block-size": "block_tokens",
    }
    return replace(own, **{numbers[name]: _whole(name, value)}) if name in numbers else own


def _kv(value: str) -> str | None:
    """What rigtui calls a cache type; one that it does not count with is taken for the largest. Raises RefusedError for none of vLLM's."""
    if value in _KV:
        return _KV[value]
    if not value.startswith(_OTHER_KV):
        raise RefusedError(f"--kv-cache-dtype has no '{clean(value)}'; known are {', '.join(_KV)}")
    return "bf16"


def _whole(name: str, value: str) -> int:
    found = _NUMBER.fullmatch(value)
    if not found:
        raise RefusedError(f"{name} must be a whole number, not '{clean(value)}'")
    unit = found[2]
    power = "kmg".find(unit.lower()) + 1 if unit else 0
    number = int(float(found[1]) * (1024 if unit.isupper() else 1000) ** power)
    if number < 1:
        raise RefusedError(f"{name} must be at least 1, not '{clean(value)}'")
    return number


def _share(name: str, value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise RefusedError(f"{name} must be above 0 and at most 1, not '{clean(value)}'")
    return share


def partition_of(env: str | None, stages: int, layers: int) -> tuple[int, ...] | None:
    """`VLLM_PP_LAYER_PARTITION` as numbers, None where it is not set.

    Raises RefusedError for a partition that vLLM would refuse (distributed/utils.py:214).
    """
    if env is None:
        return None
    try:
        found = tuple(int(part) for part in env.split(","))
    except ValueError:
        raise RefusedError(f"VLLM_PP_LAYER_PARTITION must be layers per stage such as 20,12, not '{clean(env)}'") from None
    if len(found) != stages:
        raise RefusedError(f"VLLM_PP_LAYER_PARTITION names {len(found)} stages, --pipeline-parallel-size {stages}")
    if sum(found) != layers or min(found) < 0:
        raise RefusedError(f"VLLM_PP_LAYER_PARTITION adds up to {sum(found)} layers; the model has {layers}")
    return found

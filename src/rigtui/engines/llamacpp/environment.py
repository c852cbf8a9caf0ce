"""What the variables before a llama-server command amount to: further arguments, and the cards that CUDA shows. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from rigtui.engines.llamacpp.arguments import FALSE_WORDS, TRUE_WORDS
from rigtui.rig.rig import Gpu, Rig
from rigtui.rig.select import select

_VALUES = {
    "MODEL": "-m",
    "HF_REPO": "-hf",
    "HF_FILE": "-hff",
    "CTX_SIZE": "-c",
    "N_PARALLEL": "-np",
    "KV_UNIFIED_PER_SLOT": "--kv-unified-per-slot",
    "BATCH": "-b",
    "UBATCH": "-ub",
    "CACHE_TYPE_K": "-ctk",
    "CACHE_TYPE_V": "-ctv",
    "FLASH_ATTN": "-fa",
    "N_GPU_LAYERS": "-ngl",
    "FIT": "-fit",
    "FIT_TARGET": "-fitt",
    "FIT_CTX": "-fitc",
    "SPLIT_MODE": "-sm",
    "MAIN_GPU": "-mg",
    "TENSOR_SPLIT": "-ts",
    "DEVICE": "-dev",
    "OVERRIDE_TENSOR": "-ot",
    "N_CPU_MOE": "-ncmoe",
    "N_CPU_FFN": "-ncffn",
    "CACHE_RAM": "-cram",
    "SPEC_DRAFT_MODEL": "-md",
    "SPEC_DRAFT_HF_REPO": "-hfd",
    "MMPROJ": "-mm",
    "MMPROJ_URL": "-mmu",
    "RPC": "--rpc",
}
_SWITCHES = {
    "CPU_MOE": ("-cmoe", None),
    "SWA_FULL": ("--swa-full", None),
    "EMBEDDINGS": ("--embedding", None),
    "RERANKING": ("--reranking", None),
    "KV_OFFLOAD": ("-kvo", "-nkvo"),
    "KV_UNIFIED": ("-kvu", "-no-kvu"),
}
"""Switches, with what they are spelled like when the variable says no."""
_PREFIX = "LLAMA_ARG_"


DECIDING = tuple(_PREFIX + name for name in (*_VALUES, *_SWITCHES))
"""The variables that decide memory. A shell's own must not reach an engine that is launched with a plan."""


def arguments(env: Mapping[str, str]) -> tuple[str, ...]:
    """The `LLAMA_ARG_…` variables that decide memory as arguments, to stand before those of the command, which win.

    Names: llama.cpp 0.5.0-dev, `llama-server --help`.
    """
    words: list[str] = []
    for variable, value in env.items():
        name = variable.removeprefix(_PREFIX)
        if name == variable:
            continue
        if name in _VALUES:
            words += (_VALUES[name], value)
        elif name in _SWITCHES:
            yes, no = _SWITCHES[name]
            words += (yes,) if value in TRUE_WORDS else (no,) if no is not None and value in FALSE_WORDS else ()
    return tuple(words)


def visible(rig: Rig, env: Mapping[str, str]) -> dict[str, Gpu]:
    """The usable cards that the engine is shown, by what it calls them: CUDA counts those of `CUDA_VISIBLE_DEVICES` from 0, in its order.

    Raises UsageError for a card that the rig does not have.
    """
    named = env.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return {f"CUDA{gpu.index}": gpu for gpu in rig.usable_gpus}
    cards = select(rig, tuple(part.strip() for part in named.split(",") if part.strip()))
    return {f"CUDA{at}": gpu for at, gpu in enumerate(cards)}

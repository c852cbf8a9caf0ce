"""A llama-server command of the user's, read for what it does to memory. Pure.

Names and meanings: llama.cpp 0.5.0-dev, common/arg.cpp. The last of several equal options wins, as there. Options that do not touch
memory are passed over.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from rigtui.engines.llamacpp.kv import BLOCKS
from rigtui.engines.llamacpp.settings import Settings
from rigtui.errors import UsageError
from rigtui.text import clean, nearest

AUTO_SLOTS = 4
"""`-np` left out: four slots that share one KV cache (server.cpp:127)."""
MOST_MIB = 1 << 31

OPTIONS: dict[str, tuple[str, ...]] = {
    "model": ("-m", "--model"),
    "context": ("-c", "--ctx-size"),
    "parallel": ("-np", "--parallel"),
    "batch": ("-b", "--batch-size"),
    "ubatch": ("-ub", "--ubatch-size"),
    "kv_k": ("-ctk", "--cache-type-k"),
    "kv_v": ("-ctv", "--cache-type-v"),
    "flash_attention": ("-fa", "--flash-attn"),
    "gpu_layers": ("-ngl", "--gpu-layers", "--n-gpu-layers"),
    "fit": ("-fit", "--fit"),
    "fit_target": ("-fitt", "--fit-target"),
    "fit_context": ("-fitc", "--fit-ctx"),
    "split_mode": ("-sm", "--split-mode"),
    "main_gpu": ("-mg", "--main-gpu"),
    "split": ("-ts", "--tensor-split"),
    "device": ("-dev", "--device"),
    "override": ("-ot", "--override-tensor"),
    "cpu_experts": ("-ncmoe", "--n-cpu-moe"),
    "cache_ram": ("-cram", "--cache-ram"),
}
"""Options with a value: a name of our own -> every spelling."""
_SWITCHES = {
    "all_cpu_experts": ("-cmoe", "--cpu-moe"),
    "unified": ("-kvu", "--kv-unified"),
    "separate": ("-no-kvu", "--no-kv-unified"),
    "swa_full": ("--swa-full",),
    "kv_in_ram": ("-nkvo", "--no-kv-offload"),
    "embedding": ("--embedding", "--embeddings", "--rerank", "--reranking"),
}
_BY_OPTION = {option: name for names in (OPTIONS, _SWITCHES) for name, options in names.items() for option in options}


class Asked(Struct, frozen=True, kw_only=True):
    """What a command asks for; None and empty: not said."""

    program: str
    model: str | None = None
    settings: Settings = Settings()
    devices: tuple[str, ...] | None = None
    """`--device`: names, in order; empty for `none`."""
    main_gpu: int = 0
    overrides: tuple[tuple[str, str], ...] = ()
    """Pattern and buffer of every `-ot`, `-cmoe` and `-ncmoe`, in order."""
    full_context: bool = False
    """`-c 0`: the whole trained context, not to be reduced."""
    passed_over: tuple[str, ...] = ()
    """Options that say nothing about memory, or that rigtui does not know."""


def read_command(words: Sequence[str]) -> Asked:
    """Read a whole command, program first. Raises UsageError with one sentence for a value that cannot be."""
    if not words:
        raise UsageError("name the command after --, for example: rigtui preview -- llama-server -m model.gguf")
    found: dict[str, str] = {}
    switches: set[str] = set()
    overrides: list[tuple[str, str]] = []
    passed: list[str] = []
    at = 1
    while at < len(words):
        option, joined, value = words[at].partition("=") if words[at].startswith("--") else (words[at], "", "")
        name = _BY_OPTION.get(option)
        at += 1
        if name in _SWITCHES:
            switches.add(name)
            overrides += [(EXPERTS, "CPU")] if name == "all_cpu_experts" else []
            continue
        if name is None:
            passed.append(clean(option))
            # Nobody knows whether it takes a value; what does not look like an option is taken for one.
            if at < len(words) and not words[at].startswith("-") and not joined:
                at += 1
            continue
        if not joined:
            if at >= len(words):
                raise UsageError(f"{clean(option)} needs a value")
            value = words[at]
            at += 1
        found[name] = value
        overrides += _overrides(name, value)
    return _asked(words[0], found, switches, tuple(overrides), tuple(passed))


def keeps_to_cpu(arguments: Sequence[str]) -> str | None:
    """The argument among the user's own that leaves every GPU out (`--device none`, `-ngl 0`), or None."""
    try:
        asked = read_command(("llama-server", *arguments))
    except UsageError:
        return None  # llama-server itself will say what is wrong with them
    if asked.devices == ():
        return "--device none"
    return "-ngl 0" if asked.settings.ngl == 0 else None


EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"


def _overrides(name: str, value: str) -> list[tuple[str, str]]:
    if name == "cpu_experts":
        return [(rf"blk\.{block}{EXPERTS}", "CPU") for block in range(_integer("-ncmoe", value, 0, 10_000))]
    if name != "override":
        return []
    pairs = [part.rpartition("=") for part in value.split(",")]
    if not all(pattern for pattern, _, _ in pairs):
        raise UsageError(f"-ot {clean(value)} is not PATTERN=BUFFER")
    return [(pattern, buffer) for pattern, _, buffer in pairs]


def _asked(
    program: str, found: dict[str, str], switches: set[str], overrides: tuple[tuple[str, str], ...], passed: tuple[str, ...]
) -> Asked:
    context = _integer("-c", found["context"], 0) if "context" in found else None
    parallel = _integer("-np", found["parallel"], -1, 256) if "parallel" in found else -1
    auto = parallel < 1
    settings = Settings(
        context=context or None,
        slots=AUTO_SLOTS if auto else parallel,
        unified_kv=(auto or "unified" in switches) and "separate" not in switches,
        kv_type=(_kv("-ctk", found.get("kv_k", "f16")), _kv("-ctv", found.get("kv_v", "f16"))),
        batch=_integer("-b", found.get("batch", "2048"), 1),
        ubatch=min(_integer("-ub", found.get("ubatch", "512"), 1), _integer("-b", found.get("batch", "2048"), 1)),
        flash_attention=found.get("flash_attention", "auto") not in ("off", "0", "false", "disabled"),
        split_mode=_one_of("-sm", found.get("split_mode", "layer"), ("none", "layer", "row", "tensor")),
        fit=found.get("fit", "on") not in ("off", "0", "false", "disabled"),
        fit_target_mib=tuple(_integer("-fitt", part, -MOST_MIB, MOST_MIB) for part in found["fit_target"].split(","))
        if "fit_target" in found
        else (),
        fit_context_least=_integer("-fitc", found.get("fit_context", "4096"), 0),
        ngl=_layers(found.get("gpu_layers", "auto")),
        tensor_split=_shares(found["split"]) if "split" in found else None,
        kv_offload="kv_in_ram" not in switches,
        swa_full="swa_full" in switches,
        embedding="embedding" in switches,
    )
    return Asked(
        program=program,
        model=found.get("model"),
        settings=settings,
        devices=_devices(found["device"]) if "device" in found else None,
        main_gpu=_integer("-mg", found.get("main_gpu", "0"), 0, 255),
        overrides=overrides,
        full_context=context == 0,
        passed_over=passed,
    )


def _integer(option: str, text: str, low: int, high: int = (1 << 31) - 1) -> int:
    try:
        number = int(text)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise UsageError(f"{option} takes a whole number from {low}, not '{clean(text)}'")
    return number


def _one_of(option: str, text: str, words: tuple[str, ...]) -> str:
    if text not in words:
        raise UsageError(f"{option} takes {', '.join(words)}, not '{clean(text)}'")
    return text


def _kv(option: str, text: str) -> str:
    if text not in BLOCKS:
        close = nearest(text, BLOCKS)
        hint = f"did you mean {close}?" if close else "known are " + ", ".join(BLOCKS)
        raise UsageError(f"{option} names the cache type '{clean(text)}', which llama.cpp does not have; {hint}")
    return text


def _layers(text: str) -> int | None:
    if text in ("auto", "-1"):
        return None
    return -2 if text in ("all", "-2") else _integer("-ngl", text, 0)


def _shares(text: str) -> tuple[float, ...]:
    try:
        shares = tuple(float(part) for part in text.replace("/", ",").split(","))
    except ValueError:
        shares = ()
    if not shares or any(not 0 <= share < float("inf") for share in shares):
        raise UsageError(f"-ts takes shares such as 3,1, not '{clean(text)}'")
    return shares


def _devices(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(part.strip() for part in text.split(",") if part.strip())

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
    "repository": ("-hf", "-hfr", "--hf-repo"),
    "repository_file": ("-hff", "--hf-file"),
    "context": ("-c", "--ctx-size"),
    "parallel": ("-np", "--parallel"),
    "per_slot": ("--kv-unified-per-slot",),
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
    "cpu_dense": ("-ncffn", "--n-cpu-ffn"),
    "cache_ram": ("-cram", "--cache-ram"),
}
"""Options with a value: a name of our own -> every spelling."""
_SWITCHES = {
    "all_cpu_experts": ("-cmoe", "--cpu-moe"),
    "unified": ("-kvu", "--kv-unified"),
    "separate": ("-no-kvu", "--no-kv-unified"),
    "swa_full": ("--swa-full",),
    "kv_in_ram": ("-nkvo", "--no-kv-offload"),
    "kv_on_cards": ("-kvo", "--kv-offload"),
    "embedding": ("--embedding", "--embeddings", "--rerank", "--reranking"),
}
_OPPOSITES = {"unified": "separate", "separate": "unified", "kv_in_ram": "kv_on_cards", "kv_on_cards": "kv_in_ram"}
NOT_COUNTED = {
    "a draft model": ("-md", "--model-draft", "--spec-draft-model", "-hfd", "-hfrd", "--hf-repo-draft", "--spec-draft-hf"),
    "a vision part": ("-mm", "--mmproj", "-mmu", "--mmproj-url"),
    "an adapter": ("--lora", "--lora-scaled", "--control-vector", "--control-vector-scaled"),
    "memory of other machines": ("--rpc",),
}
"""What takes memory that a preview does not count, and the options that ask for it."""
_BY_OPTION = {option: name for names in (OPTIONS, _SWITCHES) for name, options in names.items() for option in options}


class RefusedError(UsageError):
    """llama.cpp would not start with these arguments; what it objects to in one sentence, its own where it has one."""


class Asked(Struct, frozen=True, kw_only=True):
    """What a command asks for; None and empty: not said."""

    program: str
    model: str | None = None
    repository: str | None = None
    """`-hf`: `owner/repo[:quant or file]` on the Hugging Face hub."""
    settings: Settings = Settings()
    devices: tuple[str, ...] | None = None
    """`--device`: names, in order; empty for `none`."""
    main_gpu: int = 0
    overrides: tuple[tuple[str, str], ...] = ()
    """Pattern and buffer of every `-ot`, `-cmoe` and `-ncmoe`, in order."""
    full_context: bool = False
    """`-c 0`: the whole trained context, not to be reduced."""
    said: frozenset[str] = frozenset()
    """Which of OPTIONS and of the switches the command states."""
    passed_over: tuple[str, ...] = ()
    """Options that say nothing about memory, or that rigtui does not know."""

    @property
    def written_overrides(self) -> tuple[str, ...] | None:
        """The overrides as `-ot` takes them; None where there are none."""
        return tuple(f"{pattern}={buffer}" for pattern, buffer in self.overrides) or None


def read_command(words: Sequence[str]) -> Asked:
    """Read a whole command, program first. Raises RefusedError for a value that cannot be, UsageError without any words."""
    if not words:
        raise UsageError("name the command after --, for example: rigtui preview -- llama-server -m model.gguf")
    found: dict[str, str] = {}
    switches: set[str] = set()
    overrides: list[tuple[str, str]] = []
    passed: list[str] = []
    at = 1
    while at < len(words):
        option = _spelled(words[at])
        name = _BY_OPTION.get(option)
        at += 1
        if name in _SWITCHES:
            switches.discard(_OPPOSITES.get(name, ""))
            switches.add(name)
            overrides += [(EXPERTS, "CPU")] if name == "all_cpu_experts" else []
            continue
        if name is None:
            passed.append(clean(option))
            # Nobody knows whether it takes a value; what does not look like an option is taken for one.
            if at < len(words) and not words[at].startswith("-"):
                at += 1
            continue
        if at >= len(words):
            raise RefusedError(f"{option} needs a value")
        found[name] = words[at]
        overrides += _overrides(name, words[at])
        at += 1
    return _asked(words[0], found, switches, tuple(overrides), tuple(passed))


def _spelled(word: str) -> str:
    """An option as llama.cpp knows it: `_` in a long one counts as `-`. Raises RefusedError for `--option=value`, which it refuses."""
    option, joined, value = word.partition("=")
    option = option.replace("_", "-") if option.startswith("--") else option
    if joined and option in _BY_OPTION:
        raise RefusedError(f"llama-server takes no {clean(word)}; write {option} {clean(value)}")
    return option


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
DENSE = r"\.ffn_(up|down|gate)\."
"""What `-ncmoe` and `-ncffn` move (common/arg.cpp)."""
TRUE_WORDS = ("on", "enabled", "true", "1")
FALSE_WORDS = ("off", "disabled", "false", "0")
_AUTO_WORDS = ("auto", "-1")
"""What counts as on, off and automatic (common/arg.cpp, `is_truthy` and its kin)."""


def _overrides(name: str, value: str) -> list[tuple[str, str]]:
    if name == "cpu_experts":
        return [(rf"blk\.{block}{EXPERTS}", "CPU") for block in range(_integer("-ncmoe", value, 0, 10_000))]
    if name == "cpu_dense":
        return [(rf"blk\.{block}{DENSE}", "CPU") for block in range(_integer("-ncffn", value, 0, 10_000))]
    if name != "override":
        return []
    pairs = [part.rpartition("=") for part in value.split(",")]
    if not all(pattern for pattern, _, _ in pairs):
        raise RefusedError(f"-ot {clean(value)} is not PATTERN=BUFFER")
    return [(pattern, buffer) for pattern, _, buffer in pairs]


def _asked(
    program: str, found: dict[str, str], switches: set[str], overrides: tuple[tuple[str, str], ...], passed: tuple[str, ...]
) -> Asked:
    parallel = _integer("-np", found["parallel"], -(1 << 31), 256) if "parallel" in found else -1
    if parallel == 0:
        raise RefusedError("-np takes the number of requests at the same time, or -1 for as many as llama-server likes")
    auto = parallel < 0
    slots = AUTO_SLOTS if auto else parallel
    context = _integer("-c", found["context"], 0) if "context" in found else None
    if context is None and "per_slot" in found:
        context = slots * _integer("--kv-unified-per-slot", found["per_slot"], 0) or None
    batch = _integer("-b", found.get("batch", "2048"), 1)
    settings = Settings(
        context=context or None,
        slots=slots,
        # With automatic slots the cache is shared whatever is said about it (server.cpp:127).
        unified_kv=auto or "unified" in switches,
        kv_type=(_kv("-ctk", found.get("kv_k", "f16")), _kv("-ctv", found.get("kv_v", "f16"))),
        batch=batch,
        ubatch=min(_integer("-ub", found.get("ubatch", "512"), 0) or batch, batch),
        flash_attention=_on("--flash-attn", found.get("flash_attention", "auto"), auto=True),
        flash_always=found.get("flash_attention") in TRUE_WORDS,
        split_mode=_one_of("-sm", found.get("split_mode", "layer"), ("none", "layer", "row", "tensor")),
        fit=_on("--fit", found.get("fit", "on")),
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
        repository=_repository(found),
        settings=settings,
        devices=_devices(found["device"]) if "device" in found else None,
        main_gpu=_integer("-mg", found.get("main_gpu", "0"), 0, 255),
        overrides=overrides,
        said=frozenset(found) | switches,
        full_context=context == 0,
        passed_over=passed,
    )


def _repository(found: dict[str, str]) -> str | None:
    repository = found.get("repository")
    if repository is None or "repository_file" not in found:
        return repository
    return f"{repository.partition(':')[0]}:{found['repository_file']}"


def _on(option: str, text: str, *, auto: bool = False) -> bool:
    if text not in (*TRUE_WORDS, *FALSE_WORDS, *(_AUTO_WORDS if auto else ())):
        raise RefusedError(f"{option} takes on{', off or auto' if auto else ' or off'}, not '{clean(text)}'")
    return text not in FALSE_WORDS


def _integer(option: str, text: str, low: int, high: int = (1 << 31) - 1) -> int:
    try:
        number = int(text)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise RefusedError(f"{option} takes a whole number from {low}, not '{clean(text)}'")
    return number


def _one_of(option: str, text: str, words: tuple[str, ...]) -> str:
    if text not in words:
        raise RefusedError(f"{option} takes {', '.join(words)}, not '{clean(text)}'")
    return text


def _kv(option: str, text: str) -> str:
    if text not in BLOCKS:
        close = nearest(text, BLOCKS)
        hint = f"did you mean {close}?" if close else "known are " + ", ".join(BLOCKS)
        raise RefusedError(f"{option} names the cache type '{clean(text)}', which llama.cpp does not have; {hint}")
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
        raise RefusedError(f"-ts takes shares such as 3,1, not '{clean(text)}'")
    return shares


def _devices(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(part.strip() for part in text.split(",") if part.strip())

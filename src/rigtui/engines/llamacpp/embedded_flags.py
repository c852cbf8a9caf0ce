"""The closed list of llama-server's flags that the embedded engine takes, and what each of them means.

Names, meanings and defaults are llama-server's (llama.cpp 0.5.0-dev, common/arg.cpp and tools/server/server.cpp). A flag
that is not in this list is refused, because a flag that is silently ignored would be a plan that is not carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct, structs

KV_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
LOAD_MODES = ("auto", "none", "mmap", "mlock", "mmap+mlock", "dio")
POOLING = ("none", "mean", "cls", "last", "rank")
MAX_KEY_FILE_BYTES = 1 << 20
_INT32_MAX = 2**31 - 1


class Settings(Struct, frozen=True, kw_only=True):
    """What was asked for; every default is llama-server's own."""

    action: str = "serve"
    """`serve`, `help`, `version` or `list-devices`."""
    model: str = ""
    alias: tuple[str, ...] = ()
    host: tuple[str, ...] = ("127.0.0.1",)
    port: int = 8080
    ctx_size: int | None = None
    """None: not given (the model's own, and `--fit` may reduce it); 0: the model's own, not reduced."""
    parallel: int = -1
    """-1: automatic, which is 4 slots that share one cache."""
    kv_unified: bool | None = None
    batch_size: int = 2048
    ubatch_size: int = 512
    fit: bool = True
    fit_target_mib: tuple[int, ...] = ()
    """Per device; one value holds for all devices; left out: 1,024 MiB."""
    fit_ctx: int = 4096
    flash_attn: str = "auto"
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    gpu_layers: int = -1
    """-1: automatic; -2: all."""
    split_mode: str = "layer"
    main_gpu: int = 0
    tensor_split: tuple[float, ...] = ()
    devices: tuple[str, ...] = ()
    """`("none",)`: no GPU; left out: all that llama.cpp sees."""
    threads: int = -1
    threads_batch: int = -1
    load_mode: str = "auto"
    warmup: bool = True
    metrics: bool = False
    slots: bool = True
    props: bool = False
    api_keys: tuple[str, ...] = ()
    jinja: bool = True
    chat_template: str = ""
    embeddings: bool = False
    pooling: str | None = None
    cache_ram_mib: int = 8192
    ctx_checkpoints: int = 32
    verbosity: int = 3
    swa_full: bool = False
    kv_offload: bool = True
    op_offload: bool = True


class FlagError(ValueError):
    """A flag that the embedded engine does not take, or a value that it cannot mean. The message holds no value of a secret."""


class Flag(NamedTuple):
    """One flag: its names, the placeholder of its value (None: it takes none), its help, and what it sets."""

    names: tuple[str, ...]
    value: str | None
    text: str
    read: Callable[[str], dict[str, Any]]


def _integer(low: int, high: int = _INT32_MAX) -> Callable[[str], int]:
    def read(text: str) -> int:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 12 and low <= int(text) <= high):
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return read


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError("one of " + ", ".join(words))
        return text

    return read


def _gpu_layers(text: str) -> int:
    return {"auto": -1, "all": -2}[text] if text in {"auto", "all"} else _integer(-2)(text)


def _on_off(text: str) -> bool:
    return _one_of("on", "off")(text) == "on"


def _fit_target(text: str) -> tuple[int, ...]:
    return tuple(_integer(0)(part.strip()) for part in text.split(","))


def _tensor_split(text: str) -> tuple[float, ...]:
    try:
        parts = tuple(float(part) for part in text.replace("/", ",").split(","))
    except ValueError:
        parts = ()
    if not parts or not all(0 <= part < float("inf") for part in parts):
        raise ValueError("shares such as 3,1")
    return parts


def _key_file(text: str) -> tuple[str, ...]:
    try:
        with Path(text).open("rb") as stream:
            data = stream.read(MAX_KEY_FILE_BYTES)
        keys = tuple(line for line in data.decode("utf-8").splitlines() if line)
    except (OSError, UnicodeDecodeError, ValueError):
        keys = ()
    if not keys:
        raise ValueError("a readable file with one key per line")
    return keys


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise ValueError("not empty")
    return names


def _text(text: str) -> str:
    if not text:
        raise ValueError("not empty")
    return text


def _takes(names: str, value: str, field: str, read: Callable[[str], Any], text: str) -> Flag:
    return Flag(tuple(names.split()), value, text, lambda given: {field: read(given)})


def _switch(names: str, field: str, setting: Any, text: str) -> Flag:
    return Flag(tuple(names.split()), None, text, lambda _: {field: setting})


_KV = "{" + ",".join(KV_TYPES) + "}"

FLAGS: tuple[Flag, ...] = (
    _switch("-h --help --usage", "action", "help", "print usage and exit"),
    _switch("--version", "action", "version", "show version and exit"),
    _switch("--list-devices", "action", "list-devices", "print list of available devices and exit"),
    _takes("-m --model", "FNAME", "model", _text, "model to load (GGUF)"),
    _takes("-a --alias", "STRING", "alias", _names, "names of the model in the API, comma-separated"),
    _takes("--host", "HOST", "host", _names, "address to listen on (default: 127.0.0.1)"),
    _takes("--port", "PORT", "port", _integer(0, 65535), "port to listen on (default: 8080)"),
    _takes("-c --ctx-size", "N", "ctx_size", _integer(0), "context size (default: 0, 0 = from the model)"),
    _takes("-np --parallel", "N", "parallel", _integer(-1, 256), "number of slots (default: -1, -1 = auto)"),
    _switch("-kvu --kv-unified", "kv_unified", True, "one KV buffer for all slots (default: on if the number of slots is auto)"),
    _switch("-no-kvu --no-kv-unified", "kv_unified", False, "a KV buffer per slot"),
    _takes("-b --batch-size", "N", "batch_size", _integer(1), "logical batch size (default: 2048)"),
    _takes("-ub --ubatch-size", "N", "ubatch_size", _integer(1), "physical batch size (default: 512)"),
    _takes("-fit --fit", "[on|off]", "fit", _on_off, "adjust unset arguments to the memory of the devices (default: on)"),
    _takes("-fitt --fit-target", "MiB0,MiB1,...", "fit_target_mib", _fit_target, "memory to leave free per device (default: 1024)"),
    _takes("-fitc --fit-ctx", "N", "fit_ctx", _integer(0), "least context that --fit may choose (default: 4096)"),
    _takes("-fa --flash-attn", "[on|off|auto]", "flash_attn", _one_of("on", "off", "auto"), "Flash Attention (default: auto)"),
    _takes("-ctk --cache-type-k", _KV, "cache_type_k", _one_of(*KV_TYPES), "KV cache type of K (default: f16)"),
    _takes("-ctv --cache-type-v", _KV, "cache_type_v", _one_of(*KV_TYPES), "KV cache type of V (default: f16)"),
    _takes(
        "-ngl --gpu-layers --n-gpu-layers", "N", "gpu_layers", _gpu_layers, "layers to keep in VRAM: a number, auto or all (default: auto)"
    ),
    _takes("-sm --split-mode", "{none,layer}", "split_mode", _one_of("none", "layer"), "how to split the model over GPUs (default: layer)"),
    _takes("-mg --main-gpu", "INDEX", "main_gpu", _integer(0, 127), "the GPU to use with --split-mode none (default: 0)"),
    _takes("-ts --tensor-split", "N0,N1,N2,...", "tensor_split", _tensor_split, "share of the model per GPU"),
    _takes("-dev --device", "<dev1,dev2,..>", "devices", _names, "none: no GPU; otherwise all devices that it sees, in their order"),
    _takes("-t --threads", "N", "threads", _integer(-1, 512), "CPU threads for generation (default: -1, -1 = auto)"),
    _takes("-tb --threads-batch", "N", "threads_batch", _integer(-1, 512), "CPU threads for prompts (default: same as --threads)"),
    _takes(
        "-lm --load-mode", "MODE", "load_mode", _one_of(*LOAD_MODES), "how the file is read: " + ", ".join(LOAD_MODES) + " (default: auto)"
    ),
    _switch("--warmup", "warmup", True, "warm up with an empty run (default)"),
    _switch("--no-warmup", "warmup", False, "do not warm up"),
    _switch("--metrics", "metrics", True, "enable the endpoint /metrics (default: disabled)"),
    _switch("--props", "props", True, "enable changes through POST /props (default: disabled)"),
    _switch("--slots", "slots", True, "enable the endpoint /slots (default)"),
    _switch("--no-slots", "slots", False, "disable the endpoint /slots"),
    _takes("--api-key", "KEY", "api_keys", _names, "API keys, comma-separated (default: none)"),
    _takes("--api-key-file", "FNAME", "api_keys", _key_file, "file with one API key per line (default: none)"),
    _switch("--jinja", "jinja", True, "use the model's jinja template for chat (default)"),
    _switch("--no-jinja", "jinja", False, "use built-in chat templates only"),
    _takes("--chat-template", "JINJA_TEMPLATE", "chat_template", _text, "chat template (default: the model's)"),
    _switch("--embedding --embeddings", "embeddings", True, "serve embeddings only (default: disabled)"),
    _takes("--pooling", "{" + ",".join(POOLING) + "}", "pooling", _one_of(*POOLING), "pooling of embeddings (default: the model's)"),
    _takes("-cram --cache-ram", "N", "cache_ram_mib", _integer(-1), "prompt cache in RAM, MiB (default: 8192, -1 = no limit, 0 = disable)"),
    _takes("-ctxcp --ctx-checkpoints --swa-checkpoints", "N", "ctx_checkpoints", _integer(0), "context checkpoints per slot (default: 32)"),
    _takes("-lv --verbosity --log-verbosity", "N", "verbosity", _integer(0), "verbosity of the log (default: 3)"),
    _switch("--swa-full", "swa_full", True, "full-size cache for sliding-window layers (default: disabled)"),
    _switch("-kvo --kv-offload", "kv_offload", True, "keep the KV cache in VRAM (default)"),
    _switch("-nkvo --no-kv-offload", "kv_offload", False, "keep the KV cache in RAM"),
    _switch("--op-offload", "op_offload", True, "offload operations on host tensors to a GPU (default)"),
    _switch("--no-op-offload", "op_offload", False, "do not offload operations on host tensors"),
)
_BY_NAME = {name: flag for flag in FLAGS for name in flag.names}


def parse(arguments: Sequence[str]) -> Settings:
    """The settings that `arguments` ask for.

    Raises FlagError with one sentence. Values given to an API key flag, and words that are no flag, are never repeated in it.
    """
    chosen: dict[str, Any] = {}
    position = 0
    while position < len(arguments):
        word = arguments[position]
        position += 1
        flag = _BY_NAME.get(word)
        if flag is None:
            shown = word if word.startswith("-") and word.isprintable() and len(word) < 64 else f"word {position}"
            raise FlagError(f"invalid argument: {shown}: the embedded engine has no such flag (its --help lists those it takes)")
        given = ""
        if flag.value is not None:
            if position == len(arguments):
                raise FlagError(f"expected value for argument: {word}")
            given = arguments[position]
            position += 1
        try:
            values = flag.read(given)
        except ValueError as error:
            raise FlagError(f'error while handling argument "{word}": its value must be {error}') from None
        # llama-server adds the keys of --api-key and --api-key-file up.
        values["api_keys"] = chosen.get("api_keys", ()) + values.get("api_keys", ())
        chosen |= values
    settings = structs.replace(Settings(), **chosen)
    if settings.action == "serve" and not settings.model:
        raise FlagError("no model given: add -m FILE")
    return settings


def usage() -> str:
    """The flags as `llama-server --help` prints them: names in the first 40 columns, then the text."""
    lines = ["----- embedded engine: the flags of llama-server that it takes -----", ""]
    for flag in FLAGS:
        first, *others = flag.names
        head = f"{first + ',':<7}{', '.join(others)}" if others else first
        if flag.value is not None:
            head += f" {flag.value}"
        if len(head) >= 40:
            lines.append(head)
            head = ""
        lines.append(f"{head:<40}{flag.text}")
    return "\n".join(lines) + "\n"

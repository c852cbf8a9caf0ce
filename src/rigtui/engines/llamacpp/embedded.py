"""The embedded engine: llama.cpp's own server from the xllamacpp wheel, started like llama-server.

`python -m rigtui.engines.llamacpp.embedded -m FILE --port N …` takes a closed list of llama-server's flags
(`embedded_flags`), serves llama-server's HTTP endpoints and writes llama-server's log to stderr. The port is open before
the model is loaded; until then every endpoint answers 503, as llama-server does. Exit status: 0 after SIGTERM or SIGINT,
1 when it could not start (llama.cpp's own error lines are on stderr), 2 for a flag it does not take. A signal while the
model loads, and in the moment after, ends the process by that signal, as it ends llama-server.
"""

from __future__ import annotations

import importlib.metadata
import os
import signal
import sys
from typing import Any

from rigtui.engines.llamacpp.embedded_flags import FlagError, Settings, parse, usage
from rigtui.text import MIB

DISTRIBUTION = "xllamacpp"
NO_DEVICE = ("none",)


def main(arguments: list[str]) -> int:
    """Run the embedded engine with llama-server's `arguments`; returns the exit status."""
    # A shell starts background jobs with SIGINT ignored, and Python would turn it into an exception that a loading model never sees.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        settings = parse(arguments)
    except FlagError as error:
        return _refuse(str(error), 2)
    if settings.action == "help":
        _say(usage())
        return 0
    if settings.action == "version":
        _say(f"version: {DISTRIBUTION} {importlib.metadata.version(DISTRIBUTION)}\n")
        return 0
    if settings.devices == NO_DEVICE:
        # The only way to keep CUDA and ROCm out; both read it when they are loaded.
        os.environ |= {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "GGML_VK_VISIBLE_DEVICES": ""}
    try:
        import xllamacpp
    except ImportError as error:
        return _refuse(f"{DISTRIBUTION} cannot be loaded ({error}); reinstall it with: pip install 'rigtui[engine]'", 1)
    if settings.action == "list-devices":
        _list_devices(xllamacpp)
        return 0
    return _serve(xllamacpp, settings)


def _refuse(text: str, status: int) -> int:
    sys.stderr.write(f"error: {text}\n")
    return status


def _say(text: str) -> None:
    sys.stdout.write(text)


def _gpus(xllamacpp: Any) -> list[dict[str, Any]]:
    cpu = xllamacpp.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_CPU
    return [device for device in xllamacpp.get_device_info() if device["type"] != cpu]


def _list_devices(xllamacpp: Any) -> None:
    _say("Available devices:\n")
    for device in _gpus(xllamacpp):
        total, free = device["memory_total"] // MIB, device["memory_free"] // MIB
        _say(f"  {device['name']}: {device['description']} ({total} MiB, {free} MiB free)\n")


def _serve(xllamacpp: Any, settings: Settings) -> int:
    if settings.devices not in {(), NO_DEVICE}:
        # xllamacpp cannot choose among devices; CUDA_VISIBLE_DEVICES can, and then the choice is all there is.
        seen = tuple(device["name"] for device in _gpus(xllamacpp))
        if settings.devices != seen:
            return _refuse(
                f"invalid device: the embedded engine uses all that it sees ({', '.join(seen) or 'none'}); set CUDA_VISIBLE_DEVICES", 2
            )
    params = xllamacpp.CommonParams()
    _apply(xllamacpp, params, settings)
    try:
        # Returns when the model is loaded and the server answers; from then on it serves from its own threads.
        server = xllamacpp.Server(params)
    except RuntimeError:
        # llama.cpp has said on stderr what is wrong.
        return 1
    _wait_for_signal(server)
    # Not by destroying the server: that waits up to 30 seconds for a client that is still reading a stream.
    os._exit(0)


def _wait_for_signal(_server: object) -> None:
    # A signal may reach any of the server's threads, so the handler alone would not wake this one: the wakeup descriptor does.
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    os.read(reading, 1)


def _apply(xllamacpp: Any, params: Any, settings: Settings) -> None:
    """Set every value explicitly: the defaults of xllamacpp are not all llama-server's (`n_parallel`, `port`)."""
    params.model.path = settings.model
    params.model_alias = set(settings.alias)
    params.hostnames = list(settings.host)
    params.port = settings.port
    params.n_ctx = settings.ctx_size or 0
    # llama-server: `-c 0` asks for the model's full context, which --fit then leaves alone (stored as -1, the largest uint32).
    params.fit_params_min_ctx = -1 if settings.ctx_size == 0 else settings.fit_ctx
    params.n_parallel = settings.parallel
    params.kv_unified = bool(settings.kv_unified)
    params.n_batch, params.n_ubatch = settings.batch_size, settings.ubatch_size
    params.fit_params = settings.fit
    params.fit_params_target = _targets(settings.fit_target_mib, len(params.fit_params_target))
    params.flash_attn_type = _member(xllamacpp.llama_flash_attn_type, {"on": "ENABLED", "off": "DISABLED"}.get(settings.flash_attn, "AUTO"))
    params.cache_type_k = _member(xllamacpp.ggml_type, settings.cache_type_k.upper())
    params.cache_type_v = _member(xllamacpp.ggml_type, settings.cache_type_v.upper())
    params.n_gpu_layers = 0 if settings.devices == NO_DEVICE else settings.gpu_layers
    params.split_mode = _member(xllamacpp.llama_split_mode, settings.split_mode.upper())
    params.main_gpu = settings.main_gpu
    slots = len(params.tensor_split)
    params.tensor_split = [*settings.tensor_split, *[0.0] * slots][:slots]
    params.cpuparams.n_threads = settings.threads
    params.cpuparams_batch.n_threads = settings.threads_batch
    params.load_mode = _member(
        xllamacpp.llama_load_mode, {"mmap+mlock": "MMAP_MLOCK", "dio": "DIRECT_IO"}.get(settings.load_mode, settings.load_mode.upper())
    )
    params.warmup = settings.warmup
    params.endpoint_metrics, params.endpoint_slots, params.endpoint_props = settings.metrics, settings.slots, settings.props
    params.api_keys = _keys(settings)
    params.use_jinja = settings.jinja
    params.chat_template = settings.chat_template
    params.embedding = settings.embeddings
    params.pooling_type = _member(xllamacpp.llama_pooling_type, (settings.pooling or "unspecified").upper())
    params.cache_ram_mib = settings.cache_ram_mib
    params.n_ctx_checkpoints = settings.ctx_checkpoints
    params.verbosity = settings.verbosity
    params.swa_full = settings.swa_full
    params.no_kv_offload, params.no_op_offload = not settings.kv_offload, not settings.op_offload


def _member(enumeration: Any, suffix: str) -> Any:
    return next(member for member in enumeration if member.name.endswith(f"_TYPE_{suffix}") or member.name.endswith(f"_MODE_{suffix}"))


def _targets(given: tuple[int, ...], devices: int) -> list[int]:
    """Bytes to leave free per device: one value is for all, the devices that several values do not reach keep 1,024 MiB."""
    mib = given * devices if len(given) == 1 else (*given, *[1024] * devices)
    return [size * MIB for size in mib[:devices]]


def _keys(settings: Settings) -> list[str]:
    keys = list(settings.api_keys) or [key for key in os.environ.get("LLAMA_API_KEY", "").split(",") if key]
    # llama.cpp logs the last four characters of a single key, but only the number of several.
    return keys * 2 if len(keys) == 1 else keys


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

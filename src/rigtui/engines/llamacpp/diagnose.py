"""Why a llama-server ended: one stable code, one sentence, and the line of its log that shows it. Pure.

Errors before a recovery ("retrying without pipeline parallelism") belong to a start that went on, so they count for nothing.
The texts are llama.cpp 0.5.0-dev's unless another version is named.
"""

from __future__ import annotations

import re
import signal as signals
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from rigtui.engines.endings import STOPPED_FROM_OUTSIDE, ended_by, known_cause, status_of
from rigtui.engines.engine import Event, Failure, Stage
from rigtui.engines.llamacpp.causes import CAUSES
from rigtui.engines.llamacpp.loglines import Message, messages
from rigtui.text import MIB, clean, mib

_MAX_TEXT = 1024
_RETRY = "retrying without pipeline parallelism"

# ggml-cuda.cu (a HIP build says "ROCm error" and hipMalloc), ggml-alloc.c, ggml-backend: "allocating 41.49 MiB on device 0: cudaMalloc
# failed: out of memory", "failed to allocate CUDA0 buffer of size 43503616".
_ASKED = re.compile(r"allocating (?P<mib>\d{1,9}\.\d\d) MiB on device (?P<index>\d{1,3}): (?P<api>cuda|hip|musa)Malloc failed", re.ASCII)
_BUFFER = re.compile(r"failed to allocate (?P<device>[^\s\[]{1,64})\S{0,200} buffer of size (?P<size>\d{1,18})", re.ASCII)
_POOL = re.compile(r"(?P<backend>CUDA|ROCm|MUSA) error: out of memory")
_ERROR = re.compile(r"(?P<backend>CUDA|ROCm|MUSA) error: ")
_NEAR = 4
"""Lines below an error that may name its device: llama.cpp's log is written by a thread of its own, the words of an abort are not."""
_POOL_DEVICE = re.compile(r"\s*current device: (?P<index>\d{1,3}), in function", re.ASCII)
# ggml-vulkan.cpp: "Device memory allocation of size N failed." and "vk::Device::allocateMemory: ErrorOutOfDeviceMemory".
_OTHER = re.compile(r"ErrorOutOfDeviceMemory|VK_ERROR_OUT_OF_DEVICE_MEMORY|unable to allocate (?!CPU)\S{1,64} buffer", re.IGNORECASE)
# What follows a failed allocation says for what it was: llama-context.cpp, llama-kv-cache.cpp, llama-model.cpp.
_STAGES: tuple[tuple[Stage, re.Pattern[str]], ...] = (
    ("compute", re.compile(r"failed to allocate compute|ggml_gallocr_reserve")),
    ("kv", re.compile(r"failed to allocate buffer for (?:kv|rs|recurrent)")),
    ("weights", re.compile(r"error loading model: unable to allocate|unable to allocate backend buffer")),
)
_STAGE_WORDS = {
    "weights": "loading the weights",
    "kv": "making the KV cache",
    "compute": "making the compute buffers",
    "runtime": "computing",
}
_BACKENDS = {"cuda": "CUDA", "hip": "ROCm", "musa": "MUSA"}


def diagnose(events: Iterable[Event], tail_lines: Sequence[str], exit_code: int | None, signal: int | None, asked_to_stop: bool) -> Failure:
    """Why the engine ended.

    `events` and `tail_lines` are what it said (all events, the last lines of its output, raw or cleaned), `exit_code` or
    `signal` how it ended (the other is None), `asked_to_stop` whether rigtui had asked it to.
    """
    exit_code, signal = status_of(exit_code, signal)
    if asked_to_stop and (exit_code == 0 or signal in STOPPED_FROM_OUTSIDE):
        return Failure(code="exited", text="the engine stopped when it was asked to")
    said = _errors(events, tail_lines)
    outside = exit_code == 0 or signal in {signals.SIGKILL, signals.SIGTERM, signals.SIGINT}
    failure = None if outside else _out_of_memory(said) or _on_device(known_cause(CAUSES, said), said)
    if failure is not None:
        return failure
    last = next((message.line for message in reversed(said) if message.level == "error"), None)
    if signal is not None:
        return ended_by(signal, last, asked_to_stop=asked_to_stop)
    if exit_code == 0:
        return Failure(code="crash", text="the engine ended by itself without an error, though nobody asked it to", line=last)
    shown = f": {last}" if last else ""
    return Failure(code="exited", text=f"the engine ended with exit status {exit_code}{shown}", line=last)


def _errors(events: Iterable[Event], tail_lines: Sequence[str]) -> list[Message]:
    """Every error, and whatever has no level (usage errors, aborts), since the last recovery; oldest first."""
    early: list[Message] = []
    for event in events:
        if event.kind == "retry":
            early.clear()
        elif event.kind == "error" and event.text is not None:
            early.append(_short(Message("error", clean(event.text), clean(event.line or event.text))))
    late: list[Message] = []
    for line in tail_lines:
        for message in messages(line[: 8 * _MAX_TEXT]):
            if _RETRY in message.text:
                late.clear()
            elif message.level in {None, "error"} and message.text.strip():
                late.append(_short(message))
    known = {message.text for message in late}
    return [message for message in early if message.text not in known] + late


def _short(message: Message) -> Message:
    """No error says what it means after its first kilobyte, and 400 lines of 64 KiB would take minutes."""
    return Message(message.level, message.text[:_MAX_TEXT], message.line[:_MAX_TEXT])


def _out_of_memory(said: Sequence[Message]) -> Failure | None:
    """The last allocation that failed: on which device, for what, how much was asked for."""
    device: str | None = None
    stage: Stage | None = None
    size: int | None = None
    line: str | None = None
    for message in said:
        if asked := _ASKED.search(message.text):
            device, size, stage, line = _BACKENDS[asked["api"]] + asked["index"], round(float(asked["mib"]) * MIB), None, message.line
        elif pool := _POOL.search(message.text):
            device, size, stage, line = pool["backend"], None, "runtime", message.line
        elif stage == "runtime" and (current := _POOL_DEVICE.match(message.text)):
            device = (device or "").rstrip("0123456789") + current["index"]
        elif buffer := _BUFFER.search(message.text):
            # The exact bytes of the allocation named just before, or of one that only this line names.
            device, size, line = buffer["device"], int(buffer["size"]), line or message.line
        elif _OTHER.search(message.text) and line is None:
            line = message.line
        if line is not None and stage is None:
            stage = next((name for name, pattern in _STAGES if pattern.search(message.text)), None)
    if line is None:
        return None
    where, what = device or "a GPU", f" for {mib(size)}" if size is not None else ""
    doing = f" while {_STAGE_WORDS[stage]}" if stage else ""
    if device is not None and (device.startswith("CPU") or device.endswith("_Host")):
        text = f"the system had no RAM left{what}{doing}; choose a smaller context or model, or free memory"
        return Failure(code="out_of_ram", text=text, line=line, device=device, stage=stage, asked_bytes=size)
    return Failure(
        code="out_of_vram", text=f"{where} had no VRAM left{what}{doing}", line=line, device=device, stage=stage, asked_bytes=size
    )


def _on_device(failure: Failure | None, said: Sequence[Message]) -> Failure | None:
    """`failure` with the device of an error that the runtime reports: it stands below, with what the dying program says past its log
    in between."""
    for at, message in enumerate(said):
        if failure is None or message.line != failure.line:
            continue
        backend = _ERROR.search(message.text)
        below = (_POOL_DEVICE.match(later.text) for later in said[at + 1 : at + 1 + _NEAR])
        current = next((found for found in below if found is not None), None)
        return replace(failure, device=f"{backend['backend']}{current['index']}") if backend and current else failure
    return failure

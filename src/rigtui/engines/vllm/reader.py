"""What vLLM's log says, as events.

The patterns are those of vLLM 0.32 and 0.33; where an older spelling is known it is taken too. Every worker has one card and says for
itself what it holds there; the rest is said once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from rigtui.engines.engine import Build, Event
from rigtui.engines.vllm.loglines import Message, message, rank_of
from rigtui.text import GIB

LOADED, PROFILED, COMPILED, CAPTURED = 0.7, 0.8, 0.9, 0.98
"""How far loading has come when the weights are there, the memory is known, the graphs are compiled, and captured: what remains is short
or is left out (eager)."""

_SERIOUS = frozenset({"ERROR", "CRITICAL"})
# Lines of a traceback that say nothing by themselves: frames, their source, the marks below it.
_FRAME = re.compile(r"\s|Traceback \(most recent call last\)|[\s~^]*$|During handling of the above|The above exception was")
# What ends a traceback, and what is printed without a level: exceptions, argparse's usage errors, the C++ runtime's last words.
_BARE_ERROR = re.compile(
    r"(?:[A-Za-z_]\w{0,60}\.){0,8}[A-Za-z_]\w{0,60}(?:Error|Exception|Interrupt|Warning)(?:: |$)"
    r"|vllm(?: serve)?: error: |terminate called|\[rank\d{1,4}\]: .{0,200}Error: | {2}Value error, |.{0,200}NCCL WARN "
)


class Reader:
    """Turns the lines of one attempt into events."""

    def __init__(self, build: Build) -> None:
        """`build`: the one whose output it is; a build for the CPU has no cards."""
        self._cpu = not build.gpu
        self._tensor_parallel = 1
        self._progress = 0.0
        self._loading = False
        self._weighed: set[str | None] = set()
        self._sizes: dict[tuple[str, str], dict[str | None, int]] = {}

    def feed(self, line: str) -> list[Event]:
        """The events of one line of output, mostly none. Never raises."""
        said = message(line)
        if said.level in _SERIOUS or (said.level is None and _BARE_ERROR.match(said.text)):
            return self._error(said)
        for rule in _RULES:
            if rule.needle in said.text and (match := rule.pattern.search(said.text)):
                return rule.events(self, match, said)
        return []

    def _error(self, said: Message) -> list[Event]:
        if said.level is not None and _FRAME.match(said.text) and not _BARE_ERROR.match(said.text):
            return []
        return [Event(kind="error", text=said.text, line=said.line, device=self._device(said))]

    def _device(self, said: Message) -> str | None:
        rank = rank_of(said.process, self._tensor_parallel)
        return None if rank is None else "CPU" if self._cpu else f"CUDA{rank}"

    def _advance(self, value: float) -> list[Event]:
        """Progress only grows: every worker says the same things, in no order."""
        events = [] if self._loading else [Event(kind="load_started")]
        self._loading = True
        if value <= self._progress:
            return events
        self._progress = value
        return [*events, Event(kind="progress", value=round(value, 4))]

    def _buffer(self, said: Message, kind: str, gibs: str) -> list[Event]:
        """What a worker holds. The CPU has all of them, so theirs add up."""
        # Two decimals of a GiB: exact to about 5 MiB, and 0.0 is not nothing.
        device, size = self._device(said), round(float(gibs) * GIB)
        if device is None or not size:
            return []
        sizes = self._sizes.setdefault((device, kind), {})
        sizes[said.process] = size
        return [Event(kind="buffer", device=device, buffer=kind, bytes=sum(sizes.values()))]

    # One method per rule below; each gets the match and the message.

    def _arguments(self, match: re.Match[str], _said: Message) -> list[Event]:
        text = match["arguments"]
        if tensor_parallel := re.search(r"'tensor_parallel_size': (\d{1,4})", text, re.ASCII):
            self._tensor_parallel = max(int(tensor_parallel[1]), 1)
        if sequences := re.search(r"'max_num_seqs': (\d{1,6})", text, re.ASCII):
            return [Event(kind="slots", value=float(sequences[1]))]
        return []

    def _version(self, match: re.Match[str], said: Message) -> list[Event]:
        if parallel := re.search(r"tensor_parallel_size=(\d{1,4})", said.text, re.ASCII):
            self._tensor_parallel = max(int(parallel[1]), 1)
        return [Event(kind="version", text=match["version"])]

    def _context(self, match: re.Match[str], _said: Message) -> list[Event]:
        return [Event(kind="request_context", value=float(match["tokens"].replace(",", "")))]

    def _started(self, _match: re.Match[str], _said: Message) -> list[Event]:
        return self._advance(0.0)

    def _shards(self, match: re.Match[str], _said: Message) -> list[Event]:
        return self._advance(LOADED * min(int(match["percent"]), 100) / 100)

    def _loaded(self, match: re.Match[str], said: Message) -> list[Event]:
        self._weighed.add(self._device(said))
        return [*self._buffer(said, "weights", match["gib"]), *self._advance(LOADED)]

    def _weights_read(self, _match: re.Match[str], _said: Message) -> list[Event]:
        return self._advance(LOADED)

    def _compiled(self, _match: re.Match[str], _said: Message) -> list[Event]:
        return self._advance(COMPILED)

    def _available(self, match: re.Match[str], said: Message) -> list[Event]:
        return [*self._buffer(said, "kv", match["gib"]), *self._advance(PROFILED)]

    def _kv_size(self, match: re.Match[str], _said: Message) -> list[Event]:
        return [Event(kind="kv_cells", value=float(match["tokens"].replace(",", ""))), *self._advance(PROFILED)]

    def _captured(self, match: re.Match[str], said: Message) -> list[Event]:
        return [*self._buffer(said, "graphs", match["gib"]), *self._advance(CAPTURED)]

    def _ledger(self, match: re.Match[str], said: Message) -> list[Event]:
        device = self._device(said)
        if device is None:
            return []
        found = [
            Event(kind="using_device", device=device, free_bytes=round(float(match["free"]) * GIB), line=said.line),
            *self._buffer(said, "compute", match["peak"]),
            *self._buffer(said, "graphs", match["graphs"]),
            *self._buffer(said, "kv", match["kv"]),
        ]
        if match["older"] or device not in self._weighed:
            # "consumed memory (weights + non-torch)" holds NCCL's buffers too: taken only where the runner did not say what it loaded.
            found += self._buffer(said, "weights", match["weights"])
        return found

    def _listening(self, match: re.Match[str], said: Message) -> list[Event]:
        return [Event(kind="listening", text=match["url"], line=said.line)]

    def _ready(self, _match: re.Match[str], _said: Message) -> list[Event]:
        return [Event(kind="ready")]


class _Rule(NamedTuple):
    """A message that holds `needle` and in which `pattern` is found means `events`."""

    needle: str
    pattern: re.Pattern[str]
    events: Callable[[Reader, re.Match[str], Message], list[Event]]


def _rule(needle: str, pattern: str, events: Callable[[Reader, re.Match[str], Message], list[Event]]) -> _Rule:
    """`#` in the pattern is a number of bounded length."""
    return _Rule(needle, re.compile(pattern.replace("#", r"\d{1,12}(?:\.\d{1,6})?"), re.ASCII), events)


_TOKENS = r"(?P<tokens>\d[\d,]{0,20})"
_RULES = (
    # entrypoints/utils.py
    _rule("non-default args: ", r"non-default args: (?P<arguments>\{.*)", Reader._arguments),
    # v1/engine/core.py
    _rule("LLM engine (v", r"Initializing a V\d LLM engine \(v(?P<version>[\w.+-]{1,60})\)", Reader._version),
    # config/model.py
    _rule("Using max model len ", rf"^Using max model len {_TOKENS}$", Reader._context),
    # v1/core/kv_cache_utils.py (auto-fit since 0.15)
    _rule("Auto-fit max_model_len: ", rf"^Auto-fit max_model_len: reduced from [\d,]+ to {_TOKENS} ", Reader._context),
    # One line since 0.28, two before; "CPU KV cache size" on the CPU backend.
    _rule("KV cache size: ", rf"^\w{{2,10}} KV cache size: {_TOKENS} tokens", Reader._kv_size),
    # v1/worker/*_model_runner.py, model_executor/model_loader
    _rule("Starting to load model ", r"^Starting to load model ", Reader._started),
    _rule("% Completed", r"checkpoint shards: +(?P<percent>\d{1,3})% Completed", Reader._shards),
    _rule("Loading weights took ", r"^Loading weights took # seconds", Reader._weights_read),
    _rule("Model loading took ", r"^Model loading took (?P<gib>#) GiB(?: memory)? and # seconds", Reader._loaded),
    # compilation/monitor.py
    _rule("torch.compile t", r"^torch\.compile (?:took|takes) # s in total", Reader._compiled),
    # v1/worker/gpu_worker.py; the first is the first rank's only, the last is every worker's
    _rule("Available KV cache memory: ", r"^Available KV cache memory: (?P<gib>#) GiB", Reader._available),
    _rule("for KV cache on node", r"^(?:Explicitly|Auto) set \((?P<gib>#)/#\) GiB for KV cache on node \d", Reader._available),
    _rule("Graph capturing finished", r"^Graph capturing finished in # secs?, took (?P<gib>#) GiB", Reader._captured),
    _rule(
        "Actual usage is ",
        r"^Free memory on device \S{0,20}? ?\((?P<free>#)/# GiB\) on startup\. Desired GPU memory utilization is \(#, # GiB\)\. "
        r"Actual usage is (?P<weights>#) GiB for (?:(?P<older>weight)|consumed memory[^,]{0,40}), (?P<peak>#) GiB for peak activation,"
        r"(?: # GiB for non-torch memory,)? and (?P<graphs>#) GiB for CUDAGraph memory\..{0,600}"
        r"Current kv cache memory in use is (?P<kv>#) GiB",
        Reader._ledger,
    ),
    # entrypoints/launchers/api_server/entry.py; before "Starting vLLM API server 0 on http://…"
    _rule("Starting vLLM ", r"^Starting vLLM (?:API )?server(?: \d{1,4})? on (?P<url>https?://\S{1,200})", Reader._listening),
    # uvicorn
    _rule("Application startup complete.", r"^Application startup complete\.$", Reader._ready),
)

"""What llama-server's log says, as events.

The patterns are those of llama.cpp 0.5.0-dev with `-lv 4`, text and `--log-jsonl`; where an older spelling is known it is
taken too. `--fit` builds the model and its context several times on paper before the real load: what is logged between
"fitting params to device memory" and "fitting params to free memory took" (common/common.cpp, common/fit.cpp) is no
allocation and is left out.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from rigtui.engines.engine import Build, Event
from rigtui.engines.llamacpp.loglines import MAX_LINE, Message, messages
from rigtui.text import MIB

_KINDS = {"model": "weights", "KV": "kv", "compute": "compute", "output": "output", "RS": "recurrent"}
# LLAMA_SERVER_ROUTER_PORT: {"state":"loading","payload":{"stages":["text_model"],"current":"text_model","value":0.05}}, at last "ready"
# (tools/server/server-models.cpp).
_CHILD = "cmd_child_to_router:state:"
# What has no level: usage errors and what is printed while dying.
_BARE_ERROR = re.compile(r"error: |error while |terminate called|.{0,200}(?:CUDA error|GGML_ASSERT\()")


class _Payload(msgspec.Struct):
    stages: list[str] = []
    current: str = ""
    value: float = 0.0


class _Child(msgspec.Struct):
    state: str
    payload: _Payload = msgspec.field(default_factory=_Payload)


_CHILD_DECODER = msgspec.json.Decoder(_Child)


class Reader:
    """Turns the lines of one attempt into events. Stateful: buffers of one kind on one device add up."""

    def __init__(self, build: Build) -> None:
        """`build`: the one whose output it is; JSON lines are read only where the build offers them."""
        self._json = "--log-jsonl" in build.options
        self._headed = False
        self._fitting = False
        self._loading = False
        self._contexts = 0
        self._sizes: dict[tuple[str, str], dict[int, int]] = {}

    def feed(self, line: str) -> list[Event]:
        """The events of one line of output, mostly none. A line is read up to 64 KiB. Never raises."""
        line = line[:MAX_LINE]
        if _CHILD in line:
            return self._child(line[line.index(_CHILD) + len(_CHILD) :])
        if line.startswith("{") and not self._json:
            return []
        return [event for message in messages(line) for event in self._message(message)]

    def _message(self, message: Message) -> list[Event]:
        if message.level is None:
            if _BARE_ERROR.match(message.text):
                return [Event(kind="error", text=message.text, line=message.line)]
            if self._headed:
                # The rest of a longer message: a chat template, a prompt. Whatever it says, the engine does not say it.
                return []
        else:
            self._headed = True
        if message.level == "error":
            return [Event(kind="error", text=message.text, line=message.line)]
        for rule in _RULES:
            if rule.needle in message.text and (match := rule.pattern.match(message.text)):
                return rule.events(self, match, message)
        return []

    def _child(self, text: str) -> list[Event]:
        try:
            child = _CHILD_DECODER.decode(text.strip())
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return []
        if child.state == "ready":
            return [Event(kind="ready")]
        if child.state != "loading":
            return []
        payload = child.payload
        before = payload.stages.index(payload.current) if payload.current in payload.stages else 0
        value = (before + min(max(payload.value, 0.0), 1.0)) / max(len(payload.stages), 1)
        return [*self._load_started(), Event(kind="progress", value=value)]

    def _load_started(self) -> list[Event]:
        if self._loading:
            return []
        self._loading = True
        return [Event(kind="load_started")]

    @property
    def _is_main(self) -> bool:
        """The real context of the model itself: a draft model's is built after it."""
        return not self._fitting and self._contexts <= 1

    # One method per rule below; each gets the match and the message.

    def _started(self, _match: re.Match[str], _message: Message) -> list[Event]:
        return self._load_started()

    def _fit_begins(self, _match: re.Match[str], _message: Message) -> list[Event]:
        self._fitting = True
        return []

    def _fit_ends(self, _match: re.Match[str], _message: Message) -> list[Event]:
        self._fitting = False
        self._contexts = 0
        self._sizes.clear()
        return []

    def _fit(self, match: re.Match[str], message: Message) -> list[Event]:
        return [Event(kind="fit", text=match["text"], line=message.line)]

    def _context_begins(self, _match: re.Match[str], _message: Message) -> list[Event]:
        if not self._fitting:
            self._contexts += 1
        return []

    def _reserving(self, _match: re.Match[str], _message: Message) -> list[Event]:
        """A context measures its graphs again: its earlier compute buffers are gone."""
        if not self._fitting:
            for (_, kind), sizes in self._sizes.items():
                if kind == "compute":
                    sizes.pop(self._contexts, None)
        return []

    def _buffer(self, match: re.Match[str], _message: Message) -> list[Event]:
        if self._fitting:
            return []
        # "RPC0[127.0.0.1:50052]" is the device RPC0.
        device, kind = match["device"].split("[")[0], _KINDS[match["kind"]]
        sizes = self._sizes.setdefault((device, kind), {})
        # Two decimals of a MiB: exact to about 5 KiB.
        sizes[self._contexts] = sizes.get(self._contexts, 0) + round(float(match["mib"]) * MIB)
        return [Event(kind="buffer", device=device, buffer=kind, bytes=sum(sizes.values()))]

    def _using_device(self, match: re.Match[str], message: Message) -> list[Event]:
        if self._fitting:
            return []
        free = int(match["free"]) * MIB
        return [Event(kind="using_device", device=match["device"], text=match["name"], free_bytes=free, line=message.line)]

    def _context(self, match: re.Match[str], _message: Message) -> list[Event]:
        return [Event(kind="context", value=float(match["n_ctx"]))] if self._is_main else []

    def _kv_cells(self, match: re.Match[str], _message: Message) -> list[Event]:
        # Cells are counted per stream; a cache that is not shared has one stream per slot.
        return [Event(kind="kv_cells", value=float(match["cells"]) * float(match["streams"]))] if self._is_main else []

    def _splits(self, match: re.Match[str], _message: Message) -> list[Event]:
        generation = match["generation"]
        total = float(generation) if generation else None
        return [Event(kind="graph_splits", value=float(match["splits"]), total=total)] if self._is_main else []

    def _offloaded(self, match: re.Match[str], _message: Message) -> list[Event]:
        return [] if self._fitting else [Event(kind="offloaded", value=float(match["layers"]), total=float(match["of"]))]

    def _slots(self, match: re.Match[str], _message: Message) -> list[Event]:
        return [Event(kind="slots", value=float(match["slots"]))]

    def _pipeline(self, _match: re.Match[str], _message: Message) -> list[Event]:
        return [] if self._fitting else [Event(kind="pipeline", value=1)]

    def _retry(self, match: re.Match[str], message: Message) -> list[Event]:
        if self._fitting:
            return []
        return [Event(kind="retry", text=match["text"], line=message.line), Event(kind="pipeline", value=0)]

    def _flash_attention(self, match: re.Match[str], _message: Message) -> list[Event]:
        return [] if self._fitting else [Event(kind="flash_attention", value=1 if match["state"] in {"enabled", "1"} else 0)]

    def _version(self, match: re.Match[str], _message: Message) -> list[Event]:
        return [Event(kind="version", text=match["text"])]

    def _ready(self, _match: re.Match[str], _message: Message) -> list[Event]:
        return [Event(kind="ready")]

    def _listening(self, match: re.Match[str], message: Message) -> list[Event]:
        return [Event(kind="listening", text=match["url"], line=message.line)]

    def _timing(self, match: re.Match[str], _message: Message) -> list[Event]:
        kind = "prefill" if match["prompt"] else "decode"
        return [Event(kind="timing", text=kind, value=float(match["speed"]), total=float(match["tokens"]))]


class _Rule(NamedTuple):
    """A message that holds `needle` and matches `pattern` from its start means `events`."""

    needle: str
    pattern: re.Pattern[str]
    events: Callable[[Reader, re.Match[str], Message], list[Event]]


def _rule(needle: str, pattern: str, events: Callable[[Reader, re.Match[str], Message], list[Event]], *, by: str = "") -> _Rule:
    """`#` in the pattern is a number of bounded length; `by` stands before it: the name of the function that prints it."""
    return _Rule(needle, re.compile(by + pattern.replace("#", r"\d{1,12}(?:\.\d{1,6})?"), re.ASCII), events)


# The library's functions print their name, which differs between versions; the server's is cut off with its tag.
_library = functools.partial(_rule, by=r"[\w~]{1,64}: +")
_server = functools.partial(_rule, by=r"(?:\w{1,16}: )?")

_RULES = (
    # tools/server/server.cpp; before 2026 "main: server is listening on http://… - starting the main loop"
    _server("listening on http", r"(?:server is )?listening on (?P<url>https?://\S{1,200})", Reader._listening),
    _server("model loaded", r"model loaded$", Reader._ready),
    # tools/server/server-context.cpp
    _server("loading model '", r"loading model '", Reader._started),
    _server("n_slots = ", r"initializing(?: slots)?, n_slots = (?P<slots>#)", Reader._slots),
    _server(
        "eval time =",
        r" *(?P<prompt>prompt )?eval time = +# ms / +(?P<tokens>#) (?:tokens|runs) +\( *# ms per token, +(?P<speed>#) tokens per second",
        Reader._timing,
    ),
    # common/common.cpp
    _server("fitting params to device memory", r"fitting params to device memory", Reader._fit_begins),
    _library(": build ", r"(?P<text>build # \([^)]{1,40}\))", Reader._version),
    # common/fit.cpp
    _library("fitting params to free memory took", r"fitting params to free memory took", Reader._fit_ends),
    _library("fit params to free device memory", r"(?P<text>(?:successfully|failed to) fit params to free device memory.*)", Reader._fit),
    _library("no changes needed", r"(?P<text>.*no changes needed)", Reader._fit),
    _library("context size reduced from", r"(?P<text>context size reduced from .*)", Reader._fit),
    # src/llama.cpp
    _library(
        "using device ",
        r"using device (?P<device>[^\s(]+) \((?P<name>.+?)\)(?: \([^()]*\))? - (?P<free>#) MiB free",
        Reader._using_device,
    ),
    # src/llama-model.cpp
    _library(" layers to GPU", r"offloaded (?P<layers>#)/(?P<of>#) layers to GPU", Reader._offloaded),
    # src/llama-model.cpp, llama-context.cpp, llama-kv-cache.cpp, llama-memory-recurrent.cpp
    _library(
        " buffer size = ",
        r"(?P<device>\S{1,100}) +(?P<kind>model|KV|compute|output|RS) +buffer size = +(?P<mib>#) MiB",
        Reader._buffer,
    ),
    _library(" cells,", r"size = +# MiB \( *(?P<cells>#) cells, +# layers, +#/(?P<streams>#) seqs\), K", Reader._kv_cells),
    # src/llama-context.cpp
    _library("constructing llama_context", r"constructing llama_context", Reader._context_begins),
    _library("n_ctx  ", r"n_ctx += (?P<n_ctx>#)$", Reader._context),
    _library("flash_attn  ", r"flash_attn += (?P<state>enabled|disabled|0|1)$", Reader._flash_attention),
    _library(
        "Flash Attention",
        r"Flash Attention (?:was auto, set to |not supported, set to )?(?P<state>enabled|disabled)$",
        Reader._flash_attention,
    ),
    _library("pipeline parallelism enabled", r"pipeline parallelism enabled", Reader._pipeline),
    _library("retrying without pipeline parallelism", r"(?P<text>.*retrying without pipeline parallelism)", Reader._retry),
    _library(": reserving", r"reserving \.\.\.", Reader._reserving),
    # "graph: nodes = 998, splits = 3, …", "graph (pp bs=512, tg bs=4): nodes = 502 / 502, splits = 47 / 3, …"
    _library("splits = ", r"graph.{0,40}?: nodes = [\d /]+, splits = (?P<splits>#)(?: / (?P<generation>#))?", Reader._splits),
    # before 2026: "graph splits = 69 (with bs=512), 3 (with bs=1)"
    _library("graph splits = ", r"graph splits = (?P<splits>#)(?: \(with bs=#\), (?P<generation>#) \(with bs=1\))?", Reader._splits),
)

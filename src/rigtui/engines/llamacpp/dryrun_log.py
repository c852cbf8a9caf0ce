"""What llama-server says while `--fit` decides, read up to the moment before it allocates anything. Pure.

Each look of `--fit` builds model and context on paper and logs it as a real load (llama.cpp 0.5.0-dev, `-lv 5 --log-jsonl`): which layer
goes where, which tensors lie elsewhere, the compute buffers, and at its end a `fit_memory_breakdown`. After "fitting params to free memory
took" the real load says the same once more, before its first buffer: the look that it repeats is the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import msgspec
from msgspec import Struct

from rigtui.engines.llamacpp.loglines import MAX_LINE, messages
from rigtui.text import MIB

MOST_LOOKS = 512
MOST_TENSORS = 1 << 17
_LAYER = re.compile(r"load_tensors: layer +(\d{1,4}) assigned to device (\S{1,64}),", re.ASCII)
_MOVED = re.compile(r"tensor blk\.(\d{1,4})\.(\S{1,64}) \(\d+ MiB \S+\) buffer type overridden to (\S{1,64})", re.ASCII)
_COMPUTE = re.compile(r"\w{1,64}: +(\S{1,64}) compute buffer size = +(\d{1,9}\.\d\d) MiB", re.ASCII)
_FREE = re.compile(r"\w{1,64}: using device (\S{1,64}) \(.{0,200}\) - (\d{1,9}) MiB free", re.ASCII)
_GAVE_UP = re.compile(r"\w{1,64}: failed to fit params to free device memory: (.{1,300})", re.ASCII)
_PLAIN_ERRORS = ("error", "cannot start ")


class Row(Struct, frozen=True):
    """A device of one look; bytes, rounded down to whole MiB but for `compute`."""

    device: str
    weights: int
    kv: int
    compute: int
    free: int


class Answer(Struct, frozen=True, kw_only=True):
    """What the engine would do."""

    rows: tuple[Row, ...]
    """GPUs, in engine order."""
    host: Row
    layers: tuple[str, ...]
    """Device of every block and, last, of the head; `CPU` for RAM."""
    moved: tuple[tuple[int, str, str], ...]
    """Block, tensor and buffer of what lies elsewhere than its block."""
    pipeline: bool
    gave_up: str | None = None
    """Why `--fit` left the arguments as they were."""


class _Line(Struct):
    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


class _RawRow(Struct):
    kind: str
    name: str
    model: int = 0
    context: int = 0
    compute: int = 0
    free: int = 0


class _Breakdown(Struct):
    unit: str
    rows: list[_RawRow]


_LINES = msgspec.json.Decoder(_Line)
_BREAKDOWNS = msgspec.json.Decoder(_Breakdown)


@dataclass
class _Look:
    """One model on paper."""

    layers: dict[int, str] = field(default_factory=dict)
    moved: list[tuple[int, str, str]] = field(default_factory=list)
    compute: dict[str, int] = field(default_factory=dict)
    tensors: int = 0
    pipeline: bool = False
    breakdown: _Breakdown | None = None

    def places_like(self, other: _Look) -> bool:
        return self.layers == other.layers and self.moved == other.moved


class DryRunLog:
    """Feed it lines until there is an `answer`; it never raises, whatever they say."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.problem: str | None = None
        """The last error line, cleaned."""
        self._looks: list[_Look] = []
        self._decided = False
        self._gave_up: str | None = None
        self._free: dict[str, int] = {}

    def feed(self, line: str) -> bool:
        """One line of output; whether there is an answer now."""
        line = line[:MAX_LINE]
        if '"fit_memory_breakdown"' in line:
            self._breakdown(line)
            return False
        for message in messages(line):
            # What is wrong with the arguments is said before there is a log: without a head.
            if message.level == "error" or (message.level is None and message.line.startswith(_PLAIN_ERRORS)):
                self.problem = message.line
            self._message(message.text)
        return self.answer is not None

    def _message(self, text: str) -> None:
        if "create_tensor" in text:
            self._count()
        elif match := _LAYER.match(text):
            self._layer(int(match[1]), match[2])
        elif match := _MOVED.match(text):
            if self._looks and len(self._looks[-1].moved) < MOST_TENSORS:
                self._looks[-1].moved.append((int(match[1]), match[2], match[3]))
                self._conclude()
        elif (match := _COMPUTE.match(text)) and self._looks:
            self._looks[-1].compute[match[1]] = round(float(match[2]) * MIB)
        elif text.endswith("pipeline parallelism enabled") and self._looks:
            self._looks[-1].pipeline = True
        elif match := _FREE.match(text):
            # The first time: later looks find what `--fit` itself holds missing.
            self._free.setdefault(match[1], int(match[2]) * MIB)
        elif match := _GAVE_UP.match(text):
            self._gave_up = match[1]
        elif "fitting params to free memory took" in text:
            self._decided = True

    def _layer(self, number: int, device: str) -> None:
        if number == 0 and len(self._looks) < MOST_LOOKS:
            self._looks.append(_Look())
        if self._looks:
            self._looks[-1].layers[number] = device
            self._conclude()

    def _count(self) -> None:
        if self._looks:
            self._looks[-1].tensors += 1
            self._conclude()

    def _breakdown(self, line: str) -> None:
        try:
            event = _LINES.decode(line)
            if event.type == "fit_memory_breakdown" and self._looks and not self._decided:
                breakdown = _BREAKDOWNS.decode(event.data)
                self._looks[-1].breakdown = breakdown if breakdown.unit == "MiB" else None
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return

    def _conclude(self) -> None:
        """The real load has said where everything goes: find the look that it repeats."""
        if not self._decided or self.answer is not None:
            return
        real, looks = self._looks[-1], self._looks[:-1]
        for look in reversed(looks):
            if look.breakdown is None or look.layers != real.layers:
                continue
            if (look.moved or real.moved) and not (real.tensors == look.tensors and look.places_like(real)):
                continue
            if not look.moved and any(other.moved for other in looks) and real.tensors < look.tensors:
                continue  # what is moved is only said while the tensors are made
            self.answer = self._answer(look, look.breakdown)
            return

    def _answer(self, look: _Look, breakdown: _Breakdown) -> Answer | None:
        gpus = [row for row in breakdown.rows if row.kind == "device"]
        host = next((row for row in breakdown.rows if row.kind == "host"), _RawRow(kind="host", name="Host"))
        compute = {name.split("[")[0]: size for name, size in look.compute.items()}
        numbers = sorted(look.layers)
        if numbers != list(range(len(numbers))):
            return None
        return Answer(
            rows=tuple(self._row(row, compute) for row in gpus),
            host=Row("Host", host.model * MIB, host.context * MIB, host.compute * MIB, 0),
            layers=tuple(look.layers[number] for number in numbers),
            moved=tuple(look.moved),
            pipeline=look.pipeline,
            gave_up=self._gave_up,
        )

    def _row(self, row: _RawRow, compute: dict[str, int]) -> Row:
        free = self._free.get(row.name, row.free * MIB)
        return Row(row.name, row.model * MIB, row.context * MIB, compute.get(row.name, row.compute * MIB), free)

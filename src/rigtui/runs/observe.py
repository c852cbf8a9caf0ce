"""What an engine's events add up to while it loads and serves."""

from __future__ import annotations

from rigtui.engines.engine import Event

_KEPT_EVENTS = 4000
_LOADING = frozenset({"load_started", "progress", "offloaded", "buffer"})
_NUMBERS = {"offloaded": "layers", "graph_splits": "graph_splits", "context": "context"}
"""Events that carry one whole number, and where it is kept."""


class Observed:
    """Folds events; one per attempt."""

    def __init__(self, uuids: dict[str, str], slots: int = 1) -> None:
        """`uuids`: the card behind each of the engine's device names, where it is known; `slots`: requests served at the same time."""
        self.events: list[Event] = []
        """What the diagnosis needs; the timings of served requests are not kept."""
        self.loading = False
        self.listening = False
        self.progress: float | None = None
        self.layers: int | None = None
        self.graph_splits: int | None = None
        self.kv_tokens: int | None = None
        self.context: int | None = None
        self.pipeline: bool | None = None
        """Whether it keeps several copies of the inputs; None: it never said so."""
        self.engine_free: dict[str, int] = {}
        """Per device as the engine calls it: bytes free when its runtime was there and nothing else."""
        self._uuids = uuids
        self._slots = slots
        self._buffers: dict[tuple[str, str], int] = {}

    def add(self, event: Event) -> None:
        """Take one event."""
        if event.kind != "timing" and len(self.events) < _KEPT_EVENTS:
            self.events.append(event)
        if event.kind in _LOADING:
            self.loading = True
        match event.kind:
            case "progress":
                self.progress = event.value
            case "listening" | "ready":
                self.listening = True
            case "buffer":
                if event.device is not None and event.bytes is not None:
                    self._buffers[event.device, event.buffer or ""] = event.bytes
            case "using_device":
                if event.device is not None and event.free_bytes is not None:
                    self.engine_free[event.device] = event.free_bytes
            case "pipeline":
                self.pipeline = bool(event.value)
            case "kv_cells":
                self.kv_tokens = max(self.kv_tokens or 0, _whole(event.value) or 0) or None
            case "request_context":
                self.context = self._slots * (_whole(event.value) or 0) or None
            case kind if kind in _NUMBERS:
                setattr(self, _NUMBERS[kind], _whole(event.value))

    def buffers(self) -> dict[str, dict[str, int]]:
        """Bytes by kind of buffer, per device as the engine calls it."""
        found: dict[str, dict[str, int]] = {}
        for (device, buffer), size in self._buffers.items():
            found.setdefault(device, {})[buffer] = size
        return found

    def logged_bytes(self) -> dict[str, int]:
        """What the engine says it allocated on each card of the plan, by UUID (device name where there is none)."""
        known = {self._uuids[device]: kinds for device, kinds in self.buffers().items() if device in self._uuids}
        # Graphs belong to what a plan counts as the engine's floor.
        return {uuid: sum(size for kind, size in kinds.items() if kind != "graphs") for uuid, kinds in known.items()}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)

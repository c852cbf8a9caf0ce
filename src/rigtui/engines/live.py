"""What an engine says of its work from moment to moment, and what two such moments tell. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

_SAMPLE = re.compile(r"^(?P<name>[A-Za-z_:][\w:]*)(?:\{[^}]*\})? (?P<value>\S+)")


class Sample(Struct, frozen=True, kw_only=True):
    """One moment; None: the engine does not say. Counters grow from the engine's start."""

    at: float
    """Seconds of a clock that only runs forward."""
    generated: float | None = None
    """Counter: tokens answered."""
    prompt: float | None = None
    """Counter: prompt tokens computed."""
    prompt_s: float | None = None
    """Counter: seconds spent on that."""
    kv_tokens: int | None = None
    """Tokens that lie in the KV cache."""
    kv_share: float | None = None
    """Of the KV cache in use, 0 to 1."""
    processing: int | None = None
    """Requests that are worked on."""
    waiting: int | None = None
    """Requests that wait for a slot."""


class Live(Struct, frozen=True, kw_only=True):
    """How an engine works now; None: not known, or nothing to say."""

    decode_tok_s: float | None = None
    prefill_tok_s: float | None = None
    kv_tokens: int | None = None
    kv_share: float | None = None
    processing: int | None = None
    waiting: int | None = None


def live(samples: Sequence[Sample], context: int = 0) -> Live:
    """The newest of `samples` (oldest first), with speeds over all of them; `context` (tokens over all slots) gives the share of the KV
    cache where the engine tells tokens alone."""
    last = samples[-1]
    share = last.kv_share
    if share is None and last.kv_tokens is not None and context > 0:
        share = min(1.0, last.kv_tokens / context)
    speeds = [_growth(samples, "generated"), _growth(samples, "prompt")]
    seconds = [last.at - samples[0].at, _growth(samples, "prompt_s") or 0.0]
    decode, prefill = (grown / time if grown and time > 0 else None for grown, time in zip(speeds, seconds, strict=True))
    return Live(
        decode_tok_s=decode,
        prefill_tok_s=prefill,
        kv_tokens=last.kv_tokens,
        kv_share=share,
        processing=last.processing,
        waiting=last.waiting,
    )


def _growth(samples: Sequence[Sample], counter: str) -> float | None:
    values = [value for sample in samples if (value := getattr(sample, counter)) is not None]
    return max(0.0, values[-1] - values[0]) if len(values) > 1 else None


def prometheus(text: str) -> dict[str, float]:
    """The samples of a page in Prometheus' text format (version 0.0.4), by name; those of different labels are added up."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match is None:
            continue
        try:
            value = float(match["value"])
        except ValueError:
            continue
        found[match["name"]] = found.get(match["name"], 0.0) + value
    return found

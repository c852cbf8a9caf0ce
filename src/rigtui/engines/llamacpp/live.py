"""llama-server's own figures while it works (llama.cpp b10700, tools/server: `/metrics` with `--metrics`, `/slots`). Pure.

The counter of answered tokens grows only when a request ends; what the slots are at work on is added to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
from msgspec import Struct

from rigtui.engines.live import Sample, prometheus


class _Next(Struct):
    n_decoded: int = 0


class _Slot(Struct):
    is_processing: bool = False
    n_prompt_tokens: int = 0
    n_prompt_tokens_processed: int = 0
    n_prompt_tokens_cache: int = 0
    next_token: list[_Next] | _Next | None = None

    @property
    def decoded(self) -> int:
        """Tokens answered in the request the slot works on, or worked on last."""
        token = self.next_token[0] if isinstance(self.next_token, list) and self.next_token else self.next_token
        return token.n_decoded if isinstance(token, _Next) else 0

    @property
    def held(self) -> int:
        """Tokens in its part of the KV cache: some builds count the answer into `n_prompt_tokens`, some only the prompt."""
        return max(self.n_prompt_tokens, self.n_prompt_tokens_cache + self.n_prompt_tokens_processed + self.decoded)


_SLOTS = msgspec.json.Decoder(list[_Slot])


def sample(fetch: Callable[[str], bytes | None], at: float) -> Sample | None:
    """One moment at the time `at`; `fetch` gives a page's content, or None. None when the engine says nothing of use."""
    metrics, slots = fetch("/metrics"), _slots(fetch("/slots"))
    values = prometheus(metrics.decode("utf-8", errors="replace")) if metrics is not None else {}
    if slots is None and not values:
        return None
    busy = [slot for slot in slots or () if slot.is_processing]
    generated = values.get("llamacpp:tokens_predicted_total")
    # Without the counter a request that ends would look like going backwards.
    at_work = sum(slot.decoded for slot in busy)
    return Sample(
        at=at,
        generated=None if generated is None else generated + at_work,
        prompt=values.get("llamacpp:prompt_tokens_total"),
        prompt_s=values.get("llamacpp:prompt_seconds_total"),
        kv_tokens=None if slots is None else sum(slot.held for slot in slots),
        processing=_count(values.get("llamacpp:requests_processing"), None if slots is None else len(busy)),
        waiting=_count(values.get("llamacpp:requests_deferred"), None),
    )


def _count(value: float | None, otherwise: int | None) -> int | None:
    return int(value) if value is not None and math.isfinite(value) else otherwise


def _slots(page: bytes | None) -> list[_Slot] | None:
    if page is None:
        return None
    try:
        return _SLOTS.decode(page)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None

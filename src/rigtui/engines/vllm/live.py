"""vLLM's own figures while it works (0.33, v1/metrics/loggers.py: `/metrics`). Pure."""

from __future__ import annotations

import math
from collections.abc import Callable

from rigtui.engines.live import Sample, prometheus

_USAGE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
"""Of the KV cache, 0 to 1; the second up to 0.9."""


def sample(fetch: Callable[[str], bytes | None], at: float) -> Sample | None:
    """One moment at the time `at`; `fetch` gives a page's content, or None. None when the engine says nothing of use."""
    page = fetch("/metrics")
    values = prometheus(page.decode("utf-8", errors="replace")) if page is not None else {}
    usage = next((values[name] for name in _USAGE if name in values), None)
    generated = values.get("vllm:generation_tokens_total")
    if generated is None and usage is None:
        return None
    return Sample(
        at=at,
        generated=generated,
        prompt=values.get("vllm:prompt_tokens_total"),
        prompt_s=values.get("vllm:request_prefill_time_seconds_sum"),
        kv_share=usage if usage is not None and math.isfinite(usage) else None,
        processing=_count(values.get("vllm:num_requests_running")),
        waiting=_count(values.get("vllm:num_requests_waiting")),
    )


def _count(value: float | None) -> int | None:
    return int(value) if value is not None and math.isfinite(value) else None

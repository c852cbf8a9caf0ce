"""What vLLM's metrics tell while it works, from a page of a real one."""

from __future__ import annotations

from rigtui.engines.vllm.live import sample

# vLLM 0.32.0, GET /metrics, in part; after one answer of 48 tokens.
PAGE = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 2.0
vllm:num_requests_waiting{engine="0",model_name="tiny"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="tiny",reason="capacity"} 7.0
vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.25
vllm:prompt_tokens_total{engine="0",model_name="tiny"} 8.0
vllm:generation_tokens_total{engine="0",model_name="tiny"} 48.0
vllm:request_prefill_time_seconds_sum{engine="0",model_name="tiny"} 0.024661524000066493
"""


def test_a_moment_of_work() -> None:
    found = sample({"/metrics": PAGE}.get, 12.5)
    assert found is not None
    assert (found.at, found.generated, found.prompt) == (12.5, 48.0, 8.0)
    assert (found.kv_share, found.processing, found.waiting) == (0.25, 2, 1)
    assert found.prompt_s is not None
    assert round(found.prompt_s, 4) == 0.0247


def test_the_name_of_the_cache_before_0_10() -> None:
    found = sample({"/metrics": PAGE.replace(b"vllm:kv_cache_usage_perc", b"vllm:gpu_cache_usage_perc")}.get, 0.0)
    assert found is not None
    assert found.kv_share == 0.25


def test_no_page_and_a_page_of_something_else() -> None:
    assert sample(lambda _path: None, 0.0) is None
    assert sample(lambda _path: b"# nothing\nother_metric 1\n\xff\xfe", 0.0) is None
    odd = sample(lambda _path: PAGE.replace(b"} 0.25", b"} NaN").replace(b"} 2.0", b"} +Inf"), 0.0)
    assert odd is not None
    assert (odd.kv_share, odd.processing) == (None, None)

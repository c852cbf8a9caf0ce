# ruff: noqa: E501  (log lines are as long as they are)
"""Logs of real vLLMs become the events that they tell of."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rigtui.engines.engine import Build, Event
from rigtui.engines.vllm.loglines import readable
from rigtui.engines.vllm.reader import Reader
from rigtui.text import GIB

LOGS = Path(__file__).resolve().parents[1] / "logs" / "vllm"
CUDA = Build(engine="vllm", label="", version="0.33.0", argv=("vllm",))
CPU = Build(engine="vllm", label="", version="0.32.0+cpu", argv=("vllm",), gpu=False)


def read(text: str, build: Build = CUDA) -> list[Event]:
    reader = Reader(build)
    return [event for line in text.split("\n") for event in reader.feed(line)]


def log(name: str) -> list[Event]:
    return read((LOGS / f"{name}.log").read_text(errors="replace"), CPU)


def values(events: list[Event], kind: str) -> list[float | None]:
    return [event.value for event in events if event.kind == kind]


def gibs(events: list[Event]) -> dict[tuple[str, str], float]:
    """GiB of each buffer, the last that was said."""
    return {(e.device or "", e.buffer or ""): round((e.bytes or 0) / GIB, 2) for e in events if e.kind == "buffer"}


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("(APIServer pid=1) INFO 11-21 00:59:08 [utils.py:3] fine", "info"),
        ("(EngineCore pid=2) WARNING 11-21 00:59:08 [x.py:1] hm", "warn"),
        ("(Worker_PP1 pid=3) CRITICAL 11-21 00:59:08 [x.py:1] the end", "error"),
        ("INFO:     Started server process [1]", "info"),
        ("ValueError: ERROR is only a word here", None),
        ("Triton is installed, but doesn't include CPU backend.", None),
    ],
)
def test_a_line_is_shown_whole_with_the_level_that_its_head_says(line: str, level: str | None) -> None:
    assert readable(f"\x1b[36m{line}\x1b[0m") == [(level, line)]


def test_a_whole_start_on_the_cpu() -> None:
    events = log("cpu_start")
    assert [event.kind for event in events] == [
        *("slots", "request_context", "version", "load_started", "progress", "buffer", "progress", "kv_cells", "listening", "ready")
    ]
    assert [event.text for event in events if event.text] == ["0.32.0", "http://127.0.0.1:8123"]
    assert (values(events, "slots"), values(events, "request_context"), values(events, "kv_cells")) == ([4], [1024], [32768])
    assert gibs(events) == {("CPU", "kv"): 0.06}


def test_workers_on_one_cpu_add_up() -> None:
    assert gibs(log("cpu_pp2")) == {("CPU", "kv"): 0.06}
    assert values(log("cpu_pp2"), "kv_cells") == [21760]


def test_a_length_that_was_fitted_replaces_the_one_that_was_asked_for() -> None:
    assert values(log("cpu_autofit"), "request_context") == [2048, 384]


@pytest.mark.parametrize("name", ["cpu_default_util", "cpu_kv_too_small", "cpu_pp2bad", "cpu_worker_killed"])
def test_a_traceback_is_one_error(name: str) -> None:
    """Its last line, not its frames; and what one process says does not come back a hundred times."""
    texts = [event.text or "" for event in log(name) if event.kind == "error"]
    assert 0 < len(texts) <= 10
    assert not [text for text in texts if "Traceback" in text or text.startswith(("  File", "    ", "^"))]


# The lines of cards: vLLM 0.33's texts, with the numbers of a published log (8x RTX 3090).
LEDGER = (
    "Free memory on device (22.93/23.56 GiB) on startup. Desired GPU memory utilization is (0.935, 22.03 GiB). Actual usage is 19.47 GiB for "
    "consumed memory (weights + non-torch), 0.6 GiB for peak activation, and 0.1 GiB for CUDAGraph memory. Replace gpu_memory_utilization config "
    "with `--kv-cache-memory=1828800984` (1.7 GiB) to fit into requested memory, or `--kv-cache-memory=2798683648` (2.61 GiB) to fully utilize gpu "
    "memory. Current kv cache memory in use is 1.95 GiB."
)
OLD_LEDGER = LEDGER.replace(
    "consumed memory (weights + non-torch), 0.6 GiB for peak activation, and",
    "weight, 0.6 GiB for peak activation, 0.21 GiB for non-torch memory, and",
)


def said(process: str, text: str, level: str = "INFO") -> str:
    return f"({process} pid=71) {level} 11-21 00:59:33 [gpu_worker.py:1013] {text}"


def test_every_worker_tells_of_its_own_card() -> None:
    events = read(
        "\n".join(
            [
                said("APIServer", "non-default args: {'tensor_parallel_size': 2, 'pipeline_parallel_size': 2, 'max_num_seqs': 8}"),
                said("Worker_PP0_TP0", "Starting to load model /m..."),
                "Loading safetensors checkpoint shards:   0% Completed | 0/4 [00:00<?, ?it/s]",
                "\rLoading safetensors checkpoint shards:  50% Completed | 2/4 [00:01<00:01, 1.66it/s]",
                said("Worker_PP0_TP0", "Model loading took 8.1 GiB memory and 21.123456 seconds"),
                said("Worker_PP1_TP1", "Model loading took 9.25 GiB memory and 22.000001 seconds"),
                said("Worker_PP0_TP0", "Available KV cache memory: 3.5 GiB"),
                said("EngineCore", "GPU KV cache size: 643,232 tokens, Maximum concurrency for 40,960 tokens per request: 15.70x"),
                said("Worker_PP1_TP1", "Graph capturing finished in 5 secs, took 0.12 GiB"),
                said("Worker_PP1_TP1", LEDGER),
                said("Worker_PP1_TP0", LEDGER),
            ]
        )
    )
    assert gibs(events) == {
        ("CUDA0", "weights"): 8.1,
        ("CUDA3", "weights"): 9.25,
        ("CUDA0", "kv"): 3.5,
        ("CUDA3", "graphs"): 0.1,
        ("CUDA3", "compute"): 0.6,
        ("CUDA3", "kv"): 1.95,
        ("CUDA2", "weights"): 19.47,  # its runner did not say what it loaded
        ("CUDA2", "compute"): 0.6,
        ("CUDA2", "graphs"): 0.1,
        ("CUDA2", "kv"): 1.95,
    }
    assert [(e.device, round((e.free_bytes or 0) / GIB, 2)) for e in events if e.kind == "using_device"] == [
        ("CUDA3", 22.93),
        ("CUDA2", 22.93),
    ]
    assert values(events, "kv_cells") == [643232]
    assert values(events, "progress") == [0.35, 0.7, 0.8, 0.98]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "(VllmWorker rank=1 pid=85) INFO 06-01 10:00:00 [gpu_model_runner.py:1] Model loading took 7.1234 GiB and 3.123456 seconds",
            ("CUDA1", "weights", 7.12),
        ),
        (said("EngineCore", "Model loading took 7.5 GiB and 3.1 seconds"), ("CUDA0", "weights", 7.5)),
        (said("EngineCore_DP0", "Model loading took 7.5 GiB memory and 3.1 seconds"), ("CUDA0", "weights", 7.5)),
        (said("Worker_TP3", "Graph capturing finished in 12 secs, took 0.55 GiB"), ("CUDA3", "graphs", 0.55)),
        (said("Worker_PP2", OLD_LEDGER), ("CUDA2", "weights", 19.47)),
    ],
)
def test_older_spellings(line: str, expected: tuple[str, str, float]) -> None:
    device, buffer, size = expected
    assert gibs(read(line))[device, buffer] == size


@pytest.mark.parametrize(
    ("line", "kind", "value"),
    [
        ("INFO 06-01 10:00:00 [kv_cache_utils.py:1] GPU KV cache size: 12,345 tokens", "kv_cells", 12345),
        (
            said("APIServer", "Auto-fit max_model_len: full model context length 4,096 fits in available KV cache memory (9.1 GiB GPU)"),
            "request_context",
            None,
        ),
        (said("APIServer", "Using max model len 32768"), "request_context", 32768),
        (said("EngineCore", "torch.compile takes 21.52 s in total"), "progress", 0.9),
    ],
)
def test_single_lines(line: str, kind: str, value: float | None) -> None:
    assert values(read(line), kind) == ([] if value is None else [value])


def test_the_end_of_loading_is_told_in_every_version() -> None:
    older = read(
        "(APIServer pid=1) INFO 08-01 10:00:00 [api_server.py:1] Starting vLLM API server 0 on http://127.0.0.1:8000\n(APIServer pid=1) INFO:     Application startup complete."
    )
    assert [event.kind for event in older] == ["listening", "ready"]


def test_an_error_names_the_card_of_its_worker() -> None:
    (event,) = read(said("Worker_TP1", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "ERROR"))
    assert (event.kind, event.device) == ("error", "CUDA1")
    assert read("vllm serve: error: unrecognized arguments: --frob")[0].kind == "error"
    assert read("  warnings.warn('resource_tracker: There appear to be %d '") == []


def test_control_sequences_do_not_reach_the_screen() -> None:
    (event,) = read("(Worker pid=1) ERROR 11-21 00:59:33 [a.py:1] \x1b[31mValueError: \x1b]0;title\x07no\x1b[0m")
    assert (event.text, event.line) == ("ValueError: no", "ValueError: no")


@settings(max_examples=150)
@given(st.data())
def test_any_line_can_be_read(data: st.DataObject) -> None:
    """Also one that is cut, doubled or mixed with another."""
    lines = [
        *(LOGS / "cpu_default_util.log").read_text().split("\n"),
        said("Worker_PP1_TP1", LEDGER),
        said("APIServer", "non-default args: {'max_num_seqs': 9}"),
    ]
    first, second = data.draw(st.sampled_from(lines)), data.draw(st.sampled_from(lines) | st.text(max_size=200))
    cut = data.draw(st.integers(0, len(first)))
    for event in read(first[:cut] + second + first[cut:]):
        assert event.kind
        assert event.bytes is None or event.bytes > 0

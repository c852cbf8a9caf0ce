# ruff: noqa: E501  (log lines are as long as they are)
"""Logs of real llama-servers become the events that they tell of."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigtui.engines.engine import Build, Event
from rigtui.engines.llamacpp.loglines import MAX_LINE, readable
from rigtui.engines.llamacpp.reader import Reader
from rigtui.text import MIB, clean

LOGS = Path(__file__).resolve().parents[1] / "logs" / "llamacpp"
BUILD = Build(engine="llama.cpp", label="", version="1", argv=("llama-server",), options=frozenset({"--log-jsonl"}))


def read(text: str, build: Build = BUILD) -> list[Event]:
    reader = Reader(build)
    return [event for line in text.split("\n") for event in reader.feed(line)]


def log(name: str) -> list[Event]:
    return read((LOGS / name).read_text(errors="replace"))


def values(events: list[Event], kind: str) -> list[float | None]:
    return [event.value for event in events if event.kind == kind]


def texts(events: list[Event], kind: str) -> list[str | None]:
    return [event.text for event in events if event.kind == kind]


def buffers(events: list[Event]) -> dict[tuple[str, str], float]:
    """MiB of each buffer, the last that was said."""
    return {(e.device or "", e.buffer or ""): round((e.bytes or 0) / MIB, 2) for e in events if e.kind == "buffer"}


def test_a_whole_load_with_all_its_numbers() -> None:
    events = log("tiny_lv4_fitt16.stderr")
    assert buffers(events) == {
        ("CPU_Mapped", "weights"): 0.04,
        ("CUDA0", "weights"): 0.38,
        ("CUDA1", "weights"): 0.04,
        ("CUDA_Host", "output"): 0.0,
        ("CUDA0", "kv"): 4.0,
        ("CUDA0", "compute"): 17.41,
        ("CUDA1", "compute"): 0.01,
        ("CUDA_Host", "compute"): 16.67,
    }
    assert [(e.device, e.text, e.free_bytes) for e in events if e.kind == "using_device"] == [
        ("CUDA0", "NVIDIA GeForce RTX 4090", 200 * MIB),
        ("CUDA1", "NVIDIA GeForce RTX 3060", 100 * MIB),
    ]
    assert [(e.value, e.total) for e in events if e.kind == "offloaded"] == [(5, 5)]
    assert [(e.value, e.total) for e in events if e.kind == "graph_splits"] == [(3, None)]
    assert values(events, "context") == values(events, "kv_cells") == [4096]
    assert values(events, "slots") == [4]
    assert values(events, "pipeline") == [1]
    assert values(events, "flash_attention") == [1]
    assert texts(events, "version") == ["build 1 (0c1e570)"]
    assert texts(events, "fit")[-1] == "successfully fit params to free device memory"
    assert texts(events, "listening") == ["http://127.0.0.1:23561"]
    assert [(e.text, e.value, e.total) for e in events if e.kind == "timing"] == [("prefill", 26052.10, 52), ("decode", 5988.02, 16)]
    kinds = [e.kind for e in events]
    assert kinds.count("load_started") == kinds.count("ready") == 1
    assert kinds.index("load_started") < kinds.index("buffer") < kinds.index("ready") < kinds.index("listening")
    assert "error" not in kinds


def test_at_the_default_verbosity_little_is_known() -> None:
    events = log("tiny_default.stderr")
    assert [e.kind for e in events] == ["load_started", "slots", "ready", "listening", "timing", "timing"]
    assert values(events, "timing") == [1155.58, 8549.37]


def test_two_caches_of_a_sliding_window_model_add_up() -> None:
    found = buffers(log("real_gpt-oss-120b_mix3.stderr"))
    assert [found[f"CUDA{i}", "kv"] for i in range(3)] == [56 + 14, 48 + 14, 40 + 8]
    assert [found[f"CUDA{i}", "weights"] for i in range(3)] == [21428.14, 22481.20, 10549.37]
    assert [found[f"CUDA{i}", "compute"] for i in range(3)] == [1081.66, 89.39, 100.90]


def test_the_state_of_a_hybrid_model_is_a_kind_of_its_own() -> None:
    events = log("real_qwen3-next-80b_mix2.stderr")
    found = buffers(events)
    assert found["CUDA0", "recurrent"] == found["CUDA1", "recurrent"] == 150.75
    assert (found["CUDA0", "kv"], found["CUDA1", "kv"]) == (40, 56)
    assert values(events, "kv_cells") == [4096]
    assert [(e.value, e.total) for e in events if e.kind == "graph_splits"] == [(68, 37)]
    assert texts(events, "fit")[0] == "context size reduced from 262144 to 4096 -> need 8064 MiB less memory in total"


def test_a_retry_is_a_recovery() -> None:
    events = log("pipeline_retry_ok.stderr")
    assert values(events, "pipeline") == [1, 0]
    assert texts(events, "retry") == ["compute buffer allocation failed, retrying without pipeline parallelism"]
    assert buffers(events)["CUDA1", "compute"] == 14.01
    assert "ready" in [e.kind for e in events]


def test_flash_attention_off_and_a_remote_device() -> None:
    assert values(log("real_llama8b_1xA100_faoff.stderr"), "flash_attention") == [0]
    remote = [(e.device, e.text) for e in log("rpc_client.stderr") if e.kind == "using_device"]
    assert remote[0] == ("RPC0", "127.0.0.1:50099")
    (event,) = read("0.00.000.001 I load_tensors: RPC0[127.0.0.1:50099] model buffer size =    12.50 MiB")
    assert (event.device, event.bytes) == ("RPC0", 12.5 * MIB)


def test_json_lines_and_progress_say_the_same() -> None:
    events = log("child_stop_jsonl.stdout")
    assert [(e.value, e.total) for e in events if e.kind == "offloaded"] == [(13, 17)]
    assert buffers(events)["CPU", "kv"] == 16
    assert [(e.value, e.total) for e in events if e.kind == "graph_splits"] == [(47, 3)]
    assert texts(events, "listening") == ["http://127.0.0.1:23112"]
    progress = [value or 0 for value in values(log("child_progress_qwen30b.stdout"), "progress")]
    assert len(progress) > 50
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0, 1)


def test_progress_counts_the_stages() -> None:
    line = '0.1 I cmd_child_to_router:state:{"state":"loading","payload":{"stages":["text_model","mmproj_model"],"current":"mmproj_model","value":0.5}}'
    assert [e.value for e in read(line) if e.kind == "progress"] == [0.75]


def test_json_is_read_only_where_the_build_offers_it() -> None:
    line = '{"type":"log","time":1,"level":"info","msg":"srv  llama_server: model loaded\\n"}'
    assert [e.kind for e in read(line)] == ["ready"]
    assert read(line, Build(engine="llama.cpp", label="", version="1", argv=("x",))) == []


def test_what_the_fit_rehearses_is_no_allocation() -> None:
    """With debug output the probes of --fit log whole loads; only what follows is real."""
    rehearsal = """0.00.000.001 I cmn  common_init_: fitting params to device memory ...
0.00.000.002 D load_tensors: offloaded 3/5 layers to GPU
0.00.000.002 D load_tensors:        CUDA0 model buffer size =   100.00 MiB
0.00.000.003 D llama_context: constructing llama_context
0.00.000.003 D llama_context: n_ctx                 = 8192
0.00.000.003 D llama_kv_cache:      CUDA0 KV buffer size =     0.00 MiB
0.00.000.004 I common_fit_params: fitting params to free memory took 0.01 seconds
"""
    real = rehearsal.replace("100.00", "7.00").replace("8192", "4096").replace("3/5", "5/5").split("\n", 1)[1].rsplit("\n", 2)[0]
    events = read(rehearsal + real)
    assert buffers(events) == {("CUDA0", "weights"): 7, ("CUDA0", "kv"): 0}
    assert values(events, "context") == [4096]
    assert values(events, "offloaded") == [5]


def test_a_draft_model_adds_its_memory_and_not_its_context() -> None:
    events = read(
        "\n".join(
            f"0.00.000.001 I llama_context: constructing llama_context\n"
            f"0.00.000.001 I llama_context: n_ctx                 = {context}\n"
            f"0.00.000.001 I llama_kv_cache:      CUDA0 KV buffer size =    {kv}.00 MiB\n"
            f"0.00.000.001 I sched_reserve: reserving ...\n"
            f"0.00.000.001 I sched_reserve:      CUDA0 compute buffer size =    10.00 MiB\n"
            f"0.00.000.001 I sched_reserve: reserving ...\n"
            f"0.00.000.001 I sched_reserve:      CUDA0 compute buffer size =    {compute}.00 MiB"
            for context, kv, compute in ((4096, 40, 20), (1024, 5, 3))
        )
    )
    assert values(events, "context") == [4096]
    assert buffers(events) == {("CUDA0", "kv"): 45, ("CUDA0", "compute"): 23}


def test_caches_that_are_not_shared_have_cells_per_slot() -> None:
    line = "0.00.000.001 I llama_kv_cache: size =   13.00 MiB ( 32768 cells,   4 layers,  2/2 seqs), K (q8_0):    8.50 MiB, V (q4_0):    4.50 MiB"
    assert values(read(line), "kv_cells") == [65536]


def test_older_builds_are_understood() -> None:
    events = read(
        "build: 6500 (abc123) with cc\nload_tensors: offloaded 33/33 layers to GPU\nload_tensors:        CUDA0 model buffer size =  4095.05 MiB\n"
        "llama_context: graph splits = 69 (with bs=512), 3 (with bs=1)\nllama_context:      CUDA0 compute buffer size =   258.50 MiB\n"
        "main: server is listening on http://127.0.0.1:8080 - starting the main loop"
    )
    assert [(e.value, e.total) for e in events if e.kind == "graph_splits"] == [(69, 3)]
    assert buffers(events) == {("CUDA0", "weights"): 4095.05, ("CUDA0", "compute"): 258.5}
    assert texts(events, "listening") == ["http://127.0.0.1:8080"]


def test_a_model_s_text_cannot_speak_for_the_engine() -> None:
    """The chat template is printed as the rest of a message."""
    events = read(
        "0.00.000.001 I srv          init: init: chat template, example_format: '<|im_start|>\nmodel loaded\nlistening on http://evil:1\n'"
    )
    assert events == []


def test_errors_carry_their_line() -> None:
    errors = [e for e in log("oom_kv.stderr") if e.kind == "error"]
    assert errors[1].line == "alloc_tensor_range: failed to allocate CUDA0 buffer of size 92274688"
    assert [e.text for e in read("error: invalid argument: --log-jsonl\x1b[0m")] == ["error: invalid argument: --log-jsonl"]


@pytest.mark.parametrize("name", sorted(path.name for path in LOGS.iterdir() if path.suffix in {".stderr", ".stdout"}))
def test_every_log_is_read_to_the_end(name: str) -> None:
    """Everything that served says so; sizes are sizes."""
    text = (LOGS / name).read_text(errors="replace")
    events = read(text)
    assert ("listening" in [e.kind for e in events]) == ("listening on http" in text)
    assert all((e.bytes or 0) >= 0 for e in events)


def sound(event: Event) -> bool:
    """Its texts can be written to a terminal as they are, its numbers are sizes, counts, shares or speeds."""
    said = [text for text in (event.text, event.line, event.device) if text is not None]
    numbers = [number for number in (event.bytes, event.free_bytes, event.value, event.total) if number is not None]
    return all(text == clean(text) and len(text) <= MAX_LINE for text in said) and all(0 <= number < inf for number in numbers)


@given(st.lists(st.one_of(st.text(), st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")))))
def test_whatever_was_logged_is_shown_clean_and_the_next_error_is_still_seen(lines: list[str]) -> None:
    reader = Reader(BUILD)
    assert all(sound(event) for line in lines for event in reader.feed(line))
    assert texts(reader.feed("0.00.000.001 E CUDA error: out of memory"), "error") == ["CUDA error: out of memory"]


_PIECES = [
    "0.00.000.001 I ",
    "0.00.000.001 E ",
    "load_tensors: ",
    "CUDA0 ",
    " model buffer size = ",
    "99999999999999999999",
    "1.5 MiB",
    "llama_context: n_ctx  = ",
    '{"type":"log","msg":"',
    '"}',
    "{" * 5000,
    "[" * 5000,
    "cmd_child_to_router:state:",
    '{"state":"loading","payload":{"value":1e999}}',
    " eval time = ",
    "\ud800",
    "\x1b[31m",
    " buffer size = " * 500,
    "using device CUDA0 (" + "(" * 3000,
    "x" * 70_000,
    " " * 70_000,
    "9" * 70_000,
    "graph: nodes = 1, splits = ",
    "٣",
]


@given(st.lists(st.sampled_from(_PIECES), max_size=8).map("".join))
def test_so_are_broken_log_lines(line: str) -> None:
    reader = Reader(BUILD)
    assert all(sound(event) for event in reader.feed(line))
    assert texts(reader.feed("0.00.000.001 E CUDA error: out of memory"), "error") == ["CUDA error: out of memory"]


def test_a_line_is_read_up_to_64_kib() -> None:
    assert read("0.00.000.001 E " + "x" * 200_000)[0].text == "x" * (65536 - 15)


def test_a_log_is_shown_as_text_whichever_way_it_is_written() -> None:
    assert readable('{"type":"log","time":1,"level":"info","msg":"one\\ntwo\\u001b[2J\\n"}') == [("info", "one"), ("info", "two")]
    assert readable('{"type":"fit_memory_breakdown","data":{}}') == []
    assert readable('{"type": broken') == [(None, '{"type": broken')]
    assert readable("0.00.001.074 I srv  llama_server: hello\r\n") == [("info", "0.00.001.074 I srv  llama_server: hello")]

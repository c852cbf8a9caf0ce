# ruff: noqa: E501  (log lines are as long as they are)
"""Each way an engine can end has its code, a sentence, and the line that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigtui.engines.engine import Build, Event, Failure
from rigtui.engines.llamacpp.diagnose import diagnose
from rigtui.engines.llamacpp.reader import Reader

LOGS = Path(__file__).resolve().parents[1] / "logs" / "llamacpp"
BUILD = Build(engine="llama.cpp", label="", version="1", argv=("llama-server",))


def of(lines: list[str], exit_code: int | None = 1, signal: int | None = None, asked: bool = False) -> Failure:
    reader = Reader(BUILD)
    events = [event for line in lines for event in reader.feed(line)]
    return diagnose(events, lines[-400:], exit_code, signal, asked)


@pytest.mark.parametrize(
    ("name", "exit_code", "signal", "stage", "size"),
    [
        ("oom_weights", 1, None, "weights", 43503616),
        ("oom_weights_lv4", 1, None, "weights", 43503616),
        ("fit_ngl99_fails_to_fit", 1, None, "weights", 43503616),
        ("fit_then_stolen", 1, None, "weights", 19318598656),
        ("oom_kv", 1, None, "kv", 92274688),
        ("oom_compute", 1, None, "compute", 13117568),
        ("oom_compute_retry", 1, None, "kv", 46137344),
        ("oom_runtime_pool", None, 6, "runtime", None),
        ("abort_runtime", 134, None, "runtime", None),
    ],
)
def test_out_of_vram(name: str, exit_code: int | None, signal: int | None, stage: str, size: int | None) -> None:
    lines = (LOGS / f"{name}.stderr").read_text().split("\n")
    failure = of(lines, exit_code, signal)
    assert (failure.code, failure.device, failure.stage, failure.asked_bytes) == ("out_of_vram", "CUDA0", stage, size)
    assert failure.line is not None
    assert "out of memory" in failure.line
    # Also when the end of the log has drowned in a backtrace, and when only the end of it is there.
    noise = lines + [f"#{n} 0x0000 in ggml_abort ()" for n in range(500)]
    assert of(noise, exit_code, signal) == failure
    assert diagnose([], lines[-400:], exit_code, signal, False) == failure


def test_memory_that_ran_out_before_a_recovery_is_not_the_reason() -> None:
    lines = (LOGS / "pipeline_retry_ok.stderr").read_text().split("\n")
    assert of(lines, None, 11).code == "crash"
    assert of(lines, 0).code == "crash"


def test_ram_is_not_vram() -> None:
    failure = of(
        [
            "0.00.000.001 E alloc_tensor_range: failed to allocate CPU buffer of size 1000",
            "0.00.000.001 E llama_model_load: error loading model: unable to allocate CPU buffer",
        ]
    )
    assert (failure.code, failure.stage, failure.asked_bytes) == ("out_of_ram", "weights", 1000)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (
            "0.00.000.001 E srv  llama_server: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080",
            "port_in_use",
            "port 8080 on 127.0.0.1",
        ),
        ("0.00.000.001 E gguf_init_from_reader: invalid magic characters: 'hell', expected 'GGUF'", "model_bad", "not a GGUF file"),
        (
            "0.00.000.001 E gguf_init_from_file: failed to open GGUF file 'x.gguf' (No such file or directory)",
            "model_bad",
            "cannot be opened",
        ),
        (
            "0.00.000.001 E llama_model_load: error loading model: tensor 'a' data is not within the file bounds, model is corrupted or incomplete",
            "model_bad",
            "incomplete",
        ),
        (
            "0.00.000.001 E llama_model_load: error loading model: unknown model architecture: 'martian'",
            "unsupported_model",
            "architecture martian",
        ),
        (
            "0.00.000.001 E llama_model_load: error loading model: error loading model vocabulary: unknown pre-tokenizer type: 'm'",
            "unsupported_model",
            "tokenizer m",
        ),
        (
            "0.00.000.001 E gguf_init_from_reader: tensor 'a' has invalid ggml type 119. should be in [0, 43)",
            "unsupported_model",
            "quantization",
        ),
        ("0.00.000.001 E llama_model_load: error loading model: something new", "model_bad", "something new"),
        ("error: invalid argument: --no-mmap", "bad_argument", "--no-mmap"),
        ('error while handling argument "-dev": invalid device: CUDA7', "bad_argument", "invalid device: CUDA7"),
        ("0.00.000.001 E llama_init_from_model: quantized V cache requires flash_attn to be enabled", "bad_argument", "flash attention"),
        ("0.00.000.001 E llama_init_from_model: failed to initialize the context: no such thing", "bad_argument", "no such thing"),
        (
            "0.00.000.001 E ggml_cuda_init: failed to initialize CUDA: CUDA driver version is insufficient for CUDA runtime version",
            "driver",
            "too old",
        ),
        (
            "0.00.000.001 E ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected",
            "driver",
            "no CUDA-capable device",
        ),
        ("x: error while loading shared libraries: libcuda.so.1: cannot open shared object file: No such file", "driver", "libcuda"),
        (
            "x: error while loading shared libraries: libgomp.so.1: cannot open shared object file: No such file",
            "engine_missing",
            "libgomp.so.1",
        ),
        (
            "x: error while loading shared libraries: libcudart.so.12: cannot open shared object file: No such file",
            "toolkit_missing",
            "libcudart.so.12 of the GPU toolkit",
        ),
        ("0.00.000.001 E CUDA error: unspecified launch failure", "gpu_lost", "unspecified launch failure"),
        ("0.00.000.001 E CUDA error: an illegal memory access was encountered", "crash", "illegal memory access"),
        ("ggml_vulkan: write: No space left on device", "disk_full", "disk is full"),
        ("/src/ggml.c:12: GGML_ASSERT(x > 0) failed", "crash", "GGML_ASSERT(x > 0) failed"),
    ],
)
def test_known_causes(line: str, code: str, words: str) -> None:
    # What follows from the cause is said too, and is not taken for it.
    after = [
        "0.00.000.002 E cmn  common_init_: failed to load model 'x'",
        "0.00.000.002 E srv  llama_server: exiting due to model loading error",
    ]
    failure = of([line, *after])
    assert failure.code == code
    assert words in failure.text
    assert failure.line is not None
    assert failure.line in line


def test_a_lost_card_is_named_by_the_line_below() -> None:
    failure = of(["CUDA error: unspecified launch failure", "  current device: 1, in function synchronize at ggml-cuda.cu:3000"], None, 6)
    assert (failure.code, failure.device) == ("gpu_lost", "CUDA1")


def test_a_lost_card_is_named_behind_what_an_abort_says_past_the_log() -> None:
    """As llama-server 0.5.0-dev wrote it on a busy machine: the abort's own words came before the log's next line."""
    said = [
        "CUDA error: unspecified launch failure",
        "/src/ggml-cuda.cu:44: CUDA error",
        "  current device: 0, in function synchronize at x:0",
    ]
    failure = of(said, None, 6)
    assert (failure.code, failure.device) == ("gpu_lost", "CUDA0")
    assert of([*said[:2], *["another line"] * 9, said[2]], None, 6).device is None, "too far away to be meant"


def test_a_missing_device_is_the_driver_s_fault_where_it_failed_to_start() -> None:
    failure = of(
        ["ggml_cuda_init: failed to initialize CUDA: unknown error", 'error while handling argument "-dev": invalid device: CUDA0']
    )
    assert failure.code == "driver"


@pytest.mark.parametrize(
    ("exit_code", "signal", "asked", "code", "words"),
    [
        (None, 9, False, "killed", "probably the system ran out of memory"),
        (137, None, False, "killed", "probably the system ran out of memory"),
        (None, 15, False, "killed", "another program ended the engine (SIGTERM)"),
        (None, 11, False, "crash", "SIGSEGV"),
        (None, 200, False, "crash", "signal 200"),
        (0, None, False, "crash", "nobody asked"),
        (3, None, False, "exited", "exit status 3: the last error"),
        (0, None, True, "exited", "asked to"),
        (None, 15, True, "exited", "asked to"),
        (None, 9, True, "killed", "while it was stopping"),
    ],
)
def test_how_it_ended(exit_code: int | None, signal: int | None, asked: bool, code: str, words: str) -> None:
    failure = of(["0.00.000.001 I all is well", "0.00.000.001 E the last error"], exit_code, signal, asked)
    assert failure.code == code
    assert words in failure.text
    if not asked:
        assert failure.line == "the last error"


def test_endless_lines_are_cut() -> None:
    failure = diagnose([], [f"0.00.000.001 E {n} GGML_ASSERT(" + "x" * 60_000 for n in range(400)], None, 6, False)
    assert failure.code == "crash"
    assert len(failure.line or "") == 1024


@given(st.lists(st.text()), st.integers(-1, 300) | st.none(), st.integers(0, 70) | st.none(), st.booleans())
def test_every_end_has_a_sentence(lines: list[str], exit_code: int | None, signal: int | None, asked: bool) -> None:
    failure = diagnose([Event(kind="error", text=line) for line in lines], lines, exit_code, signal, asked)
    assert failure.code
    assert failure.text
    assert "\n" not in failure.text

# ruff: noqa: E501  (log lines are as long as they are)
"""Each way a vLLM can end has its code, a sentence, the numbers that the engine gives away, and the line that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rigtui.engines.engine import Build, Failure
from rigtui.engines.vllm.diagnose import diagnose
from rigtui.engines.vllm.reader import Reader
from rigtui.text import GIB, MIB

LOGS = Path(__file__).resolve().parents[1] / "logs" / "vllm"


def of(lines: list[str], exit_code: int | None = 1, signal: int | None = None, *, asked: bool = False, gpu: bool = True) -> Failure:
    reader = Reader(Build(engine="vllm", label="", version="0.33.0", argv=("vllm",), gpu=gpu))
    events = [event for line in lines for event in reader.feed(line)]
    return diagnose(events, lines[-400:], exit_code, signal, asked)


def log(name: str) -> list[str]:
    return (LOGS / f"{name}.log").read_text(errors="replace").split("\n")


def said(process: str, text: str) -> str:
    return f"({process} pid=71) ERROR 11-21 00:59:33 [multiproc_executor.py:953] {text}"


# What follows every failure of a worker at the start.
AFTER = [
    said("EngineCore", "EngineCore failed to start."),
    said("EngineCore", "Traceback (most recent call last):"),
    said("EngineCore", '  File "/venv/vllm/v1/executor/multiproc_executor.py", line 815, in wait_for_ready'),
    said("EngineCore", "    raise e from None"),
    said(
        "EngineCore",
        "Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace for root cause.",
    ),
    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
]


def failed(worker: str, error: str, *functions: str) -> list[str]:
    """A worker's traceback with what follows it."""
    frames = [
        line
        for name in functions
        for line in (said(worker, f'  File "/venv/vllm/v1/worker/gpu_worker.py", line 9, in {name}'), said(worker, "    do()"))
    ]
    return [
        said(worker, "WorkerProc failed to start."),
        said(worker, "Traceback (most recent call last):"),
        *frames,
        said(worker, error),
        *AFTER,
    ]


@pytest.mark.parametrize(
    ("name", "exit_code", "code", "words"),
    [
        ("cpu_default_util", 1, "out_of_ram", "0.82 would pass"),
        ("cpu_kv_too_small", 1, "context_too_long", "384 tokens would fit"),
        ("cpu_maxlen_too_big", 1, "context_too_long", "made for 2,048"),
        ("cpu_tp3", 1, "bad_argument", "4 attention heads cannot be divided over 3 cards"),
        ("cpu_pp2bad", 1, "bad_argument", "adds up to 3 layers, the model has 4"),
        ("cpu_port_in_use", 1, "port_in_use", "--port"),
        ("cpu_pp2", 0, "crash", "assert self.intermediate_tensors is not None"),
        ("cpu_worker_killed", 0, "killed", "killed from outside"),
    ],
)
def test_recorded_failures(name: str, exit_code: int, code: str, words: str) -> None:
    failure = of(log(name), exit_code, gpu=False)
    assert failure.code == code
    assert words in failure.text
    assert failure.line is not None
    # Also when only the end of the log is there, and when it has drowned in something else.
    assert diagnose([], log(name)[-400:], exit_code, None, False).code == code
    assert of(log(name) + ["Route: /health, Methods: GET"] * 500, exit_code, gpu=False).code == code


def test_states_that_find_no_block_name_how_many_do() -> None:
    """vLLM 0.32, config/compilation.py:1519."""
    said = (
        "(EngineCore pid=9) ERROR 11-21 01:00:00 [core.py:900] ValueError: max_num_seqs (256) exceeds available Mamba cache blocks (41). Each "
        "decode sequence requires one Mamba cache block, so CUDA graph capture cannot proceed. Please lower max_num_seqs to at most 41 or "
        "increase gpu_memory_utilization."
    )
    failure = of([said])
    assert (failure.code, failure.stage, failure.sequences) == ("out_of_vram", "kv", 41)
    assert "41 would pass" in failure.text


def test_what_the_engine_says_would_have_passed() -> None:
    share = of(log("cpu_default_util"), gpu=False)
    assert (share.device, share.stage, share.utilization) == ("CPU", "runtime", 0.82)
    assert share.missing_bytes == round((10.78 - 9.63) * GIB)
    assert of(log("cpu_kv_too_small"), gpu=False).context == 384
    assert of(log("cpu_maxlen_too_big"), gpu=False).context == 2048


@pytest.mark.parametrize("device", ["cuda:1 ", ""])
def test_less_free_than_the_share_that_was_asked_for(device: str) -> None:
    line = (
        f"ValueError: Free memory on device {device}(9.75/11.76 GiB) on startup is less than desired GPU memory utilization (0.92, 10.82 GiB). "
        "Decrease GPU memory utilization or reduce GPU memory used by other processes."
    )
    failure = of(failed("VllmWorker-1", line, "init_worker", "init_device"))
    assert (failure.code, failure.device, failure.stage, failure.utilization) == ("out_of_vram", "CUDA1", "runtime", 0.82)
    assert failure.missing_bytes == round((10.82 - 9.75) * GIB)
    assert "0.82 would pass" in failure.text


def test_the_share_that_passes_passes_however_the_sizes_were_rounded() -> None:
    for free in range(100, 2400, 7):
        line = f"ValueError: Free memory on device cuda:0 ({free / 100}/24.0 GiB) on startup is less than desired GPU memory utilization (0.99, 23.76 GiB)."
        found = of([said("EngineCore", line)])
        assert found.utilization is not None
        assert found.utilization * (24.0 + 0.005) <= free / 100 - 0.005
        assert found.utilization >= free / 2400 - 0.011


@pytest.mark.parametrize("models", ["model's", "models's"])
def test_a_request_longer_than_the_kv_cache(models: str) -> None:
    line = (
        f"ValueError: To serve at least one request with the {models} max seq len (32768), (4.0 GiB KV cache is needed, which is larger than the available "
        "KV cache memory (2.31 GiB). Based on the available memory, the estimated maximum model length is 18912. Try increasing `gpu_memory_utilization`"
    )
    failure = of([said("EngineCore", line), *AFTER])
    assert (failure.code, failure.stage, failure.context, failure.missing_bytes) == ("context_too_long", "kv", 18912, round(1.69 * GIB))
    shorter = of(
        [said("EngineCore", line.replace(" Based on the available memory, the estimated maximum model length is 18912.", "")), *AFTER]
    )
    assert (shorter.code, shorter.context) == ("context_too_long", None)
    assert "not even a short one fits" in shorter.text


OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 128.00 MiB. GPU 1 has a total capacity of 7.79 GiB of which 20.69 MiB is free. Including non-PyTorch memory, this process has 7.70 GiB memory in use."


@pytest.mark.parametrize(
    ("functions", "stage"),
    [
        (("worker_main", "__init__", "load_model", "load_model", "_dummy_run"), "weights"),
        (("_execute_worker_rpc", "initialize_from_config", "initialize_kv_cache"), "kv"),
        (("_execute_worker_rpc", "determine_available_memory", "profile_run", "_dummy_run", "load_model"), "compute"),
        (("_execute_worker_rpc", "compile_or_warm_up_model", "capture_model"), "compute"),
        (("_execute_worker_rpc", "execute_model", "_preprocess"), "runtime"),
        ((), None),
    ],
)
def test_out_of_vram_says_where_and_doing_what(functions: tuple[str, ...], stage: str | None) -> None:
    failure = of(failed("Worker_PP1", OOM, *functions))
    assert (failure.code, failure.device, failure.stage) == ("out_of_vram", "CUDA1", stage)
    assert failure.asked_bytes == 128 * MIB
    assert failure.missing_bytes == 128 * MIB - round(20.69 * MIB)


@pytest.mark.parametrize(
    ("line", "device", "stage", "asked"),
    [
        (OOM.replace("capacity", "capacty").replace("torch.", "torch.cuda."), "CUDA1", None, 128 * MIB),
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 23.56 GiB of which 1.25 GiB is free.",
            "CUDA0",
            None,
            round(2.5 * GIB),
        ),
        (
            "Failed to load model - not enough GPU memory. Try lowering --gpu-memory-utilization to free memory for weights (original error: "
            + OOM
            + ")",
            "CUDA1",
            "weights",
            128 * MIB,
        ),
        (
            "RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy requests. Please try lowering `max_num_seqs`",
            "CUDA3",
            "compute",
            None,
        ),
        ("RuntimeError: CUDA error: out of memory", "CUDA3", None, None),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "CUDA3", None, None),
        (
            "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 128.00 MiB. GPU 2 has a total capacity of 7.79 GiB of which 0 bytes is free.",
            "CUDA2",
            None,
            128 * MIB,
        ),
        (
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine.",
            "CUDA3",
            "kv",
            None,
        ),
    ],
)
def test_spellings_of_out_of_vram(line: str, device: str, stage: str | None, asked: int | None) -> None:
    failure = of(failed("Worker_TP3", line))
    assert (failure.code, failure.device, failure.stage, failure.asked_bytes) == ("out_of_vram", device, stage, asked)


def test_ram_is_not_vram() -> None:
    line = "RuntimeError: [enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8589934592 bytes. Error code 12 (Cannot allocate memory)"
    failure = of(failed("Worker_TP0", line, "load_model"))
    assert (failure.code, failure.device, failure.stage, failure.asked_bytes) == ("out_of_ram", "CPU", "weights", 8 * GIB)


def test_the_first_card_that_ran_out_is_named() -> None:
    second = OOM.replace("GPU 1", "GPU 0")
    assert of([*failed("Worker_TP1", OOM, "load_model")[:-6], *failed("Worker_TP0", second, "load_model")]).device == "CUDA1"


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (
            "ValueError: The quantization method gptq_marlin is not supported for the current GPU. Minimum capability: 75. Current capability: 61.",
            "unsupported_model",
            "needs compute capability 7.5, the card has 6.1",
        ),
        (
            "ValueError: Quantization scheme is not supported for the current GPU. Min capability: 100. Current capability: 86.",
            "unsupported_model",
            "10.0, the card has 8.6",
        ),
        (
            "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has compute capability 7.5.",
            "unsupported_model",
            "dtype=half",
        ),
        (
            "ValueError: Model architectures ['FooForCausalLM'] are not supported for now. Supported architectures: dict_keys(['A'])",
            "unsupported_model",
            "['FooForCausalLM']",
        ),
        (
            "ValueError: The checkpoint you are trying to load has model type `foo9` but Transformers does not recognize this architecture.",
            "unsupported_model",
            "foo9",
        ),
        (
            "NotImplementedError: Pipeline parallelism is not supported for this model. Supported models implement the `SupportsPP` interface.",
            "unsupported_model",
            "pipeline",
        ),
        ("ValueError: len(partitions)=2 does not match pp_size=3.", "bad_argument", "names 2 stages, the pipeline has 3"),
        (
            "  Value error, World size (4) is larger than the number of available GPUs (2) in this node.",
            "bad_argument",
            "4 cards were asked for, vLLM sees 2",
        ),
        ("AssertionError: 25 is not divisible by 2", "bad_argument", "25 is not divisible by 2"),
        ("vllm serve: error: unrecognized arguments: --frobnicate 3", "bad_argument", "--frobnicate 3"),
        ("vllm serve: error: argument --max-num-seqs: invalid int value: 'many'", "bad_argument", "max-num-seqs"),
        ("  Value error, max_num_batched_tokens (128) is smaller than max_model_len (2048).", "bad_argument", "max_num_batched_tokens"),
        ("RuntimeError: CUDA error: no kernel image is available for execution on the device", "driver", "no code for one of the cards"),
        (
            "RuntimeError: Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL=DEBUG`",
            "driver",
            "sees no GPU",
        ),
        ("RuntimeError: The NVIDIA driver on your system is too old (found version 12040).", "driver", "too old"),
        ("RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)", "driver", "unhandled system error"),
        (
            "host:1:1 [0] misc/shmutils.cc:1 NCCL WARN Error while creating shared memory segment /dev/shm/nccl-abc (size 7340384)",
            "driver",
            "--ipc=host",
        ),
        ("RuntimeError: CUDA error: unspecified launch failure", "gpu_lost", "unspecified launch failure"),
        ("huggingface_hub.errors.GatedRepoError: 401 Client Error.", "model_bad", "permission"),
        (
            "OSError: /m is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'",
            "model_bad",
            "not there",
        ),
        (
            "safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, file not fully covered",
            "model_bad",
            "incomplete or damaged",
        ),
        ("OSError: [Errno 28] No space left on device", "disk_full", "disk is full"),
        ("ModuleNotFoundError: No module named 'triton'", "engine_missing", "No module named 'triton'"),
        ("importlib.metadata.PackageNotFoundError: No package metadata was found for vllm", "engine_missing", "No package metadata"),
    ],
)
def test_known_causes(line: str, code: str, words: str) -> None:
    for lines in ([line], [*([] if line.startswith(("vllm", "host")) else [said("EngineCore", line)]), line, *AFTER]):
        failure = of(lines)
        assert (failure.code, words in failure.text) == (code, True), failure.text
        assert failure.line == line.strip()


def test_an_unknown_error_is_shown_and_what_follows_from_it_is_not() -> None:
    failure = of(failed("Worker_TP0", "RuntimeError: something nobody has seen yet", "load_model"))
    assert (failure.code, failure.line) == ("exited", "RuntimeError: something nobody has seen yet")
    assert "exit status 1" in failure.text


def test_ending_by_itself_is_a_crash_even_with_exit_code_0() -> None:
    assert of(log("cpu_start"), 0, gpu=False).code == "crash"
    assert of(log("cpu_start"), 0, asked=True, gpu=False).code == "exited"
    assert of(log("cpu_start"), None, 15, asked=True, gpu=False).code == "exited"


@pytest.mark.parametrize(
    ("ended", "code", "words"),
    [("-9", "killed", "the worker of CUDA1 was killed"), ("None", "killed", "CUDA1"), ("-11", "crash", "ended by signal 11")],
)
def test_a_worker_that_died(ended: str, code: str, words: str) -> None:
    lines = [
        said("EngineCore", f"Worker proc VllmWorker-1 died unexpectedly (exit code: {ended}), shutting down executor."),
        said("EngineCore", "RuntimeError: Executor failed."),
    ]
    failure = of(lines, 0)
    assert (failure.code, failure.device, words in failure.text) == (code, "CUDA1", True)


@pytest.mark.parametrize(("exit_code", "signal"), [(None, 9), (137, None)])
def test_killed(exit_code: int | None, signal: int | None) -> None:
    assert of(log("cpu_start"), exit_code, signal, gpu=False).code == "killed"


@settings(max_examples=60)
@given(st.data())
def test_any_end_of_a_log_has_a_reason(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(path.stem for path in LOGS.iterdir())))
    lines = log(name)
    cut = lines[: data.draw(st.integers(0, len(lines)))] + data.draw(st.lists(st.text(max_size=80), max_size=3))
    failure = of(cut, *data.draw(st.sampled_from([(0, None), (1, None), (None, 6), (None, 9)])), gpu=False)
    assert failure.code
    assert "\n" not in failure.text

"""The log of a dry run: a real one, and whatever else an engine may say."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rigtui.engines.llamacpp.dryrun_log import Answer, DryRunLog
from rigtui.text import MIB

REAL = (Path(__file__).parents[1] / "logs" / "llamacpp" / "dryrun_tiny_2gpu.jsonl").read_text(encoding="utf-8").splitlines()


def read(lines: list[str]) -> tuple[Answer | None, int]:
    """The answer, and after how many lines it was there."""
    log = DryRunLog()
    for number, line in enumerate(lines):
        if log.feed(line):
            return log.answer, number
    return log.answer, len(lines)


def test_a_real_dry_run_is_understood_before_the_first_buffer() -> None:
    answer, at = read(REAL)
    assert answer is not None
    assert answer.layers == ("CUDA0",) * 6 + ("CUDA1",)
    assert [(row.device, row.free) for row in answer.rows] == [("CUDA0", 64 * MIB), ("CUDA1", 64 * MIB)]
    decided = next(number for number, line in enumerate(REAL) if "fitting params to free memory took" in line)
    allocated = next(number for number, line in enumerate(REAL) if number > decided and "model buffer size" in line)
    assert decided < at < allocated
    # What was then really allocated stands further below: the answer is that, but for what pipeline parallelism overstates.
    real = next(line for line in REAL[allocated:] if "CUDA0 compute buffer size" in line)
    assert f"{answer.rows[0].compute / MIB:.2f} MiB" in json.loads(real)["msg"]
    assert answer.gave_up is None


def test_a_dry_run_that_ends_early_has_no_answer() -> None:
    decided = next(number for number, line in enumerate(REAL) if "fitting params to free memory took" in line)
    assert read(REAL[:decided]) == (None, decided)
    assert read([]) == (None, 0)


def test_the_last_error_is_kept() -> None:
    log = DryRunLog()
    log.feed('{"type":"log","time":1,"level":"error","msg":"llama_model_load: error loading model: \\u001b[31mbad\\n"}')
    assert log.problem == "llama_model_load: error loading model: bad"


def test_what_is_said_of_the_arguments_before_there_is_a_log_is_an_error() -> None:
    log = DryRunLog()
    for line in ("warning: no usable GPU found", "\x1b[31merror: invalid argument: --nonsense\x1b[0m", "", "usage: llama-server"):
        log.feed(line)
    assert log.problem == "error: invalid argument: --nonsense"


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_log_never_raises(data: st.DataObject) -> None:
    lines = list(REAL)
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["drop", "cut", "swap", "junk"])):
            case "drop":
                del lines[at:]
                lines = lines or [""]
            case "cut":
                lines[at] = lines[at][: data.draw(st.integers(0, 200))]
            case "swap":
                other = data.draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case "junk":
                lines[at] = data.draw(st.text(max_size=80))
    answer, _ = read(lines)
    assert answer is None or len(answer.layers) > 0

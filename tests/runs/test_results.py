"""Results of runs: kept for good, whatever happens to the file."""

from __future__ import annotations

import threading
import tomllib
from typing import Any

import pytest
from msgspec.structs import replace

from rigtui.errors import RigtuiError
from rigtui.planning.outcomes import Trial
from rigtui.runs import identity, memory, results
from rigtui.runs.results import (
    AttemptResult,
    ResultDevice,
    ResultGpu,
    RunResult,
    load_results,
    mark_forgotten,
    move_results,
    record,
    results_path,
    without_secrets,
)


def a_result(run: str, **attempt: Any) -> RunResult:
    device = ResultDevice(
        device="CUDA0", uuid="GPU-1", name="A", layers=3, headroom_bytes=128 << 20, planned_bytes=5 << 30, peak_bytes=6 << 30
    )
    fields: dict[str, Any] = {
        "outcome": "ready", "context": 8192, "context_per_slot": 8192, "parallel": 1, "kv_type": ("q8_0", "q8_0"),
        "split_mode": "layer", "decode_tok_s": 51.5, "devices": (device,),
    }  # fmt: skip
    return RunResult(
        run=run, started="2026-03-01T10:00:00Z", node="desk", profile="coder", model="tiny", use_case="chat", engine="llama.cpp",
        build="b1", outcome="ready", command=("llama-server",), attempt=(AttemptResult(**{**fields, **attempt}),),
    )  # fmt: skip


def test_runs_are_appended_and_a_later_word_about_a_run_takes_its_place() -> None:
    record("coder", a_result("a"))
    record("coder", a_result("b"))
    record("coder", a_result("a", decode_tok_s=99.0))
    assert [(r.run, r.attempt[0].decode_tok_s) for r in load_results("coder")] == [("a", 99.0), ("b", 51.5)]


def test_the_file_has_the_contracts_names_and_leaves_out_what_is_unknown() -> None:
    record("coder", a_result("a"))
    run = tomllib.loads(results_path("coder").read_text())["run"][0]
    assert {"node", "engine", "build", "use_case", "command", "simulated", "outcome"} <= run.keys()
    attempt = run["attempt"][0]
    assert attempt["decode_tok_s"] == 51.5
    assert attempt["devices"][0]["planned_bytes"] == 5 << 30
    assert attempt["devices"][0]["peak_bytes"] == 6 << 30
    assert not {"ttft_s", "prefill_tok_s", "load_s", "graph_splits", "kv_tokens", "failure", "line"} & attempt.keys()
    assert "driver" not in run


@pytest.mark.parametrize("damage", ["run = 3\n", "[[run]\nrun = ", '[[run]]\nrun = "cut off', "\x00\x01"])
def test_a_damaged_file_is_kept_aside_and_nothing_is_lost(damage: str) -> None:
    path = results_path("coder")
    path.parent.mkdir(parents=True)
    path.write_text(damage)
    with pytest.raises(RigtuiError, match=r"coder\.toml"):
        load_results("coder")
    warning = record("coder", a_result("a"))
    assert warning is not None
    assert "coder.toml.damaged-1" in warning
    assert path.with_name("coder.toml.damaged-1").read_text() == damage
    assert [r.run for r in load_results("coder")] == ["a"]


def test_a_model_is_known_by_all_names_its_runs_were_kept_under_on_the_cards_that_are_here() -> None:
    card = replace(a_result("a"), fingerprint="f", node=identity.node(), gpus=(ResultGpu(uuid="GPU-1", name="A"),))
    record("tiny", replace(card, run="other cards", started="2026-03-01T09:00:00Z", gpus=(ResultGpu(uuid="GPU-2", name="B"),)))
    record("tiny", replace(card, run="plain", profile=None))
    record("coder", replace(card, run="named", started="2026-03-02T10:00:00Z"))
    record("coder", replace(card, run="other model", fingerprint="g"))
    record("coder", replace(card, run="other machine", node="elsewhere"))
    record("coder", replace(card, run="trial", trial=Trial(tuning="t")))
    assert [run.run for run in memory.of_model("f")] == ["plain", "named"]
    assert memory.of_model("") == memory.of_model("never run") == ()


def test_what_a_newer_rigtui_wrote_survives_an_append() -> None:
    record("coder", a_result("a"))
    path = results_path("coder")
    path.write_text("[[run]]\nfrom_the_future = 7\n" + path.read_text())
    record("coder", a_result("b"))
    assert "from_the_future = 7" in path.read_text()
    with pytest.raises(RigtuiError, match=r"coder\.toml holds a run that cannot be read"):
        load_results("coder")


def test_a_file_of_an_older_rigtui_is_read_and_what_it_lacks_is_unknown() -> None:
    path = results_path("coder")
    path.parent.mkdir(parents=True)
    path.write_text(
        """[[run]]
run = "a"
started = "2026-01-01T00:00:00Z"
node = "desk"
model = "tiny"
use_case = "chat"
engine = "llama.cpp"
build = "b1"
outcome = "ready"
command = ["llama-server"]
gpus = [{uuid = "GPU-1", name = "A"}]

[[run.attempt]]
outcome = "ready"
context = 8192
context_per_slot = 8192
parallel = 1
kv_type = ["f16", "f16"]
split_mode = "layer"
devices = [{device = "CUDA0", name = "A", layers = 3, headroom_bytes = 1, planned_bytes = 2}]
"""
    )
    (run,) = load_results("coder")
    assert run.requested is None
    assert run.gpus[0].total_bytes is None
    assert run.attempt[0].devices[0].free_before_bytes is None


def test_writers_at_the_same_time_lose_nothing() -> None:
    threads = [threading.Thread(target=record, args=("coder", a_result(f"r{n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {r.run for r in load_results("coder")} == {f"r{n}" for n in range(8)}


def test_a_full_file_gives_its_older_half_to_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "_FULL_BYTES", 4000)
    for n in range(12):
        record("coder", a_result(f"r{n}"))
    path = results_path("coder")
    assert path.stat().st_size <= 4000
    everything = "".join(p.read_text() for p in path.parent.glob("coder*.toml"))
    assert all(everything.count(f'run = "r{n}"') == 1 for n in range(12))
    assert load_results("coder")[-1].run == "r11"


def test_no_results_is_an_empty_list() -> None:
    assert load_results("never-run") == []


@pytest.mark.parametrize("name", ["../../escape", "/etc/passwd", "a/b", "..", "with space"])
def test_a_name_cannot_leave_the_results_folder(name: str) -> None:
    assert results_path(name).parent == results_path("plain").parent
    assert results_path(name).name not in {"..toml", "...toml"}


def test_a_name_with_dots_is_kept_as_it_is() -> None:
    assert results_path("qwen3.5-27b").name == "qwen3.5-27b.toml"


def test_secrets_do_not_reach_the_results() -> None:
    argv = ("llama-server", "--api-key", "s3cret", "--hf-token=hf_123", "-hft", "tok", "-m", "x", "--api-key-file", "/keys")
    shown = without_secrets(argv)
    assert not {"s3cret", "tok"} & set(shown)
    assert "hf_123" not in " ".join(shown)
    assert shown[-4:] == ("-m", "x", "--api-key-file", "/keys")


def named(run: str, model: str, profile: str | None) -> RunResult:
    return replace(a_result(run), model=model, profile=profile)


def test_a_renamed_profile_takes_its_own_runs_along_and_leaves_those_of_a_model_of_its_name() -> None:
    for one in (named("a", "alpha", None), named("b", "beta", "alpha")):
        record("alpha", one)
    move_results("alpha", "omega")
    assert [run.run for run in load_results("alpha")] == ["a"]
    assert [run.run for run in load_results("omega")] == ["b"]
    move_results("omega", "zeta")
    assert load_results("omega") == [] and [run.run for run in load_results("zeta")] == ["b"]
    move_results("alpha", "late")
    assert [run.run for run in load_results("alpha")] == ["a"]


def test_a_name_forgets_its_profile_and_its_model_under_every_profile_and_nothing_else() -> None:
    record("alpha", named("a", "alpha", None))
    record("alpha", named("b", "beta", "alpha"))
    record("other", named("c", "alpha", "other"))
    record("other", named("d", "beta", "other"))
    assert mark_forgotten("alpha", forgotten=True) == 3
    forgotten = {run.run: run.forgotten for name in ("alpha", "other") for run in load_results(name)}
    assert forgotten == {"a": True, "b": True, "c": True, "d": False}

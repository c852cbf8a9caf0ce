"""`rigtui results` and `rigtui forget`: what was learned, and how to unlearn it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from msgspec.structs import replace

from planning.past import BUILD, a_device, a_run, an_attempt, more_headroom, out_of_vram, planned
from planning.toys import gpu, intent, rig, toy_model
from rigtui.cli.main import main
from rigtui.runs import memory
from rigtui.runs.results import record, results_path
from rigtui.text import MIB

RIG = rig(gpu(0, 700), gpu(1, 700))
MODEL = toy_model()
ASKED = intent()
LESSON = more_headroom("GPU-1", 300)


@pytest.fixture(autouse=True)
def stored() -> None:
    first, second = planned(RIG, MODEL, ASKED), planned(RIG, MODEL, ASKED, (LESSON,))
    devices = (a_device(second.devices[0]), a_device(second.devices[1], peak_bytes=second.devices[1].used_bytes + 20 * MIB))
    attempts = (out_of_vram(first, ASKED, 1, 100), an_attempt(second, ASKED, (LESSON,), devices=devices, change="more headroom on GPU-1"))
    record("coder", a_run(RIG, MODEL, ASKED, *attempts, profile="coder"))


def test_results_show_what_failed_what_changed_the_peaks_and_the_lesson(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "coder"]) == 0
    text = capsys.readouterr().out
    assert "attempt 1: as planned" in text
    assert "failed: out_of_vram" in text
    assert "missing: 100 MiB on CUDA1" in text
    assert "attempt 2: more headroom on GPU-1" in text
    assert "(as planned)" in text
    assert "(20 MiB more)" in text
    assert "lesson: from now on GPU-1 keeps 300 MiB free" in text
    assert "lesson: beside its buffers the engine takes 20 MiB on Card 1, not 0 MiB: plans count with that" in text


@pytest.mark.parametrize("name", ["coder", "toy"])
def test_forgotten_runs_are_marked_stay_readable_and_bind_no_more(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    held = memory.derive(RIG, MODEL, ASKED, [BUILD])
    assert [c.origin for c in held.constraints] == ["lesson"]
    before = results_path("coder").read_bytes()
    assert main(["forget", name]) == 0
    assert "1 run of" in capsys.readouterr().err
    (run,) = tomllib.loads(results_path("coder").read_text())["run"]
    assert run["forgotten"] is True
    assert main(["results", "coder", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["attempt"][0]["failure"] == "out_of_vram"
    assert memory.lessons().runs == ()
    assert main(["forget", name]) == 2
    assert main(["forget", name, "--undo"]) == 0
    assert len(memory.lessons().runs) == 1
    assert tomllib.loads(results_path("coder").read_text()) == tomllib.loads(before.decode())


def test_a_run_that_goes_on_does_not_take_the_mark_back() -> None:
    assert main(["forget", "coder"]) == 0
    record("coder", a_run(RIG, MODEL, ASKED, an_attempt(planned(RIG, MODEL, ASKED), ASKED), profile="coder"))
    assert memory.lessons().runs == ()


def test_to_forget_what_was_never_measured_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forget", "nobody"]) == 2
    assert "nothing of nobody" in capsys.readouterr().err
    assert not results_path("nobody").exists()


def test_a_damaged_file_teaches_nothing_and_the_others_still_do() -> None:
    results_path("bad").write_text("run = 3\n")
    assert [run.profile for run in memory.lessons().runs] == ["coder"]


def test_results_of_a_profile_leave_out_runs_of_a_model_of_its_name(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = a_run(RIG, MODEL, ASKED, an_attempt(planned(RIG, MODEL, ASKED), ASKED), profile=None)
    record("coder", replace(alone, run="a10e"))
    assert main(["results", "coder", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 2, "no profile has the name: it is the model's"
    profiles = home / ".config" / "rigtui" / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "coder.toml").write_text('[profile]\nname = "coder"\nmodel = "toy.gguf"\n')
    assert main(["results", "coder", "--json"]) == 0
    assert [run["profile"] for run in json.loads(capsys.readouterr().out)["runs"]] == ["coder"]

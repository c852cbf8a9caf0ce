"""The screen in a real terminal, with a real engine: what a person does with the keyboard alone."""

from __future__ import annotations

import re
import time
import tomllib
from pathlib import Path

import pytest

import nvml_stub as stub
from rigtui.paths import config_dir, data_dir
from rigtui.runs import watch
from runs.support import wait_until
from tools.make_gguf import tiny_llama

pytestmark = pytest.mark.engine


@pytest.fixture
def models(home: Path) -> Path:
    folder = home / "models"
    folder.mkdir()
    tiny_llama(folder / "alpha.gguf", name="alpha", context=8192)
    tiny_llama(folder / "beta.gguf", name="beta", context=8192)
    return folder


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
def test_pick_plan_launch_leave_return_and_stop(terminal, models, size):
    first = terminal(*size)
    first.wait("alpha", "beta", "KV cache", "l launch")

    first.keys("Down")
    first.wait("model     beta")
    first.keys("u")
    first.wait("‹ coding ›")
    first.keys("[")
    yours = "4,096 (yours)" if size > (80, 24) else "*context   ‹ 4,096 ›"
    first.wait(yours, "4,096 tokens of 8,192 trained")

    first.keys("l")
    screen = first.wait("ready", "http://127.0.0.1:", "tok/s")
    url = re.search(r"http://127\.0\.0\.1:(\d+)/v1", screen)
    assert url
    (run,) = watch.live_runs()
    assert (run.model_path, run.context, run.port) == (str(models / "beta.gguf"), 4096, int(url[1]))

    first.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:  # long enough for a signal to do harm
        (still,) = watch.live_runs()
        assert still.run == run.run and still.phase == "ready"
        time.sleep(0.5)

    second = terminal(*size)
    second.wait(f"ready :{run.port}", "model     beta", "‹ coding ›", yours, url[0])
    assert [one.run for one in watch.live_runs()] == [run.run]
    second.keys("s")
    second.wait("Leave it running")
    second.keys("Enter")
    second.wait("stopped", gone="ready :")
    assert watch.live_runs() == []
    second.keys("q")
    second.wait("LEFT")


def test_ask_save_and_find_the_result(terminal, models):
    screen = terminal(80, 24)
    screen.wait("alpha", "KV cache")
    screen.keys("/")
    screen.text("beta")
    screen.wait("model     beta")
    screen.keys("Enter")
    screen.keys("p")
    screen.wait("Save as a profile", "beta")
    screen.keys("Enter")
    screen.wait("saved as")
    (profile,) = (config_dir() / "profiles").glob("*.toml")
    name = tomllib.loads(profile.read_text())["profile"]["name"]
    screen.keys("l")
    screen.wait("ready", "tok/s", "asks a test question")
    screen.keys("a")
    screen.wait("Ask", "Enter asks")
    screen.keys("Enter")
    screen.wait("/chat/completions", "first token")  # which stands below an answer that has come
    screen.keys("Escape")
    screen.wait(gone="POST http")
    result = data_dir() / "results" / f"{name}.toml"
    wait_until(result.exists, "the run has a result")
    assert tomllib.loads(result.read_text())["run"][0]["attempt"][0]["decode_tok_s"] > 0
    screen.keys("q")
    farewell = screen.wait("LEFT", "keeps running")
    assert "rigtui stop" in " ".join(farewell.split())
    assert len(watch.live_runs()) == 1


def test_cards_as_the_driver_tells_them_and_as_they_change(terminal, models, nvml_stub):
    rig = nvml_stub(stub.RTX_4090 + stub.RTX_5070_TI)
    screen = terminal(80, 24)
    shown = screen.wait("0 RTX 4090", "1 RTX 5070 Ti", "RAM", "alpha")
    assert all(len(line) <= 80 for line in shown.splitlines())
    before = re.search(r"0 RTX 4090 .* ([0-9.]+) GiB", shown)
    assert before
    rig.write((stub.RTX_4090 + stub.RTX_5070_TI).replace("held_mib 12", "held_mib 9012"))
    after = f"{float(before[1]) - 8.8:.1f} GiB"
    screen.wait(after)


def test_a_machine_with_nothing_says_what_to_do_and_takes_a_folder(terminal, home, tmp_path):
    folder = tmp_path / "gguf"
    folder.mkdir()
    tiny_llama(folder / "gamma.gguf", name="gamma")
    screen = terminal(80, 24)
    screen.wait("No models found yet", "rigtui demo", "No GPU can be used")
    screen.keys("f")
    screen.wait("Add a model folder")
    screen.keys("C-u")
    screen.text(str(folder))
    screen.keys("Enter")
    screen.wait("model     gamma")
    assert str(folder) in (config_dir() / "config.toml").read_text()
    screen.keys("?")
    screen.wait("Help", "Launch the engine")
    screen.keys("Escape")
    screen.wait(gone="Launch the engine")
    screen.keys("q")
    screen.wait("LEFT")


def test_a_window_that_changes_its_size_is_drawn_anew(terminal, models, nvml_stub):
    nvml_stub(stub.MIXED)
    for number in range(4):
        tiny_llama(models / f"gamma-{number}.gguf", name=f"gamma-{number}", context=8192)
    screen = terminal(160, 48)
    screen.wait("alpha", "gamma-3", "KV cache", "6 models")
    for size, shows in (
        ((80, 24), ("KV cache", "l launch", "q quit")),
        ((40, 10), ("l launch", "q quit")),
        ((120, 36), ("KV cache", "alpha", "gamma-3", "6 models", "l launch")),
        ((160, 48), ("KV cache", "alpha", "gamma-3", "6 models", "l launch")),
    ):
        screen.resize(*size)
        shown = screen.wait(*shows, gone="LEFT")
        assert max(map(len, shown.splitlines())) <= size[0]
    screen.keys("q")
    screen.wait("LEFT")

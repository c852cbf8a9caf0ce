"""What a run taught is where the next one begins: real llama-server on virtual cards, through rigtui's own command line."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.test_plans import rigtui, wait_for
from engine.virtual_rig import Card, VirtualRig
from rigtui.paths import config_dir
from rigtui.runs import identity, watch
from rigtui.text import GIB, MIB, mib
from runs.support import wait_until
from terminal.conftest import Terminal
from tools.make_gguf import model_file

CARD = Card(name="NVIDIA GeForce RTX 3060", total_mib=12288, free_mib=11910, bandwidth_gb_s=360, context_mib=300)
Make = Callable[..., VirtualRig]


@pytest.fixture
def rig(virtual_rig: Make) -> VirtualRig:
    return virtual_rig([CARD], compute=False)


@pytest.fixture(autouse=True)
def profile(tmp_path: Path) -> Iterator[None]:
    """A profile called coder, none of whose runs is left behind."""
    path = config_dir() / "profiles" / "coder.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    model = model_file("llama-3.1-8b-q4_k_m", tmp_path)
    path.write_text(f'[profile]\nname = "coder"\nmodel = "{model}"\nuse_case = "coding"\n')
    yield
    for state in watch.live_runs():
        watch.stop_and_wait(state, now=True)


def launched() -> str:
    """The profile launched: its run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return str(rigtui("run", "coder", "--detach", "--port", str(port))["run"])


def served() -> dict[str, Any]:
    """The profile launched, measured and stopped: its result."""
    run = launched()
    wait_for(run, "ready")
    wait_until(lambda: any(one["attempt"][-1].get("decode_tok_s") for one in results() if one["run"] == run), "it is measured")
    subprocess.run([sys.executable, "-m", "rigtui", "stop", run], capture_output=True, check=True)
    return recorded(run)


def recorded(run: str) -> dict[str, Any]:
    return next(one for one in results() if one["run"] == run)


def results() -> list[dict[str, Any]]:
    return rigtui("results", "coder")["runs"]  # type: ignore[no-any-return]


def planned() -> dict[str, Any]:
    return rigtui("plan", "coder")  # type: ignore[no-any-return]


def update(rig: VirtualRig) -> None:
    """From now on the engine is another build, as far as it says itself."""
    script = rig.llama_server
    version = """case "$1" in --version) echo "version: 9.9.9-new (build 2, commit abcdef0)" >&2; exit 0;; esac\n"""
    first, _, rest = script.read_text().partition("\n")
    script.write_text(f"{first}\n{version}{rest}")


def said() -> str:
    """The results of the profile, for people."""
    return subprocess.run([sys.executable, "-m", "rigtui", "results", "coder"], capture_output=True, text=True, check=True).stdout


def codes(plan: dict[str, Any]) -> dict[str, str]:
    return {reason["code"]: reason["text"] for reason in plan["reasons"]}


def rival_in_the_load(rig: VirtualRig, plan: dict[str, Any]) -> int:
    """A program that takes more than `plan` leaves free, once the engine has half its cache; its process."""
    device = plan["devices"][0]
    held = CARD.context_mib + (device["weights_bytes"] + device["kv_bytes"] // 2) // MIB
    return rig.take_later(0, device["free_after_bytes"] // MIB + 1000, after_mib=held)


def test_a_third_launch_works_at_the_first_attempt(rig: VirtualRig) -> None:
    """Another program takes memory inside every load. The first launch fails once and is mended; the others know."""
    plan = planned()
    attempts = []
    for _ in range(3):
        rival = rival_in_the_load(rig, plan)
        attempts.append([attempt["outcome"] for attempt in served()["attempt"]])
        rig.stub.release(rival)
    assert attempts == [["failed", "ready"], ["ready"], ["ready"]]
    text = said()
    assert "failed: out_of_vram" in text
    assert "lesson: from now on" in text
    assert "MiB less)" in text or "(as planned)" in text or "MiB more)" in text
    assert "from an earlier run" in codes(planned())["lesson"]


def test_a_lesson_outlives_the_supervisor_that_learned_it(rig: VirtualRig) -> None:
    """It is killed in the attempt after the failure, which need not keep free what the others hold by then."""
    plan = planned()
    rival = rival_in_the_load(rig, plan)
    run = launched()
    second = wait_until(lambda: (state := watch.find_run(run)).attempt == 2 and state, "the next attempt")
    assert second.supervisor_pid is not None
    os.kill(second.supervisor_pid, signal.SIGKILL)
    wait_until(lambda: watch.live_runs() == [] and not any(map(identity.start_time, rig.holders(0))), "the engine died with it")
    rig.stub.release(rival)
    assert "from an earlier run" in codes(planned())["lesson"]
    rival_in_the_load(rig, plan)
    assert [attempt["outcome"] for attempt in served()["attempt"]] == ["ready"]


def test_what_ran_is_remembered_with_its_bytes_and_speed(rig: VirtualRig) -> None:
    before = planned()
    ran = served()["attempt"][-1]
    after = planned()
    assert (before["basis"], after["basis"]) == ("estimated", "remembered")
    assert after["expected"]["basis"] == "measured"
    assert after["expected"]["decode_tok_s"] == pytest.approx(ran["decode_tok_s"], abs=0.1)
    device = after["devices"][0]
    assert device["compute_bytes"] == ran["devices"][0]["compute_bytes"]
    assert before["devices"][0]["floor_bytes"] == 450 * MIB
    assert device["floor_bytes"] == pytest.approx(CARD.context_mib * MIB, abs=MIB), "the runtime is what the engine really took"
    assert device["used_bytes"] == pytest.approx(ran["devices"][0]["peak_bytes"], abs=MIB)
    other = rigtui("plan", "coder", "--context", "16384")
    assert other["devices"][0]["floor_bytes"] == device["floor_bytes"]
    assert other["expected"]["basis"] == "calibrated"
    assert "held" in codes(after)["remembered"]


def test_what_was_planned_what_was_seen_and_what_follows_stand_in_results_on_the_screen_and_in_the_next_plan(
    rig: VirtualRig, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The card was planned with 450 MiB for the runtime, and the engine takes 300."""
    device = served()["attempt"][-1]["devices"][0]
    planned_mib, peak_mib = device["planned_bytes"] // MIB, device["peak_bytes"] // MIB
    assert 100 < planned_mib - peak_mib < 200
    text = said()
    assert f"planned {mib(device['planned_bytes'])}, peak {mib(device['peak_bytes'])} ({planned_mib - peak_mib:,} MiB less)" in text
    assert f"lesson: beside its buffers the engine takes 300 MiB on {CARD.name}, not 450 MiB: plans count with that" in text

    why = codes(planned())["remembered"]
    assert f"{CARD.name} held {mib(device['peak_bytes'])} at most, " in why
    assert "less than planned, its runtime 300 MiB of it" in why

    for name in [name for name in os.environ if name.startswith(("TEXTUAL", "TMUX")) or name == "NO_COLOR"]:
        monkeypatch.delenv(name)
    screen = Terminal(tmp_path_factory.mktemp("t") / "s", 160, 48, [sys.executable, "-m", "rigtui"])
    try:
        screen.wait("P profiles")
        screen.keys("P")
        shown = " ".join(screen.wait("coder", "peak/planned GiB", "the last run:").split())
        assert f"{device['peak_bytes'] / GIB:.1f}/{device['planned_bytes'] / GIB:.1f}" in shown
        assert f"beside its buffers the engine takes 300 MiB on {CARD.name}, not 450 MiB: plans count with that" in shown
    finally:
        screen.close()


@pytest.mark.parametrize("what", ["driver", "card", "build"])
def test_another_driver_card_or_build_begins_anew_and_says_so(what: str, rig: VirtualRig) -> None:
    served()
    assert planned()["basis"] == "remembered"
    text = (rig.stub.directory / "rig.txt").read_text()
    if what == "driver":
        rig.stub.write(text.replace("driver 580.95.05", "driver 590.10"))
    elif what == "card":
        rig.stub.write(text.replace("uuid GPU-00000000", "uuid GPU-0badcafe"))
    else:
        update(rig)
    after = planned()
    assert "is set aside" in codes(after)["lessons_set_aside"]
    assert (after["basis"], after["expected"]["basis"]) == ("estimated", "estimated")


@pytest.mark.parametrize("worse", ["slower", "fatter"])
def test_an_update_that_is_slower_or_fatter_is_reported(worse: str, virtual_rig: Make) -> None:
    """The engine is updated; on the very same card it computes at half the speed, or its runtime takes 700 MiB more."""
    # Slow enough that a busy machine does not change what a token takes by a tenth.
    card = replace(CARD, bandwidth_gb_s=60)
    rig = virtual_rig([card], compute=False, paced=True)
    served()
    update(rig)
    text = (rig.stub.directory / "rig.txt").read_text()
    before, after = ("gb_s 60", "gb_s 30") if worse == "slower" else (f"context_mib {CARD.context_mib}", "context_mib 1000")
    rig.stub.write(re.sub(f"^{before}$", after, text, flags=re.MULTILINE))
    run = served()
    reasons = " | ".join(reason["text"] for reason in planned()["reasons"] if reason["code"] == "regression")
    told = [reasons, said().split(run["run"])[1]]
    if worse == "slower":
        found = r"decode is slower than with llama-server [^:]*: [\d.]+ instead of [\d.]+ tok/s \(-[45]\d%\)"
        other = "MiB more than with"
    else:
        found, other = r"RTX 3060 holds 700 MiB more than with llama-server ", "decode is slower"
    assert all(re.search(found, text) and other not in text for text in told), told


def test_forgotten_runs_bind_no_more(rig: VirtualRig) -> None:
    served()
    subprocess.run([sys.executable, "-m", "rigtui", "forget", "coder"], capture_output=True, check=True)
    assert planned()["basis"] == "estimated"
    assert rigtui("results", "coder")["runs"][-1]["forgotten"]

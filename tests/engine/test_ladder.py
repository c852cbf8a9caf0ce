"""A launch that fails is mended: real llama-server on virtual cards, where another program takes memory at the worst moment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from engine.virtual_rig import Card, VirtualRig
from rigtui.engines.llamacpp.builds import find
from rigtui.errors import RigtuiError
from rigtui.intent.intent import Intent, Overrides, UseCase
from rigtui.models.gguf import read_gguf
from rigtui.planning.plan import Plan
from rigtui.rig.sampler import read_rig
from rigtui.runs import launch, memory, ports, watch
from rigtui.runs.results import load_results
from rigtui.runs.rundir import Request, RunDirectory
from rigtui.runs.state import LaunchRequest
from rigtui.text import MIB
from runs.support import Runs, first_port, wait_until
from tools.make_gguf import model_file

LLAMA = "llama-3.1-8b-q4_k_m"
CARD = Card(name="NVIDIA GeForce RTX 3060", total_mib=12288, free_mib=11910, bandwidth_gb_s=360, context_mib=300)
OTHER = Card(name="NVIDIA GeForce RTX 2060", total_mib=12288, free_mib=11900, bandwidth_gb_s=336, context_mib=300)
USE_CASE = UseCase(name="test", context=32768, context_least=4096, kv_types=("f16", "q8_0"))
HEADROOM = 128 * MIB
"""Wanted on a card without a display."""
Make = Callable[..., VirtualRig]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    monkeypatch.setattr(ports, "FIRST_PORT", first_port())
    kept = Runs(tmp_path)
    yield kept
    kept.end()


def request(tmp_path: Path, use_case: UseCase = USE_CASE, *, of: str = LLAMA, **own: Any) -> LaunchRequest:
    model = read_gguf(model_file(of, tmp_path))
    build = find()[0]
    intent = Intent(use_case=use_case, overrides=Overrides(**own))
    derived = memory.derive(read_rig(), model, intent, [build])
    assert derived.plan.status != "no_fit", derived.plan.reasons
    return LaunchRequest(
        plan=derived.plan,
        constraints=derived.constraints,
        intent=intent,
        build=build,
        model=model.name,
        profile="coder",
        fingerprint=model.fingerprint,
    )


def launched(runs: Runs, asked: LaunchRequest) -> RunDirectory:
    found = launch.launch(asked)
    runs.note(found.state)
    return RunDirectory(found.directory)


def held_before(plan: Plan, stage: str) -> int:
    """MiB that an engine holds on the plan's first card when it has come to `stage`, and half of what it asks for then."""
    device = plan.devices[0]
    sizes = {"weights": device.weights_bytes, "kv": device.kv_bytes, "compute": device.compute_bytes}
    held = CARD.context_mib * MIB
    for name, size in sizes.items():
        if name == stage:
            return (held + size // 2) // MIB
        held += size
    return held // MIB - 64  # an estimate: a little less, so that the first computation is surely beyond


@pytest.mark.parametrize(("stage", "taken"), [("weights", 9000), ("kv", 5000), ("compute", 3000)])
def test_memory_that_goes_while_loading_costs_one_attempt(stage: str, taken: int, runs: Runs, virtual_rig: Make, tmp_path: Path) -> None:
    rig = virtual_rig([CARD], compute=False)
    asked = request(tmp_path)
    rival = rig.take_later(0, taken, after_mib=held_before(asked.plan, stage))
    directory = launched(runs, asked)
    ready = runs.wait(directory, "ready", measured=True)

    first, second = ready.attempts
    assert first.failure is not None
    assert (first.outcome, first.failure.code, first.failure.device, first.failure.stage) == ("failed", "out_of_vram", "CUDA0", stage)
    assert "cudaMalloc failed: out of memory" in (first.failure.line or "")
    assert first.failure.asked_bytes is not None
    free = (CARD.free_mib - CARD.context_mib - taken) * MIB - allocated(directory, 1)
    assert first.failure.missing_bytes == pytest.approx(first.failure.asked_bytes - free, abs=MIB)
    assert f"{round(first.failure.missing_bytes / MIB):,} MiB" in (second.change or ""), "the missing MiB are shown"
    assert f"process {rival}: {taken:,} MiB" in (second.change or ""), "and who took them"
    assert second.outcome == "ready"
    assert left_free() >= HEADROOM, "what the engine ends with leaves the headroom"


def allocated(directory: RunDirectory, attempt: int) -> int:
    """What the engine of an attempt says it has of the first card."""
    events = [json.loads(line) for line in directory.events.read_text().splitlines()]
    return sum(e["bytes"] for e in events if e["kind"] == "buffer" and e["device"] == "CUDA0" and e["attempt"] == attempt)


def left_free() -> int:
    """Bytes free on the first card, by NVML."""
    return read_rig().gpus[0].free_bytes or 0


def test_a_division_that_rigtui_writes_itself_is_written_anew(runs: Runs, virtual_rig: Make, tmp_path: Path) -> None:
    """The engine does not fit it to what is free, so what is taken from the fast card is found out by failing."""
    cards = [Card(name="NVIDIA GeForce RTX 5060 Ti", total_mib=16384, free_mib=16100, bandwidth_gb_s=448, context_mib=300), OTHER]
    rig = virtual_rig(cards, compute=False)
    asked = request(tmp_path, of="glm-4.7-flash-q4_k_m", context=16384, kv_type=("q8_0", "q8_0"))
    assert asked.plan.engine_view.written is True
    assert {device.name for device in asked.plan.devices} == {card.name for card in cards}, asked.plan
    fast = next(device for device in asked.plan.devices if device.name == cards[0].name)
    rig.take_later(0, 3000, after_mib=300 + fast.weights_bytes // MIB // 2)
    ready = runs.wait(launched(runs, asked), "ready", measured=True)
    assert [attempt.outcome for attempt in ready.attempts] == ["failed", "ready"]
    assert "headroom" in (ready.attempts[1].change or "") or "free" in (ready.attempts[1].change or "")
    assert all((gpu.free_bytes or 0) >= HEADROOM for gpu in read_rig().gpus)


def test_the_first_request_that_finds_no_memory_is_mended_too(runs: Runs, virtual_rig: Make, tmp_path: Path) -> None:
    """The pool of the first computation: the engine does not say how much it wanted."""
    rig = virtual_rig([replace(CARD, pool_mib=700)], compute=False)
    asked = request(tmp_path, USE_CASE, context=None)
    rival = rig.take_later(0, left_after(asked.plan), after_mib=held_before(asked.plan, "pool"))
    ready = runs.wait(launched(runs, asked), "ready", measured=True)
    failures = [attempt.failure for attempt in ready.attempts[:-1] if attempt.failure is not None]
    assert {(failure.code, failure.stage, failure.device) for failure in failures} == {("out_of_vram", "runtime", "CUDA0")}
    assert f"process {rival}" in (ready.attempts[1].change or "")
    assert left_free() >= 0
    assert ready.measured is not None
    assert ready.measured.decode_tok_s, "the computation that failed works now"


def left_after(plan: Plan) -> int:
    """MiB that the plan leaves free on its first card."""
    return plan.devices[0].free_after_bytes // MIB


def test_memory_that_is_wanted_at_run_time_and_is_not_there_is_left_free_by_the_next_attempt(
    runs: Runs, virtual_rig: Make, tmp_path: Path
) -> None:
    """Nobody takes anything: the engine itself needs 700 MiB that no plan knows of."""
    virtual_rig([replace(CARD, pool_mib=700)], compute=False)
    asked = request(tmp_path, UseCase(name="full", context=131072, context_least=4096, kv_types=("f16",)))
    ready = runs.wait(launched(runs, asked), "ready", measured=True)
    assert 2 <= len(ready.attempts) <= 4
    assert all("headroom" in (attempt.change or "") for attempt in ready.attempts[1:])
    assert ready.context < asked.plan.context


@pytest.mark.parametrize(
    "own",
    [
        {"context": 32768, "kv_type": ("f16", "f16"), "ubatch": 512, "engine_args": ("-ngl", "99")},
        {"context": 32768, "kv_type": ("f16", "f16"), "ubatch": 512, "gpus": (CARD.name,), "engine_args": ("-ngl", "99")},
    ],
)
def test_what_the_user_set_is_named_and_not_softened(own: dict[str, Any], runs: Runs, virtual_rig: Make, tmp_path: Path) -> None:
    rig = virtual_rig([CARD], compute=False)
    asked = request(tmp_path, **own)
    rig.take_later(0, 9000, after_mib=1000)
    state = runs.wait(launched(runs, asked), "failed")
    assert state.failure is not None
    assert state.failure.code == "out_of_vram"
    assert "your -ngl and your --kv-type f16 and your --ubatch 512 and your --context 32768" in state.failure.text
    assert "leave no step" in state.failure.text
    assert (state.attempt, state.context) == (1, asked.plan.context)


def test_a_card_that_dies_is_left_out(runs: Runs, virtual_rig: Make, tmp_path: Path) -> None:
    virtual_rig([replace(CARD, fail_at=2), OTHER], compute=False)
    asked = request(tmp_path)
    assert [device.name for device in asked.plan.devices] == [CARD.name]
    ready = runs.wait(launched(runs, asked), "ready", measured=True)
    first = ready.attempts[0].failure
    assert first is not None
    assert (first.code, first.device) == ("gpu_lost", "CUDA0")
    assert "unspecified launch failure" in (first.line or "")
    assert f"{CARD.name} failed: without {CARD.name}; on {OTHER.name}" in (ready.attempts[-1].change or "")


def test_results_and_journal_tell_the_attempts_apart(runs: Runs, virtual_rig: Make, tmp_path: Path) -> None:
    rig = virtual_rig([CARD], compute=False)
    asked = request(tmp_path)
    rig.take_later(0, 5000, after_mib=held_before(asked.plan, "kv"))
    directory = launched(runs, asked)
    ready = runs.wait(directory, "ready", measured=True)
    (result,) = load_results("coder")
    assert [attempt.outcome for attempt in result.attempt] == ["failed", "ready"]
    failed, worked = result.attempt
    assert (failed.failure, failed.failed_device, failed.stage) == ("out_of_vram", "CUDA0", "kv")
    assert failed.missing_bytes == ready.attempts[0].failure.missing_bytes  # type: ignore[union-attr]
    assert worked.change == ready.attempts[1].change
    assert worked.decode_tok_s is not None
    assert failed.decode_tok_s is None
    headers = [line for line in directory.engine_log.read_text().splitlines() if line.startswith("=== rigtui attempt ")]
    assert [line.split()[3] for line in headers] == ["1", "2"]
    assert directory.read_request().plan.context == ready.context


def rigtui(*words: str) -> str:
    return subprocess.run([sys.executable, "-m", "rigtui", *words], capture_output=True, text=True, check=True).stdout


def test_a_step_is_taken_by_hand_and_so_is_the_next(runs: Runs, virtual_rig: Make, tmp_path: Path) -> None:
    rig = virtual_rig([CARD], compute=False)
    asked = request(tmp_path)
    rig.take_later(0, 5000, after_mib=held_before(asked.plan, "kv"))
    directory = launched(runs, asked)
    ready = runs.wait(directory, "ready", measured=True)
    assert (ready.attempt, ready.step) == (2, 0)
    assert len(ready.steps) > 2
    watch.request_step(ready, 2)
    by_hand = wait_until(lambda: (s := runs.wait(directory, "ready", measured=True)).attempt == 3 and s, "the step is taken")
    assert by_hand.step == 2
    assert by_hand.attempts[-1].change == ready.steps[2].text
    assert by_hand.context == ready.steps[2].context
    listed = json.loads(rigtui("step", ready.run, "--json"))
    assert (listed["taken"], len(listed["steps"])) == (2, len(ready.steps))
    assert f"3  {ready.steps[2].status}" in rigtui("step", ready.run)
    rigtui("step", ready.run, "4")
    skipped = wait_until(lambda: (s := directory.view()) and s.attempt == 4 and s, "the next step is taken")
    assert skipped.step == 3
    assert [attempt.outcome for attempt in load_results("coder")[0].attempt[:3]] == ["failed", "ready", "ready"]
    directory.put_request(Request(action="skip"))
    assert wait_until(lambda: (s := directory.view()) and s.attempt == 5 and s, "skipped to the next").step == 4
    with pytest.raises(RigtuiError, match="no step 8"):
        watch.request_step(skipped, 7)


def test_memory_that_goes_before_the_engine_looks_makes_it_spill_and_speed_is_worth_a_step(
    runs: Runs, virtual_rig: Make, tmp_path: Path
) -> None:
    """`--fit` then moves layers to RAM without an error."""
    rig = virtual_rig([CARD], compute=False)
    asked = request(tmp_path, structs.replace(USE_CASE, prefer="speed"))
    assert asked.plan.host.offloaded_layers == 0
    rig.take(0, 5000)
    ready = wait_until(lambda: (s := runs.wait(launched(runs, asked), "ready", measured=True)).attempt == 2 and s, "the next attempt")
    first = ready.attempts[0].failure
    assert first is not None
    assert first.code == "spill"
    assert "of the weights spilled into RAM" in first.text
    assert ready.measured is not None
    assert ready.measured.layers == 33, "all layers are on the card now"
    assert not any("spilled" in note for note in ready.notes)


def test_the_same_spill_is_only_named_where_context_is_preferred(runs: Runs, virtual_rig: Make, tmp_path: Path) -> None:
    rig = virtual_rig([CARD], compute=False)
    asked = request(tmp_path)
    rig.take(0, 5000)
    ready = runs.wait(launched(runs, asked), "ready", measured=True)
    assert ready.attempt == 1
    assert any("of the weights spilled into RAM" in note for note in ready.notes)
    assert ready.steps, "what would mend it can be taken by hand"
    assert "of the weights spilled into RAM" in (load_results("coder")[0].attempt[0].spilled or "")


def a_card_that_spills(virtual_rig: Make) -> str:
    """Busy with an idle memory bus, and a tenth as fast as it should be; its name."""
    rig = virtual_rig([CARD], compute=False, paced=True)
    text = (rig.stub.directory / "rig.txt").read_text()
    # NVML still tells the full bandwidth; what the engine gets of it is a tenth.
    rig.stub.write(text.replace("gb_s 360", "gb_s 36") + "utilization 100 2\n")
    return CARD.name


def test_a_silent_spill_is_told_by_a_busy_card_an_idle_bus_and_its_speed(runs: Runs, virtual_rig: Make, tmp_path: Path) -> None:
    a_card_that_spills(virtual_rig)
    asked = request(tmp_path, structs.replace(USE_CASE, prefer="speed"))
    directory = launched(runs, asked)
    state = wait_until(lambda: (s := directory.view()) and s.attempt > 1 and s, "the spill is found", 300)
    spill = state.attempts[0].failure
    assert spill is not None
    assert (spill.code, spill.device) == ("spill", "CUDA0")
    assert "100 % busy while its memory is used 2 % of the time" in spill.text
    assert load_results("coder")[0].attempt[0].failure == "spill"


def test_a_spill_that_is_lived_with_is_named_every_time(runs: Runs, virtual_rig: Make, tmp_path: Path) -> None:
    """The pace of the first run is not what the second is held to."""
    spilled = a_card_that_spills(virtual_rig)
    for number in range(2):
        ready = runs.wait(launched(runs, request(tmp_path)), "ready", measured=True)
        assert any(f"{spilled} spilled into RAM" in note for note in ready.notes), number
        watch.stop_and_wait(ready)
        assert "spilled into RAM" in (load_results("coder")[-1].attempt[-1].spilled or "")


def test_what_was_learned_makes_the_third_launch_work_at_once(runs: Runs, virtual_rig: Make, tmp_path: Path) -> None:
    """The other program lets go in between, and takes its memory again inside every load."""
    rig = virtual_rig([CARD], compute=False)
    attempts = []
    for _ in range(3):
        asked = request(tmp_path)
        rig.take_later(0, 5000, after_mib=held_before(asked.plan, "kv"))
        ready = runs.wait(launched(runs, asked), "ready", measured=True)
        attempts.append(ready.attempt)
        assert watch.stop_and_wait(ready).phase == "stopped"
        rig.take(0, 0)
    assert attempts == [2, 1, 1]


def test_attempts_have_a_limit(runs: Runs, virtual_rig: Make, tmp_path: Path) -> None:
    """The engine wants far more at run time than any step of the ladder leaves it."""
    virtual_rig([replace(CARD, pool_mib=9000)], compute=False)
    state = runs.wait(launched(runs, structs.replace(request(tmp_path), attempts=2)), "failed")
    assert [attempt.outcome for attempt in state.attempts] == ["failed", "failed"]
    assert state.failure is not None
    assert state.failure.code == "out_of_vram"
    assert state.failure.text.endswith("; 2 attempts are the limit")
    assert [attempt.failure for attempt in load_results("coder")[0].attempt] == ["out_of_vram", "out_of_vram"]

"""The page of the runs, and the runs side by side in the dock."""

from __future__ import annotations

import pytest

from rigtui.engines.engine import Failure
from rigtui.engines.live import Live
from rigtui.intent.intent import Intent
from rigtui.runs.state import AttemptState, LaunchRequest, Measured
from rigtui.text import MIB
from rigtui.tui.keys import Keys
from rigtui.tui.run_text import run_lines, tabs
from rigtui.tui.runs_text import run_row, story
from tui.fakes.models import BUILD, MODELS, USE_CASES
from tui.fakes.plans import plan_for
from tui.fakes.rigs import two_cards
from tui.fakes.runs import run_state
from tui.fakes.world import World

OOM = Failure(
    code="out_of_vram",
    text="GPU 1 ran out of memory while the KV cache was made: 372 MiB were missing",
    line="ggml_backend_cuda_buffer_type_alloc_buffer: allocating 1536.00 MiB on device 1: cudaMalloc failed: out of memory",
)


def third_attempt():
    attempts = (
        AttemptState(outcome="failed", failure=OOM),
        AttemptState(outcome="failed", failure=OOM, change="headroom on GPU 1 from 1,024 to 1,536 MiB"),
        AttemptState(outcome="ready", change="context at most 49,152"),
    )
    measured = Measured(load_s=7.4, decode_tok_s=38.2, peak_bytes={"GPU-0": 13650 * MIB, "GPU-1": 7820 * MIB}, peak_basis="process")
    planned = {"GPU-0": 13800 * MIB, "GPU-1": 7400 * MIB, "GPU-9": 1024 * MIB}
    return run_state("a", "ready", profile="coder", attempt=3, attempts=attempts, measured=measured, planned_bytes=planned)


def runs_world() -> World:
    world = World(two_cards())
    world.runs = (run_state("b", "failed", started="2026-02-20T09:40:00Z", profile="writer"), third_attempt())
    world.history = (run_state("c", "stopped", started="2026-02-11T18:02:00Z", port=8081),)
    world.live = Live(decode_tok_s=31.2, kv_share=0.12, kv_tokens=7904, processing=1, waiting=2)
    return world


async def opened(screen) -> None:
    await screen.until(lambda: screen.state.live)
    await screen.press("R")
    await screen.until(lambda: "1 running, 2 ended" in screen.text())


def lines(run, width, live=None) -> list[str]:
    names = {"GPU-0": "GPU 0 RTX 4090", "GPU-1": "GPU 1 RTX 5070 Ti"}
    return [line.plain for line in story(run, live, names, width)]


def test_the_story_tells_every_attempt_what_was_changed_and_the_line_that_says_why():
    text = "\n".join(lines(third_attempt(), 90))
    assert "1 ✖ failed" in text and "2 ✖ failed" in text and "3 ● ready" in text
    assert "changed: headroom on GPU 1 from 1,024 to 1,536 MiB. GPU 1 ran out" in " ".join(text.split())
    assert "changed: context at most 49,152" in text
    assert text.count("cudaMalloc failed") == 2


def test_what_an_engine_does_now_is_told_of_a_live_run_alone():
    live = Live(kv_share=0.07, kv_tokens=550, processing=0)
    assert any(line.startswith("now") for line in lines(run_state("a", "ready"), 90, live))
    assert not any(line.startswith("now") for line in lines(run_state("a", "failed"), 90, live))


def test_a_trial_of_a_tuning_is_told_from_a_run():
    assert "coder (trial)" in run_row(run_state("a", "stopped", profile="coder", trial=True), 90).plain
    assert "trial" not in run_row(run_state("a", "stopped", profile="coder"), 90).plain


def test_peaks_stand_beside_the_plan_and_what_was_not_observed_is_said():
    text = "\n".join(lines(third_attempt(), 90))
    assert "13.3 of 13.5 GiB planned, −150 MiB" in text
    assert "7.6 of 7.2 GiB planned, +420 MiB" in text
    assert "planned 1.0 GiB, not observed" in text


@pytest.mark.parametrize("width", [30, 60, 78, 154])
@pytest.mark.parametrize("phase", ["starting", "loading", "ready", "stopping", "stopped", "failed"])
def test_the_story_keeps_to_its_width(width, phase):
    run = run_state("a", phase, profile="界" * 60, attempts=(AttemptState(outcome="failed", failure=OOM), AttemptState()), attempt=2)
    assert max(len(line) for line in lines(run, width, Live(decode_tok_s=1.0))) <= max(width, 50)


def test_runs_stand_side_by_side_and_what_has_no_room_is_counted():
    runs = [run_state(str(at), "ready", profile=f"profile-number-{at}") for at in range(12)]
    line = tabs(runs, runs[1], 78, Keys())
    assert line.cell_length <= 78
    assert "[● " in line.plain and "+" in line.plain and "n next run" in line.plain
    assert "n next run" not in run_lines(runs[0], 78, Keys(), runs=runs[:1])[0].plain


def test_runs_of_one_name_are_told_apart_by_their_order():
    runs = [run_state("a", "stopped", model="qwen"), run_state("b", "ready", model="gemma"), run_state("c", "ready", model="qwen")]
    assert tabs(runs, runs[2], 78, Keys()).plain == " ○ qwen #1  ● gemma [● qwen #2] n next run"


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_while_an_ended_run_is_shown_the_one_that_goes_on_stays_in_sight_and_off_the_plan(cockpit, size):
    world = runs_world()
    intent = Intent(use_case=USE_CASES[0])
    world.requests["a"] = LaunchRequest(plan=plan_for(two_cards(), MODELS[0], intent, ()), intent=intent, build=BUILD, model=MODELS[0].name)

    def card() -> str:
        return next(line for line in screen.text().splitlines() if "0 RTX 4090" in line)

    async with cockpit(world, size=size) as screen:
        await screen.until(lambda: "● coder ready :8080" in screen.part("#top") and "weights" not in card())
        await screen.press("n")
        await screen.until(lambda: "✖ writer failed +1 running" in screen.part("#top"))
        assert "[✖ writer] ● coder" in screen.part("#engine") and "weights" not in card()
        await screen.press("n")
        await screen.until(lambda: "● coder ready :8080" in screen.part("#top"))
        assert "running" not in screen.part("#top") and "weights" not in card(), "its bytes are there already"
        await screen.press("left_square_bracket")
        await screen.until(lambda: "weights" in card())


async def test_the_key_of_the_next_run_is_named_once_and_begins_with_the_newest(cockpit):
    world = World(two_cards())
    world.runs = (run_state("old", "stopped", profile="older"), run_state("new", "failed", profile="newer"))
    async with cockpit(world, size=(160, 48)) as screen:
        await screen.until(lambda: "n shows the last run" in screen.part("#engine"))
        assert "next run" not in screen.text()
        await screen.press("n")
        await screen.until(lambda: "[✖ newer]" in screen.part("#engine"))
        assert screen.text().count("next run") == 1


async def test_the_page_shows_ended_runs_too_and_the_newest_is_under_the_cursor(cockpit):
    async with cockpit(runs_world(), size=(80, 24)) as screen:
        await opened(screen)
        text = screen.text()
        assert "coder (attempt 3)" in text and "writer" in text
        assert "31.2 tok/s" in text and max(map(len, text.splitlines())) <= 80
        assert not screen.app.screen.max_scroll_x and not screen.app.screen.max_scroll_y
        await screen.press("y")
        assert screen.app.clipboard == "http://127.0.0.1:8080/v1"
        await screen.press("down")
        await screen.until(lambda: "y copy URL" not in screen.text())
        await screen.press("o")
        await screen.until(lambda: "Log of writer" in screen.text())


async def test_a_run_is_shown_in_the_cockpit_or_stopped_from_the_page(cockpit):
    world = runs_world()
    async with cockpit(world) as screen:
        await opened(screen)
        await screen.press("down", "enter")
        await screen.until(lambda: len(screen.app.screen_stack) == 1 and screen.state.attached == "b")
        assert "[✖ writer]" in screen.text()
        await screen.press("R")
        await screen.until(lambda: "1 running" in screen.text())
        await screen.press("up", "s", "enter")
        await screen.until(lambda: world.stopped == ["a"])
        await screen.until(lambda: "0 running, 3 ended" in screen.text())


async def test_a_click_on_a_runs_name_shows_it(cockpit):
    async with cockpit(runs_world()) as screen:
        await screen.until(lambda: "[● coder]" in screen.text())
        rows = screen.text().splitlines()
        y = next(at for at, line in enumerate(rows) if "[● coder]" in line)
        await screen.pilot.click(offset=(rows[y].index("writer") + 1, y))
        await screen.until(lambda: screen.state.attached == "b")


async def test_the_next_question_sends_what_was_said_and_each_answer_has_its_cost(cockpit):
    world = World(two_cards())
    world.runs = (run_state("a"),)
    async with cockpit(world, size=(80, 24)) as screen:
        await screen.until(lambda: screen.state.run)
        await screen.press("a")
        await screen.until(lambda: len(screen.app.screen_stack) == 2)
        await screen.press("enter")
        await screen.until(lambda: "first token 0.21 s · 38.2 tok/s · 43 tokens" in screen.text())
        await screen.press(*"Why", "enter")
        await screen.until(lambda: len(world.asked) == 2)
        assert [turn.role for turn in world.asked[1]] == ["user", "assistant", "user"]
        assert world.asked[1][1].text == "A home assistant that never phones home." and world.asked[1][2].text == "Why"

"""A run in the cockpit: what it was launched with, why it failed, how it works now, and what can be done with it."""

from __future__ import annotations

from rigtui.engines.live import Live
from rigtui.intent.intent import Intent, Overrides
from rigtui.runs.state import LaunchRequest
from rigtui.tui.messages import LogRead
from rigtui.tui.services import LogChunk
from rigtui.tui.widgets.tail_view import TailView
from tui.fakes.models import BUILD, MODELS, USE_CASES
from tui.fakes.plans import plan_for
from tui.fakes.rigs import two_cards
from tui.fakes.runs import run_state
from tui.fakes.world import World


async def test_a_screen_opened_later_shows_the_run_and_what_it_was_launched_with(cockpit):
    world = World(two_cards())
    world.runs = (run_state("a", "ready", model=MODELS[3].name, model_path=MODELS[3].path),)
    intent = Intent(use_case=USE_CASES[1], overrides=Overrides(context=16384))
    world.requests["a"] = LaunchRequest(plan=plan_for(two_cards(), MODELS[3], intent, ()), intent=intent, build=BUILD, model=MODELS[3].name)
    async with cockpit(world) as screen:
        await screen.until(lambda: screen.state.run)
        assert screen.state.selected == MODELS[3].path
        assert screen.state.chosen_use_case.name == "coding"
        assert screen.state.plan.context_per_slot == 16384
        assert "ready :8080" in screen.text()
        assert not screen.state.preview


async def test_a_failed_run_says_why_with_the_engines_own_line(cockpit):
    world = World(two_cards())
    world.runs = (run_state("a", "failed"),)
    async with cockpit(world) as screen:
        await screen.until(lambda: screen.state.runs)
        await screen.press("n")
        await screen.until(lambda: screen.state.run)
        text = screen.part("#engine-facts")
        assert "failed" in text and "GPU 1 ran out of memory while the KV cache was made: 372 MiB were missing" in text
        assert "cudaMalloc failed: out of memory" in text


async def test_only_of_a_run_that_lives_it_is_said_that_it_is_slow(cockpit):
    world = World(two_cards())
    notes = ("slow: 25.8 tok/s, where 38 were expected (estimated)", "the results could not be saved: the disk is full")
    world.runs = (run_state("a", notes=notes),)
    async with cockpit(world) as screen:
        await screen.until(lambda: "slow: 25.8 tok/s" in screen.part("#engine-facts"))
        world.runs = (run_state("a", "stopped", notes=notes),)
        await screen.until(lambda: "stopped" in screen.part("#engine-facts"))
        assert "slow" not in screen.part("#engine-facts") and "the disk is full" in screen.part("#engine-facts")


async def test_a_test_question_streams_its_answer(running):
    async with running() as screen:
        await screen.press("a")
        await screen.until(lambda: len(screen.app.screen_stack) == 2)
        await screen.press("enter")
        await screen.until(lambda: "A home assistant that never phones home." in screen.text())


async def test_copy_gives_a_curl_command_with_url_and_model(running):
    async with running() as screen:
        await screen.press("y")
        assert screen.app.clipboard.startswith("curl http://127.0.0.1:8080/v1/chat/completions")
        assert '"model": "qwen3-coder-30b"' in screen.app.clipboard


async def test_a_ready_engine_shows_how_it_works_now_and_nothing_where_it_does_not_say(cockpit):
    world = World(two_cards())
    world.runs = (run_state("a"),)
    world.live = Live(decode_tok_s=31.24, kv_share=0.121, kv_tokens=7904, processing=1, waiting=2)
    async with cockpit(world, size=(80, 24)) as screen:
        await screen.until(lambda: "31.2 tok/s · KV 12% full (7,904 tokens) · 1 at work · 2 waiting" in screen.part("#engine"))
        world.live = Live(decode_tok_s=None, kv_share=0.13, kv_tokens=8500, processing=0, waiting=0)
        await screen.until(lambda: "now idle · KV 13% full (8,500 tokens)" in screen.part("#engine"))
        world.runs = (run_state("a", "stopped"),)
        await screen.until(lambda: "stopped" in screen.part("#engine") and "now" not in screen.part("#engine"))


async def test_an_engine_that_rests_is_left_alone_until_its_log_says_that_something_happens(cockpit):
    world = World(two_cards())
    world.runs = (run_state("a"),)
    world.live = Live(processing=0, kv_tokens=1, kv_share=0.01)
    async with cockpit(world, size=(80, 24)) as screen:
        await screen.until(lambda: "idle" in screen.part("#engine"))
        watch = screen.app.cockpit.watch_live
        await screen.until(lambda: not watch.wake.is_set())
        echo = ("0.44 I srv  update_slots: all slots are idle", '"GET /metrics HTTP/1.1" 200')
        screen.app.cockpit.post_message(LogRead("a", LogChunk(echo)))
        await screen.until(lambda: echo[1] in screen.app.screen.query_one(TailView).lines)
        assert not watch.wake.is_set()
        world.live = Live(decode_tok_s=9.0, processing=1)
        screen.app.cockpit.post_message(LogRead("a", LogChunk(("0.45 I slot launch_slot_: id 0 | task 7 | processing task",))))
        await screen.until(lambda: "9.0 tok/s" in screen.part("#engine"))

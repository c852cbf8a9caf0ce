"""What a person sees and what the keys do."""

from __future__ import annotations

import pytest
from msgspec.structs import force_setattr, replace
from textual.widgets import Input

from rigtui.engines.live import Live
from rigtui.errors import RigtuiError
from rigtui.intent.intent import Intent, Overrides
from rigtui.planning.plan import Reason
from rigtui.runs.state import LaunchRequest, OfferedStep
from rigtui.text import MIB
from rigtui.tui.app import started_as
from rigtui.tui.messages import LogRead
from rigtui.tui.screens.dialogs import QuestionScreen
from rigtui.tui.services import LogChunk
from tui.fakes.models import BROKEN, BUILD, MODELS, USE_CASES, candidates
from tui.fakes.plans import plan_for
from tui.fakes.rigs import eight_cards, no_gpu_rig, two_cards, wsl_rig
from tui.fakes.runs import run_state
from tui.fakes.world import World


async def test_the_screen_shows_the_rig_the_cards_and_the_plan(cockpit):
    async with cockpit(World(two_cards())) as screen:
        text = screen.text()
        for words in ("mixed-rig · Linux · driver 580.95 · CUDA 13.0", "no engine running", "0 RTX 4090", "1 RTX 5070 Ti", "RAM"):
            assert words in text
        assert "FITS" in text and "llama.cpp on 2 GPUs · about 38 tok/s" in text
        assert "GPU 0: 0–31 · GPU 1: 32–47 + head" in text
        assert "FIT_TARGET 128,1024" in text
        assert "The RTX 4090 alone is 1.9 GiB short" in text


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (160, 48)])
async def test_free_now_and_after_stand_beside_every_bar(cockpit, size):
    async with cockpit(World(two_cards()), size=size) as screen:
        lines = screen.text().splitlines()
        first, second = (next(line for line in lines if name in line) for name in ("0 RTX 4090", "1 RTX 5070 Ti"))
        assert "23.1 → 10.2 GiB" in first
        assert "12.5 → 5.4 GiB" in second


@pytest.mark.parametrize("rig", [two_cards(), eight_cards(), wsl_rig(), no_gpu_rig()], ids=["two", "eight", "wsl", "none"])
@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_nothing_is_wider_or_higher_than_the_terminal(cockpit, rig, size):
    async with cockpit(World(rig), size=size) as screen:
        lines = screen.text().splitlines()
        assert max(map(len, lines)) <= size[0]
        assert not screen.app.screen.max_scroll_x and not screen.app.screen.max_scroll_y
        for widget in screen.app.screen.query("#bars, #models, #model-list, #choices, #plan, #engine, #hints"):
            assert widget.region.right <= size[0] and widget.region.bottom <= size[1], widget
            assert widget.region.height >= 1
            assert not widget.show_horizontal_scrollbar


async def test_moving_in_the_list_plans_the_model_under_the_cursor(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await screen.press("down", "down")
        await screen.until(lambda: screen.state.plan.model.path == MODELS[2].path)
        assert screen.state.selected == MODELS[2].path
        assert "gemma3" in screen.text()


async def test_the_filter_narrows_as_it_is_typed_and_escape_shows_all_again(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await screen.press("slash", *"gpt")
        await screen.until(lambda: screen.state.selected == MODELS[3].path)
        models = screen.app.screen.query_one("#model-list")
        assert len(models.rows) == 1
        await screen.press("escape")
        assert len(models.rows) == len(MODELS)
        assert screen.state.selected == MODELS[3].path
        assert screen.app.focused is models


async def test_letters_in_the_filter_are_text_not_commands(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        await screen.press("slash", *"qwlsu")
        assert screen.app.screen.query_one("#model-filter", Input).value == "qwlsu"
        assert not world.launched
        assert screen.state.use_case == 0


async def test_use_case_context_and_kv_type_follow_their_keys_and_are_marked_as_yours(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await screen.press("u")
        await screen.until(lambda: screen.state.plan.use_case == "coding")
        await screen.press("left_square_bracket")
        await screen.until(lambda: screen.state.plan.context_per_slot == 32768)
        await screen.press("k")
        await screen.until(lambda: screen.state.plan.kv_type == ("f16", "f16"))
        text = screen.text()
        assert "32,768 (yours)" in text and "f16 (yours)" in text
        assert "32,768 tokens of 262,144 trained  (yours)" in text
        assert "undo mine" in text
        await screen.press("r")
        await screen.until(lambda: screen.state.plan.context_per_slot == 65536)
        assert "yours" not in screen.text() and "undo mine" not in screen.text()
        assert screen.state.plan.use_case == "coding"


async def test_the_choices_can_be_turned_with_the_arrows(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await screen.press("tab", "right")
        await screen.until(lambda: screen.state.plan.use_case == "coding")
        await screen.press("down", "left")
        await screen.until(lambda: screen.state.plan.context_per_slot == 32768)
        await screen.press("up", "left", "left")
        await screen.until(lambda: screen.state.plan.use_case == "batch")


async def test_an_exact_context_is_typed_checked_and_taken(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await screen.press("equals_sign")
        await screen.until(lambda: len(screen.app.screen_stack) == 2)
        await screen.press(*"many", "enter")
        assert "type a number of tokens" in screen.text()
        screen.app.screen.query_one(Input).value = "50,000"
        await screen.press("enter")
        await screen.until(lambda: screen.state.plan.context_per_slot == 50000)
        assert screen.state.overrides.context == 50000


async def test_a_derivation_that_fails_says_why_in_the_plans_place(cockpit):
    world = World(two_cards())

    def refuse(*_):
        raise RigtuiError("a safetensors model needs vLLM, which is not installed; pick a GGUF file")

    world.derive = refuse
    async with cockpit(world) as screen:
        assert "No plan" in screen.text()
        assert "a safetensors model needs vLLM" in screen.part("#plan")
        await screen.press("l")
        assert not world.launched


async def test_only_the_last_of_quick_changes_is_shown(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        world.derive_gate.clear()
        await screen.press("u", "left_square_bracket", "left_square_bracket", "right_square_bracket")
        world.derive_gate.set()
        await screen.until(lambda: screen.state.plan.context_per_slot == 32768 and screen.state.plan.use_case == "coding")
        await screen.pilot.pause(0.1)
        assert screen.state.plan.context_per_slot == 32768


async def test_a_program_that_takes_vram_moves_the_bars_and_the_plan(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        before = screen.state.plan
        card = world.rig.gpus[0]
        world.rig = replace(
            world.rig, gpus=(replace(card, free_bytes=card.free_bytes - 5000 * MIB, others_bytes=5400 * MIB), world.rig.gpus[1])
        )
        await screen.until(lambda: screen.state.plan is not before)
        await screen.until(lambda: "18.3 → 5.3 GiB" in screen.text())


async def test_launch_shows_loading_then_ready_with_everything_to_use_it(cockpit):
    world = World(two_cards())
    world.log = ("load_tensors: offloaded 49/49 layers to GPU",)
    async with cockpit(world) as screen:
        await screen.press("l")
        await screen.until(lambda: "loading" in screen.text() and "42%" in screen.text())
        assert world.launched == [(MODELS[0].path, Intent(use_case=USE_CASES[0]), "attach")]
        await screen.until(lambda: "offloaded 49/49" in screen.text())
        world.runs = (replace(run_state("new1"), model=MODELS[0].name),)
        await screen.until(lambda: "ready :8080" in screen.text())
        text = screen.text()
        for words in ("http://127.0.0.1:8080/v1", "qwen3-coder-30b", "38.2 tok/s", "asks a test question", "copies a curl command"):
            assert words in text


async def test_what_runs_is_not_drawn_over_the_bars_a_second_time(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        assert "weights" in next(line for line in screen.text().splitlines() if "0 RTX 4090" in line)
        await screen.press("l")
        await screen.until(lambda: screen.state.run)
        assert "weights" not in next(line for line in screen.text().splitlines() if "0 RTX 4090" in line)
        await screen.press("left_square_bracket")
        await screen.until(lambda: "weights" in next(line for line in screen.text().splitlines() if "0 RTX 4090" in line))


async def test_launching_beside_a_run_asks_first(cockpit):
    world = World(two_cards())
    world.runs = (run_state("other", model="another", model_path="/models/other.gguf"),)
    async with cockpit(world) as screen:
        await screen.until(lambda: screen.state.runs)
        await screen.press("l")
        await screen.until(lambda: isinstance(screen.app.screen, QuestionScreen))
        assert "another (ready, port 8080)" in screen.text()
        await screen.press("escape")
        assert not world.launched
        await screen.press("l")
        await screen.until(lambda: isinstance(screen.app.screen, QuestionScreen))
        await screen.press("down", "enter")
        await screen.until(lambda: world.launched)
        assert world.launched[0][2] == "beside"
        await screen.until(lambda: len(screen.state.runs) == 2)
        await screen.press("l")
        await screen.until(lambda: isinstance(screen.app.screen, QuestionScreen))
        await screen.press("enter")
        await screen.until(lambda: len(world.launched) == 2)
        assert world.launched[1][2] == "replace"


async def test_what_a_launch_waits_for_is_said_as_long_as_it_waits(cockpit):
    world = World(two_cards())
    world.launch_says = "asking vLLM 0.33.0 (CUDA) what it can do; that takes up to a minute, and is done once"
    world.launch_gate.clear()
    async with cockpit(world, size=(80, 24)) as screen:
        await screen.press("l")
        await screen.until(lambda: "launching: asking vLLM 0.33.0 (CUDA) what it can do" in screen.part("#engine"))
        world.launch_gate.set()
        await screen.until(lambda: "loading" in screen.part("#engine") and "asking vLLM" not in screen.text())


async def test_a_launch_that_fails_says_so_and_can_be_tried_again(cockpit):
    world = World(two_cards())
    world.launch_problem = "port 8080 is taken by another program; set another one"
    async with cockpit(world) as screen:
        await screen.press("l")
        await screen.until(lambda: "port 8080 is taken" in screen.told)
        assert not screen.state.launching
        world.launch_problem = None
        await screen.press("l")
        await screen.until(lambda: world.launched)


async def test_a_plan_that_does_not_fit_is_not_launched(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        screen.app.cockpit.action_context_exact()
        await screen.until(lambda: len(screen.app.screen_stack) == 2)
        screen.app.screen.query_one(Input).value = "1000000"
        await screen.press("enter")
        await screen.press("k")
        world.rig = replace(world.rig, gpus=tuple(replace(card, free_bytes=2000 * MIB) for card in world.rig.gpus))
        world.derive = lambda rig, chosen, intent, builds: replace(plan_for(rig, chosen, intent, builds), status="no_fit")
        force_setattr(screen.app.cockpit.services, "derive", world.derive)
        await screen.until(lambda: screen.state.plan and screen.state.plan.status == "no_fit")
        assert "DOES NOT FIT" in screen.text()
        await screen.press("l")
        await screen.until(lambda: "does not fit the rig" in screen.told)
        assert not world.launched


async def test_stop_asks_and_then_stops_the_shown_run(cockpit):
    world = World(two_cards())
    world.runs = (run_state("a"),)
    async with cockpit(world) as screen:
        await screen.until(lambda: screen.state.run)
        await screen.press("s")
        await screen.until(lambda: isinstance(screen.app.screen, QuestionScreen))
        await screen.press("down", "enter")
        assert world.stopped == []
        await screen.press("s")
        await screen.until(lambda: isinstance(screen.app.screen, QuestionScreen))
        await screen.press("enter")
        await screen.until(lambda: world.stopped == ["a"])
        await screen.until(lambda: "stopped" in screen.text())


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


async def test_a_test_question_streams_its_answer(cockpit):
    world = World(two_cards())
    world.runs = (run_state("a"),)
    async with cockpit(world) as screen:
        await screen.until(lambda: screen.state.run)
        await screen.press("a")
        await screen.until(lambda: len(screen.app.screen_stack) == 2)
        await screen.press("enter")
        await screen.until(lambda: "A home assistant that never phones home." in screen.text())


async def test_copy_gives_a_curl_command_with_url_and_model(cockpit):
    world = World(two_cards())
    world.runs = (run_state("a"),)
    async with cockpit(world) as screen:
        await screen.until(lambda: screen.state.run)
        await screen.press("y")
        assert screen.app.clipboard.startswith("curl http://127.0.0.1:8080/v1/chat/completions")
        assert '"model": "qwen3-coder-30b"' in screen.app.clipboard


async def test_a_profile_is_saved_under_a_typed_name_and_never_replaced_silently(cockpit):
    world = World(two_cards())
    world.taken.add("mine")
    async with cockpit(world) as screen:
        await screen.press("left_square_bracket", "p")
        await screen.until(lambda: len(screen.app.screen_stack) == 2)
        screen.app.screen.query_one(Input).value = "mine"
        await screen.press("enter")
        await screen.until(lambda: isinstance(screen.app.screen, QuestionScreen))
        assert world.saved == []
        await screen.press("enter")
        await screen.until(lambda: world.saved)
        name, path, intent = world.saved[0]
        assert (name, path, intent.overrides.context) == ("mine", MODELS[0].path, 32768)
        await screen.until(lambda: screen.state.saved)
        assert "saved as mine" in screen.told


async def test_export_shows_the_section(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await screen.press("x")
        await screen.until(lambda: "CTX_SIZE=65536" in screen.text())
        await screen.press("y")
        assert "MODEL=Qwen3-Coder" in screen.app.clipboard


async def test_without_models_the_screen_says_what_to_do_and_a_folder_can_be_typed(cockpit):
    world = World(two_cards(), ())
    async with cockpit(world, size=(80, 24)) as screen:
        text = screen.part("#plan")
        assert "No models found yet" in text and "[models] folders" in text and "rigtui demo" in text
        await screen.press("f")
        await screen.until(lambda: len(screen.app.screen_stack) == 2)
        screen.app.screen.query_one(Input).value = "/data/models"
        world.models = candidates(MODELS[0])
        await screen.press("enter")
        await screen.until(lambda: screen.state.candidates)
        assert world.folders == ["/data/models"]
        await screen.until(lambda: screen.state.plan)


async def test_without_a_gpu_it_says_why_and_still_plans(cockpit):
    async with cockpit(World(no_gpu_rig()), size=(80, 24)) as screen:
        text = " ".join(screen.text().split())
        assert "No GPU can be used, models run on the CPU" in text
        assert "OFFLOAD" in text and "llama.cpp on the CPU" in text


async def test_wsl_says_what_unknown_means(cockpit):
    async with cockpit(World(wsl_rig())) as screen:
        assert "WSL2" in screen.text()
        assert "unknown is what Windows and other WSL programs hold" in " ".join(screen.text().split())


async def test_a_lost_card_is_named_with_what_to_do(cockpit):
    async with cockpit(World(eight_cards()), size=(80, 24)) as screen:
        text = " ".join(screen.text().split())
        assert "5 RTX 3060 error: the card fell off the bus: shut the machine down and check its riser" in text


async def test_simulated_bytes_are_hatched_and_labelled(cockpit):
    async with cockpit(World(two_cards(simulated=True)), size=(80, 24)) as screen:
        text = screen.text()
        assert "simulated rig" in text
        assert "╱" in next(line for line in text.splitlines() if "0 RTX 4090" in line)
        assert "╱ simulated" in text
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        assert "╱" not in screen.text()


async def test_a_model_that_cannot_be_read_is_a_row_that_says_why(cockpit):
    async with cockpit(World(two_cards(), (*candidates(MODELS[0]), BROKEN))) as screen:
        assert "half-downloaded-Q8_0" in screen.text()
        assert "it ends in the middle of its header" in screen.part("#models"), "from its beginning, without its place"
        await screen.press("down")
        await screen.until(lambda: screen.state.selected == BROKEN.path)
        assert "ends in the middle of its header" in screen.part("#plan")


async def test_foreign_names_are_shown_as_data(cockpit):
    evil = replace(MODELS[0], name="[red]x\x1b[2J[/]y\u202e", path="/m/evil.gguf")
    async with cockpit(World(replace(two_cards(), name="rig[/]\x1b]0;title\x07"), candidates(evil))) as screen:
        text = screen.text()
        assert "[red]x[/]y" in text and "rig[/]" in text
        assert "\x1b" not in text and "\u202e" not in text


async def test_every_hint_on_the_line_is_a_key_that_works_now(cockpit):
    from rigtui.tui.actions import ACTIONS
    from rigtui.tui.allowed import allowed
    from rigtui.tui.keys import Keys

    world = World(two_cards())
    world.runs = (run_state("a"),)
    for size in ((80, 24), (160, 48)):
        async with cockpit(world, size=size) as screen:
            await screen.until(lambda: screen.state.run)
            line = screen.text().splitlines()[-1]
            here = [action for action in ACTIONS if action.screen in ("cockpit", "app")]
            hint = {action.id: f"{Keys().shown(action.id)} {action.hint}" for action in here}
            shown = [action for action in here if hint[action.id] in line]
            assert {"l launch", "s stop", "? help", "q quit"} <= {hint[action.id] for action in shown}
            assert {action.id for action in shown} <= set(allowed(screen.state))


async def test_the_palette_finds_an_action_and_does_it(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await screen.press("ctrl+p")
        await screen.until(lambda: len(screen.app.screen_stack) == 2)
        await screen.press(*"next use case")
        await screen.pilot.pause(0.3)
        await screen.press("enter")
        await screen.until(lambda: screen.state.use_case == 1)


async def test_another_step_of_the_ladder_is_taken_by_hand(cockpit):
    world = World(two_cards())
    steps = tuple(OfferedStep(text=f"it ran out: way {n}", summary="1 GPU", status="fits", context=8192) for n in range(3))
    world.runs = (run_state("a", "loading", attempt=2, steps=steps, step=0),)
    async with cockpit(world) as screen:
        await screen.until(lambda: screen.state.run)
        await screen.press("s")
        await screen.until(lambda: isinstance(screen.app.screen, QuestionScreen))
        await screen.press("down", "down", "enter")
        await screen.until(lambda: world.steps_taken == [("a", 2)])
        assert world.stopped == []


async def test_leaving_keeps_engines_running_and_says_so(cockpit):
    world = World(two_cards())
    world.runs = (run_state("a", profile="coder"),)
    async with cockpit(world) as screen:
        await screen.until(lambda: screen.state.run)
        farewell = str(screen.app._farewell())
        assert "coder at http://127.0.0.1:8080 keeps running" in farewell
        assert "rigtui stop a" in farewell
        await screen.press("q")
        assert not screen.app.is_running
        assert world.stopped == []


async def test_no_color_draws_without_any_colour_and_tells_kinds_apart_by_their_fill(cockpit, monkeypatch):
    async with cockpit(World(two_cards()), size=(80, 24), no_color=True) as screen:
        assert screen.app.theme == "ansi-dark"
        bar = next(line for line in screen.text().splitlines() if "1 RTX 5070 Ti" in line)
        assert "=" in bar and "█" in bar and "▒" in bar and "·" in bar
        for strip in screen.app.screen._compositor.render_strips():
            for segment in strip.apply_filter(screen.app._filters[-1], screen.app.screen.background_colors[1]):
                style = segment.style
                assert style is None or all(color is None or color.is_default for color in (style.color, style.bgcolor))


async def test_an_unknown_theme_is_said_and_the_default_is_used(cockpit):
    async with cockpit(World(two_cards()), theme="rigtui-drak") as screen:
        assert screen.app.theme == "rigtui-dark"
        await screen.until(lambda: "did you mean rigtui-dark?" in screen.told)


async def test_a_fault_in_the_planner_is_told_and_the_screen_goes_on(cockpit):
    world = World(two_cards())

    def broken(*_):
        raise ZeroDivisionError("heads")

    world.derive = broken
    async with cockpit(world) as screen:
        await screen.until(lambda: "a fault in rigtui itself (plan): ZeroDivisionError: heads" in screen.told)
        assert "No plan" in screen.part("#plan")
        force_setattr(screen.app.cockpit.services, "derive", plan_for)
        await screen.press("down")
        await screen.until(lambda: screen.state.plan)


async def test_wide_characters_keep_the_columns(cockpit):
    wide = replace(MODELS[0], name="模型模型模型模型模型模型模型模型模型模型", path="/m/wide.gguf")
    async with cockpit(World(two_cards(), candidates(wide, MODELS[1])), size=(80, 24)) as screen:
        assert "17.3 GiB" in screen.text()
        assert screen.text().count("fits  ~38") == 2
        assert screen.app.screen.query_one("#model-list").virtual_size.height == 3


def test_without_a_terminal_it_says_what_to_use_instead():
    import subprocess
    import sys

    command = [sys.executable, "-m", "rigtui"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("rigtui: the screen needs a terminal") and "rigtui plan MODEL" in done.stderr


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
        await screen.until(lambda: echo[1] in screen.app.cockpit.log_lines)
        assert not watch.wake.is_set()
        world.live = Live(decode_tok_s=9.0, processing=1)
        screen.app.cockpit.post_message(LogRead("a", LogChunk(("0.45 I slot launch_slot_: id 0 | task 7 | processing task",))))
        await screen.until(lambda: "9.0 tok/s" in screen.part("#engine"))


async def test_more_context_than_the_model_was_trained_for_is_said_to_be_the_end(cockpit):
    world = World(two_cards(), candidates(MODELS[1]))
    async with cockpit(world) as screen:
        assert screen.state.plan.context == 40960
        await screen.press("right_square_bracket")
        await screen.until(lambda: "this is all the model was trained for" in screen.told)
        assert not screen.state.changed


async def test_the_first_press_of_the_kv_key_changes_the_type(cockpit):
    world = World(two_cards())
    for planned in ("f16", "q8_0"):
        world.derive = lambda rig, model, intent, builds, planned=planned: replace(
            plan_for(rig, model, intent, builds), kv_type=intent.overrides.kv_type or (planned, planned)
        )
        async with cockpit(world) as screen:
            await screen.press("k")
            await screen.until(lambda: screen.state.overrides.kv_type)
            assert screen.state.overrides.kv_type[0] != planned


async def test_without_a_card_one_short_line_says_so_once_there_are_models_and_the_key_says_it_too(cockpit):
    async with cockpit(World(no_gpu_rig()), size=(60, 20)) as screen:
        await screen.until(lambda: "No GPU can be used, models run on the CPU; d says why." in screen.text())
        await screen.press("v")
        await screen.until(lambda: "nobody holds any VRAM" in screen.told)


@pytest.mark.parametrize("size", [(60, 20), (40, 12), (30, 8)])
async def test_the_line_of_the_keys_stays_in_the_smallest_terminal(cockpit, size):
    world = World(two_cards())
    world.runs = (run_state(),)
    async with cockpit(world, size=size) as screen:
        await screen.until(lambda: screen.state.run)
        assert "q quit" in screen.text().splitlines()[-1]


async def test_two_files_of_one_name_are_told_apart(cockpit):
    twins = tuple(replace(MODELS[0], path=f"/models/{name}.gguf") for name in ("tiny", "tiny-b"))
    async with cockpit(World(two_cards(), candidates(*twins)), size=(160, 48)) as screen:
        text = screen.part("#models")
        assert "models/tiny.gguf" in text and "models/tiny-b.gguf" in text


def test_a_program_that_is_not_on_the_path_is_named_as_it_was_started(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert started_as(".venv/bin/rigtui") == ".venv/bin/rigtui"
    assert started_as("/src/rigtui/__main__.py").endswith(" -m rigtui")


async def test_cards_that_the_engine_does_not_see_are_said_at_once(cockpit):
    world = World(two_cards())
    blind = Reason("cpu_build", "embedded (CPU only) sees no GPU, so everything runs on the CPU")
    world.derive = lambda *asked: replace(plan_for(*asked), warnings=(blind,))
    async with cockpit(world, size=(80, 24)) as screen:
        await screen.until(lambda: "The engine here sees no GPU, models run on the CPU; d says what mends it." in screen.text())

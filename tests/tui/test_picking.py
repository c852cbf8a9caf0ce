"""Picking a model: where each would go, in which order they stand, and that keys never wait for the derivation."""

from __future__ import annotations

import threading

import pytest
from msgspec.structs import force_setattr, replace
from textual.events import Key
from textual.widgets import Input

from rigtui.errors import RigtuiError
from rigtui.intent.intent import Intent
from rigtui.text import MIB
from rigtui.tui.placing import Placement, placement, speed_text
from rigtui.tui.shelf import Shelf
from rigtui.tui.widgets.model_list import ModelList
from tui.fakes.models import BROKEN, MODELS, USE_CASES, candidates, model
from tui.fakes.plans import plan_for
from tui.fakes.rigs import eight_cards, no_gpu_rig, two_cards
from tui.fakes.runs import run_state
from tui.fakes.world import World


def plan(rig, chosen=MODELS[0]):
    return plan_for(rig, chosen, Intent(use_case=USE_CASES[0]), ())


def test_a_plan_in_one_row():
    found = placement(plan(two_cards()), two_cards(), 3)
    assert found == Placement(status="fits", cards="GPU 0+1", tok_s=38.0, choice=3)
    assert placement(plan(no_gpu_rig()), no_gpu_rig(), 0).cards == "CPU"
    whole = plan(eight_cards())
    apart = tuple(replace(whole.devices[0], device=f"CUDA{at}", uuid=f"GPU-{at}", name="NVIDIA GeForce RTX 3060") for at in (0, 1, 2, 3))
    assert placement(replace(whole, devices=apart), eight_cards(), 0).cards == "GPU 0–3"
    assert placement(replace(whole, devices=apart[::2]), eight_cards(), 0).cards == "GPU 0+2"
    spilt = replace(plan(two_cards()), status="offload", host=replace(plan(two_cards()).host, offloaded_layers=7))
    assert placement(spilt, two_cards(), 0).cards == "GPU 0+1 + RAM"
    nothing = placement(replace(plan(two_cards()), status="no_fit"), two_cards(), 0)
    assert (nothing.cards, nothing.tok_s, speed_text(nothing)) == ("", None, "")


def test_an_expected_speed_reads_differently_from_a_measured_one():
    assert speed_text(Placement(status="fits", tok_s=38.2)) == "~38 tok/s"
    assert speed_text(Placement(status="fits", tok_s=1204.0, basis="measured")) == "1,204 tok/s"


async def test_every_row_says_where_its_model_would_go(cockpit):
    async with cockpit(World(two_cards()), size=(160, 48)) as screen:
        await screen.until(lambda: len(screen.state.placements) == len(MODELS))
        await screen.until(lambda: screen.part("#model-list").count("fits on GPU 0+1 · ~38 tok/s") == len(MODELS))
        assert "qwen3moe · 256k" in screen.part("#model-list")


async def test_a_program_that_brings_a_model_along_begins_with_it_and_not_with_a_favourite(cockpit):
    world = World(two_cards())
    world.shelf, world.begins_with = Shelf(favourites=(MODELS[0].path,)), MODELS[2].path
    async with cockpit(world) as screen:
        await screen.until(lambda: len(screen.state.placements) == len(MODELS))
        assert screen.state.candidate.path == MODELS[2].path
        assert MODELS[2].name in screen.part("#plan")


async def test_rows_follow_the_choice_and_the_rig(cockpit):
    world = World(two_cards())
    async with cockpit(world, size=(160, 48)) as screen:
        await screen.until(lambda: len(screen.state.placements) == len(MODELS))
        first = screen.state.survey
        await screen.press("u")
        await screen.until(lambda: {one.choice for one in screen.state.placements.values()} == {first + 1})
        world.rig = replace(world.rig, gpus=tuple(replace(card, free_bytes=1000 * MIB) for card in world.rig.gpus))
        world.derive = lambda *asked: replace(plan_for(*asked), status="no_fit")
        force_setattr(screen.app.cockpit.services, "derive", world.derive)
        await screen.until(lambda: screen.part("#model-list").count("no fit") == len(MODELS))


async def test_a_model_that_cannot_be_planned_does_not_fit(cockpit):
    world = World(two_cards())

    def derive(rig, chosen, intent, builds):
        if chosen.name == MODELS[2].name:
            raise RigtuiError("no such cache")
        return plan_for(rig, chosen, intent, builds)

    world.derive = derive
    async with cockpit(world, size=(160, 48)) as screen:
        await screen.until(lambda: len(screen.state.placements) == len(MODELS))
        assert screen.state.placements[MODELS[2].path].status == "no_fit"
        assert screen.state.placements[MODELS[1].path].status == "fits"


async def test_where_the_chosen_model_goes_is_derived_once(cockpit):
    world, derived = World(two_cards()), []

    def derive(rig, chosen, intent, builds):
        derived.append((chosen.name, intent.use_case.name))
        return plan_for(rig, chosen, intent, builds)

    world.derive = derive
    async with cockpit(world) as screen:
        await screen.until(lambda: len(screen.state.placements) == len(MODELS))
        await screen.until(lambda: not screen.app.cockpit._busy)
        chosen, now = screen.state.candidate.model.name, screen.state.survey
        derived.clear()
        await screen.press("u")
        await screen.until(lambda: {one.choice for one in screen.state.placements.values()} == {now + 1})
        await screen.until(lambda: not screen.app.cockpit._busy)
        assert [name for name, _ in derived].count(chosen) == 1
        assert len(derived) == len(MODELS)


async def test_answers_for_an_older_choice_are_dropped(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        await screen.until(lambda: len(screen.state.placements) == len(MODELS))
        held, seen = threading.Event(), []

        def derive(rig, chosen, intent, builds):
            if intent.use_case.name == "coding" and chosen is not MODELS[0]:
                seen.append(chosen.name)
                held.wait(120)
            return plan_for(rig, chosen, intent, builds)

        force_setattr(screen.app.cockpit.services, "derive", derive)
        await screen.press("u")
        await screen.until(lambda: seen)
        await screen.press("u")
        now = screen.state.survey
        await screen.until(lambda: {one.choice for one in screen.state.placements.values()} == {now})
        held.set()
        await screen.pilot.pause(0.1)
        assert {one.choice for one in screen.state.placements.values()} == {now}


async def test_the_plan_that_is_waited_for_is_derived_before_the_places_of_the_other_models(cockpit):
    world, under_way, beside = World(two_cards()), [], []
    derive = world.derive

    def watched(rig, chosen, intent, builds):
        under_way.append(chosen.name)
        if MODELS[0].name in under_way and len(under_way) > 1:
            beside.append(chosen.name)
        plan = derive(rig, chosen, intent, builds)
        under_way.remove(chosen.name)
        return plan

    world.derive = watched
    async with cockpit(world) as screen:
        await screen.until(lambda: len(screen.state.placements) == len(MODELS))
        world.derive_gate.clear()
        await screen.press("left_square_bracket")
        await screen.until(lambda: under_way == [MODELS[0].name])
        await screen.settled()
        world.derive_gate.set()
        await screen.until(lambda: all(one.choice == screen.state.survey for one in screen.state.placements.values()))
        assert beside == []


async def test_while_a_setting_is_turned_the_plan_alone_is_derived_and_the_list_stays(cockpit):
    world, derived = World(two_cards()), []
    derive = world.derive

    def watched(rig, chosen, intent, builds):
        derived.append((chosen.name, intent.overrides.context))
        return derive(rig, chosen, intent, builds)

    world.derive = watched
    async with cockpit(world) as screen:
        await screen.until(lambda: len(screen.state.placements) == len(MODELS))
        await screen.until(lambda: not screen.app.cockpit._busy)
        force_setattr(screen.app.cockpit.services, "place_delay_s", 120.0)
        derived.clear()
        for turn in range(1, 4):
            await screen.press("left_square_bracket")
            await screen.until(lambda turn=turn: len(derived) == turn and screen.app.cockpit.deriving is None)
        assert {name for name, _ in derived} == {screen.state.candidate.model.name}
        assert screen.state.plan.context_per_slot == screen.state.overrides.context
        assert screen.state.surveyed < screen.state.survey


async def test_keys_do_not_wait_while_two_hundred_models_are_derived(cockpit):
    many = tuple(model(f"{at:03d}-model-Q4_K_M", 4 + at / 10, "llama", "Q4_K_M", 131072) for at in range(200))
    world = World(two_cards(), candidates(*many))
    async with cockpit(world, size=(80, 24)) as screen:
        await screen.press(*["down"] * 30, *["up"] * 5)
        assert screen.state.selected == many[25].path
        await screen.press("slash", *"07", "backspace", *"8", "down", "down")
        await screen.until(lambda: screen.state.selected == many[81].path)
        await screen.press("escape")
        await screen.until(lambda: len(screen.state.placements) == 200, "all derived")
        assert "081-" in screen.part("#model-list")


async def test_what_is_typed_right_behind_the_key_belongs_to_the_filter(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        for key in ("slash", "q", "l", "backspace", "backspace", "g", "p", "backspace", "l"):
            screen.app.post_message(Key(key, key if len(key) == 1 else None))
        await screen.until(lambda: [line.value for line in screen.app.cockpit.query("#model-filter").results(Input)] == ["gl"])
        assert not world.launched and screen.app.is_running


async def test_what_is_typed_right_behind_enter_in_the_filter_acts_on_the_list(cockpit):
    async with cockpit(World(two_cards())) as screen:
        for key in ("slash", "g", "l", "enter", "x"):
            screen.app.post_message(Key(key, key if len(key) == 1 else None))
        await screen.until(lambda: len(screen.app.screen_stack) == 2, "the export is open")
        assert screen.app.cockpit.query_one("#model-filter", Input).value == "gl"


async def test_what_is_typed_right_behind_the_key_of_a_dialog_belongs_to_the_dialog(cockpit):
    async with cockpit(World(two_cards())) as screen:
        for key in ("f", "l", "q", "backspace", "s"):
            screen.app.post_message(Key(key, key if len(key) == 1 else None))
        await screen.until(lambda: len(screen.app.screen_stack) == 2)
        await screen.until(lambda: screen.app.screen.query_one("Input").value == "ls")


async def test_favourites_orders_and_groups_by_key_and_kept(cockpit):
    world = World(two_cards(), (*candidates(*MODELS), BROKEN))
    async with cockpit(world, size=(120, 36)) as screen:
        models = screen.app.cockpit.query_one(ModelList)
        await screen.press("down", "down", "asterisk")
        await screen.until(lambda: models.rows[0].path == MODELS[2].path)
        assert screen.state.selected == MODELS[2].path
        assert "★gemma" in screen.part("#model-list") and "favourites" in screen.part("#model-list")
        await screen.until(lambda: world.shelf.favourites == (MODELS[2].path,))
        await screen.press("S", "S")
        await screen.until(lambda: "by size" in screen.part("#models"))
        assert [row.path for row in models.rows[1:3]] == [MODELS[1].path, MODELS[0].path]
        await screen.press("g")
        await screen.until(lambda: "qwen" in screen.part("#model-list").split())
        await screen.press("g")
        await screen.until(lambda: models.rows[0].path == MODELS[1].path)
        await screen.until(lambda: world.shelf == Shelf(favourites=(MODELS[2].path,), sort="size", group="none"))


async def test_the_screen_opens_on_what_was_used_last(cockpit):
    world = World(two_cards())
    world.used = {MODELS[3].path: "2026-02-27T18:00:00Z", MODELS[1].path: "2026-03-01T19:20:21Z"}
    async with cockpit(world, size=(160, 48)) as screen:
        await screen.until(lambda: screen.state.selected == MODELS[1].path)
        assert screen.part("#model-list").startswith("last used Qwen3-32B")


async def test_a_model_that_runs_is_marked(cockpit):
    world = World(eight_cards())
    world.runs = (run_state("a"),)
    async with cockpit(world) as screen:
        await screen.until(lambda: screen.state.runs)
        await screen.until(lambda: f"●{MODELS[0].name[:6]}" in screen.text())


async def test_the_mouse_picks_a_model(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await screen.pilot.click(ModelList, offset=(4, 3))
        await screen.until(lambda: screen.state.selected == MODELS[2].path)


@pytest.mark.parametrize("width", [24, 31, 45, 60])
@pytest.mark.parametrize("roomy", [True, False])
def test_rows_have_exactly_the_width(width, roomy):
    from rigtui.tui.widgets.model_rows import row_lines, row_of

    wide = candidates(replace(MODELS[0], name="模型" * 30, path="/m/wide.gguf"))[0]
    placed = Placement(status="offload", cards="GPU 0–7 + RAM", tok_s=1204.0)
    for entry in (wide, BROKEN, *candidates(*MODELS)):
        for found in (placed, None):
            row = row_of(entry, placement=found, favourite=True)
            lines = row_lines(row, width, roomy=roomy, open_=True, sort="used")
            assert lines[0].cell_length == width and lines[1].cell_length <= width, (entry.name, [line.plain for line in lines])


@pytest.mark.parametrize("room", [15, 16, 18, 22, 40])
def test_models_of_a_family_are_told_apart_in_a_narrow_list(room):
    from rigtui.tui.widgets.model_rows import shortened

    family = ("Llama-3.1-8B-Instruct-Q4_K_M", "Llama-3.3-70B-Instruct Q4_K_M", "Llama-3.3-70B-Instruct Q6_K", "Llama-3.1-8B-Q4_K_M")
    found = [shortened(name, room) for name in family[: 3 if room < 22 else 4]]
    assert len(set(found)) == len(found) and max(map(len, found)) <= room
    assert ("8B" in found[0], "70B" in found[1], "Q6_K" in found[2]) == (True, True, True)
    assert shortened("gpt-oss-120b-mxfp4", room) != shortened("gpt-oss-20b-mxfp4", room)


async def test_a_filter_that_matches_nothing_says_so_and_offers_no_launch(cockpit):
    async with cockpit(World(two_cards()), size=(120, 36)) as screen:
        await screen.press("slash", *"zzz")
        await screen.until(lambda: "no model matches 'zzz'; Esc clears" in screen.text())
        await screen.until(lambda: "l launch" not in screen.text())
        await screen.press("escape")
        await screen.until(lambda: "l launch" in screen.text() and "no model matches" not in screen.text())


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


async def test_a_model_that_cannot_be_read_is_a_row_that_says_why(cockpit):
    async with cockpit(World(two_cards(), (*candidates(MODELS[0]), BROKEN))) as screen:
        assert "half-downloaded-Q8_0" in screen.text()
        assert "it ends in the middle of its header" in screen.part("#models"), "from its beginning, without its place"
        await screen.press("down")
        await screen.until(lambda: screen.state.selected == BROKEN.path)
        assert "ends in the middle of its header" in screen.part("#plan")


async def test_two_files_of_one_name_are_told_apart(cockpit):
    twins = tuple(replace(MODELS[0], path=f"/models/{name}.gguf") for name in ("tiny", "tiny-b"))
    async with cockpit(World(two_cards(), candidates(*twins)), size=(160, 48)) as screen:
        text = screen.part("#models")
        assert "models/tiny.gguf" in text and "models/tiny-b.gguf" in text

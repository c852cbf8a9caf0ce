"""Keeping the choices of the cockpit: as a profile, as an export, a folder of models in the configuration."""

from __future__ import annotations

import threading

from textual.widgets import Input

from rigtui.errors import RigtuiError
from rigtui.tui.screens.dialogs import QuestionScreen
from tui.fakes.models import MODELS, candidates
from tui.fakes.rigs import two_cards
from tui.fakes.world import World, failing


async def test_a_profile_is_saved_under_a_typed_name_and_never_replaced_silently(cockpit):
    world = World(two_cards())
    world.taken.add("mine")
    async with cockpit(world) as screen:
        await screen.press("left_square_bracket", "p")
        await screen.enter("mine")
        await screen.until(lambda: isinstance(screen.app.screen, QuestionScreen))
        await screen.until(lambda: "there is a profile mine already." in screen.part("QuestionScreen > .box"))
        assert world.saved == []
        await screen.press("escape")
        await screen.until(lambda: "there is a profile mine already" in screen.text())
        assert screen.app.screen.query_one(Input).value == "mine", "another name can be typed"
        await screen.press("enter")
        await screen.until(lambda: isinstance(screen.app.screen, QuestionScreen))
        await screen.press("enter")
        await screen.until(lambda: world.saved)
        name, path, intent = world.saved[0]
        assert (name, path, intent.overrides.context) == ("mine", MODELS[0].path, 32768)
        await screen.until(lambda: screen.state.saved and len(screen.app.screen_stack) == 1)
        assert "saved as mine" in screen.told


async def test_a_profile_that_cannot_be_written_leaves_the_dialog_open_with_the_name_and_the_reason(cockpit):
    world = World(two_cards())
    save, full = world.save, ["/config/profiles/coder.toml cannot be written: No space left on device"]

    def saved(*values: object) -> str:
        if full:
            raise RigtuiError(full.pop())
        return save(*values)

    world.save = saved
    async with cockpit(world, size=(80, 24)) as screen:
        await screen.press("p")
        await screen.enter("coder")
        await screen.until(lambda: "No space left" in screen.text())
        assert screen.app.screen.query_one(Input).value == "coder" and "Save as a profile" in screen.text()
        await screen.press("enter")
        await screen.until(lambda: screen.state.saved and len(screen.app.screen_stack) == 1)


async def test_what_fails_after_its_dialog_was_closed_is_told_all_the_same(cockpit):
    world = World(two_cards())
    gate = threading.Event()

    def saved(*_: object) -> str:
        gate.wait(120)
        raise RigtuiError("the disk is full")

    world.save = saved
    async with cockpit(world) as screen:
        await screen.press("p")
        await screen.until(lambda: screen.app.screen.query(Input))
        await screen.press("enter", "escape")
        await screen.until(lambda: len(screen.app.screen_stack) == 1)
        gate.set()
        await screen.until(lambda: "the disk is full" in screen.told)
        assert screen.app.screen is screen.app.cockpit


async def test_export_shows_the_section(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await screen.press("x")
        await screen.until(lambda: "CTX_SIZE=65536" in screen.text())
        await screen.press("y")
        assert "MODEL=Qwen3-Coder" in screen.app.clipboard


async def test_a_fault_while_an_export_is_written_is_told(cockpit):
    world = World(two_cards())
    world.write_export = failing(ZeroDivisionError("columns"))
    async with cockpit(world) as screen:
        await screen.press("x")
        await screen.until(lambda: "CTX_SIZE=65536" in screen.text())
        await screen.press("w")
        await screen.until(lambda: "Write the export" in screen.text())
        await screen.press("enter")
        await screen.until(lambda: "a fault in rigtui itself (Write the export): ZeroDivisionError: columns" in screen.told)
        assert screen.app.is_running


async def test_without_models_the_screen_says_what_to_do_and_a_folder_can_be_typed(cockpit):
    world = World(two_cards(), ())
    async with cockpit(world, size=(80, 24)) as screen:
        text = screen.part("#plan")
        assert "No models found yet" in text and "[models] folders" in text and "rigtui demo" in text
        await screen.press("f")
        world.models = candidates(MODELS[0])
        await screen.enter("/data/models")
        await screen.until(lambda: screen.state.candidates)
        assert world.folders == ["/data/models"]
        await screen.until(lambda: screen.state.plan)

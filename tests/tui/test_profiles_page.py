"""The page of the profiles and their results."""

from __future__ import annotations

from msgspec.structs import replace
from textual.widgets import Input

from tui.fakes import MODELS, World, candidates, model, two_cards


async def opened(screen) -> None:
    await screen.press("P")
    await screen.until(lambda: "writer" in screen.text())


async def test_the_list_says_what_is_not_downloaded_and_the_table_what_was_measured(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await opened(screen)
        await screen.until(lambda: "38.2" in screen.text())
        lines = screen.text().splitlines()
        assert "not downloaded" in next(line for line in lines if "gpt-oss-120b" in line)
        assert "context 32768 · kv_type q8_0" in screen.text()
        dates = [line.split()[0] for line in lines if "2026-" in line]
        assert dates == ["2026-03-01", "2026-02-20", "2026-02-11"], "newest first"
        newest = next(line for line in lines if "2026-03-01" in line)
        for words in ("b6500", "32,768", "q8_0", "38.2", "1,204", "0.21", "13.3/13.5"):
            assert words in newest
        assert "failed: out_of_vram" in screen.text()
        assert max(map(len, lines)) <= 80
        assert not screen.app.screen.max_scroll_x and not screen.app.screen.max_scroll_y


async def test_loading_one_makes_its_model_use_case_and_settings_the_choices(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await screen.press("down")
        await opened(screen)
        await screen.press("enter")
        await screen.until(lambda: len(screen.app.screen_stack) == 1)
        await screen.until(lambda: screen.state.plan.use_case == "coding")
        assert screen.state.selected == MODELS[0].path
        assert screen.state.plan.context_per_slot == 32768 and screen.state.plan.kv_type == ("q8_0", "q8_0")
        assert not screen.state.changed, "nothing of this is a change"
        await screen.press("l")
        await screen.until(lambda: screen.world.launched)
        assert screen.world.launched[0][1].profile == "coder"


async def test_a_model_outside_the_folders_comes_along_and_stays(cockpit):
    far = model("far-away-7B-Q8_0", 7.0, "llama", "Q8_0", 8192)
    world = World(two_cards())
    read = world.profiles.load
    world.profiles.load = lambda name: replace(read(name), model=candidates(far)[0])
    async with cockpit(world) as screen:
        await opened(screen)
        await screen.press("enter")
        await screen.until(lambda: screen.state.plan and screen.state.plan.model.path == far.path)
        await screen.press("f5")
        await screen.settled()
        assert screen.state.selected == far.path


async def test_one_whose_model_is_not_here_is_not_loaded_and_says_so(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await opened(screen)
        await screen.press("down")
        await screen.until(lambda: "Enter load" not in screen.text())
        await screen.press("enter")
        await screen.until(lambda: "is not downloaded" in screen.told)
        await screen.press("delete")
        assert screen.app.screen._removed == [], "what ships with rigtui stays"


async def test_copy_and_rename_ask_for_a_name_that_is_not_taken(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        await opened(screen)
        await screen.press("c")
        await screen.until(lambda: screen.app.screen.query(Input))
        await screen.press("enter")
        assert "this name is taken" in screen.text()
        screen.app.screen.query_one(Input).value = "coder-2"
        await screen.press("enter")
        await screen.until(lambda: "coder-2" in screen.text() and "copied to" in screen.told)
        await screen.press("n")
        await screen.until(lambda: screen.app.screen.query(Input))
        screen.app.screen.query_one(Input).value = "zebra"
        await screen.press("enter")
        await screen.until(lambda: "zebra" in screen.text() and "coder-2 " not in screen.text())
        assert set(world.profiles.stored) == {"coder", "zebra", "gpt-oss-120b", "writer"}


async def test_what_is_removed_can_be_brought_back_until_the_page_is_left(cockpit):
    world = World(two_cards())
    async with cockpit(world, size=(80, 24)) as screen:
        await opened(screen)
        await screen.press("delete")
        await screen.until(lambda: "removed, z brings it back" in screen.text())
        assert "Enter load" not in screen.text() and world.profiles.removed == []
        await screen.press("z")
        await screen.until(lambda: "removed, z" not in screen.text())
        await screen.press("down", "down", "delete", "escape")
        await screen.until(lambda: world.profiles.removed)
        assert world.profiles.removed == ["writer"]


async def test_leaving_the_program_deletes_what_was_removed_too(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        await opened(screen)
        await screen.press("delete", "ctrl+q")
    assert world.profiles.removed == ["coder"]


async def test_export_shows_the_section(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await opened(screen)
        await screen.press("x")
        await screen.until(lambda: "[coder]" in screen.text())

"""Names and texts of others on every page: markup, control sequences, wide characters and great length are shown as data."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from rich.cells import cell_len

from rigtui.doctor.check import Check
from rigtui.intent.profile import Profile
from rigtui.text import clean
from rigtui.tui.services import LogLine, SavedRig
from tui.fakes.models import MODELS, candidates
from tui.fakes.profiles import result
from tui.fakes.rigs import two_cards
from tui.fakes.runs import run_state
from tui.fakes.world import World

EVIL = "[red]x[/x] [/] \x1b[2J\u202e界界界 " + "long" * 40
PAGES = {
    "runs": ("R",),
    "log": ("o",),
    "ask": ("a",),
    "doctor": ("d",),
    "rigs": ("G",),
    "compare": ("c", "p"),
    "profiles": ("P",),
    "plot": ("P", "v"),
    "copy": ("P", "c"),
    "stop": ("s",),
}


def evil_world() -> World:
    world = World(two_cards())
    world.runs = (
        run_state("b", "failed", profile=EVIL),
        run_state("a", "ready", profile=EVIL, model=EVIL, model_id=EVIL, notes=(EVIL,)),
    )
    world.lines += [LogLine(clean(EVIL), "error")] * 3
    world.checks = (Check(id="x", status="warn", text=EVIL, mend=EVIL),)
    world.rigs = (SavedRig(name=EVIL, problem=EVIL), SavedRig(name=EVIL, rig=replace(two_cards(), name=EVIL)))
    world.profiles.stored = {EVIL: Profile(name=EVIL, model=MODELS[0].path, description=EVIL)}
    world.profiles.measured = {EVIL: (result("2026-01-01", EVIL, 3.0),)}
    return world


@pytest.mark.parametrize("page", PAGES)
async def test_foreign_text_is_shown_as_data_and_nothing_is_wider_than_the_screen(cockpit, page):
    async with cockpit(evil_world(), size=(80, 24)) as screen:
        await screen.until(lambda: screen.state.run)
        for at, key in enumerate(PAGES[page]):
            await screen.press(key)
            if key == "P":
                await screen.until(lambda: "v draws them" in screen.text())
            await screen.until(lambda at=at: at or len(screen.app.screen_stack) > 1)
        # The comparison has no foreign text but the model's name, which is a plain one here.
        await screen.until(lambda: "[red]" in screen.text() or page == "compare")
        text = screen.text()
        assert "\x1b" not in text and "\u202e" not in text
        assert max(cell_len(line) for line in text.splitlines()) <= 80
        assert not screen.app.screen.max_scroll_x and not screen.app.screen.max_scroll_y


async def test_a_profile_with_control_characters_is_not_edited_on_the_screen(cockpit):
    async with cockpit(evil_world(), size=(80, 24)) as screen:
        await screen.press("P")
        await screen.until(lambda: "v draws them" in screen.text())
        await screen.press("e")
        await screen.until(lambda: "control characters; E opens it in your editor" in screen.told)
        assert len(screen.app.screen_stack) == 2


async def test_foreign_names_are_shown_as_data(cockpit):
    evil = replace(MODELS[0], name="[red]x\x1b[2J[/]y\u202e", path="/m/evil.gguf")
    async with cockpit(World(replace(two_cards(), name="rig[/]\x1b]0;title\x07"), candidates(evil))) as screen:
        text = screen.text()
        assert "[red]x[/]y" in text and "rig[/]" in text
        assert "\x1b" not in text and "\u202e" not in text


async def test_wide_characters_keep_the_columns(cockpit):
    wide = replace(MODELS[0], name="模型模型模型模型模型模型模型模型模型模型", path="/m/wide.gguf")
    async with cockpit(World(two_cards(), candidates(wide, MODELS[1])), size=(80, 24)) as screen:
        assert "17.3 GiB" in screen.text()
        assert screen.text().count("fits  ~38") == 2
        assert screen.app.screen.query_one("#model-list").virtual_size.height == 3

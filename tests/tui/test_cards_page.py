"""The page that says who holds the VRAM."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from rigtui.rig.process_facts import ProcessFacts
from rigtui.tui.holder_text import holder_row, holders
from rigtui.tui.state import Cockpit
from tui.fakes.models import MODELS, candidates
from tui.fakes.rigs import busy_cards, eight_cards, two_cards, wsl_rig
from tui.fakes.runs import run_state
from tui.fakes.world import World

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BLOB = replace(MODELS[1], path="/ollama/blobs/sha256-1")
KNOWN = {
    4102: ProcessFacts(user="ollama", mine=False, started=1_771_977_600.0, model_file=BLOB.path),
    1201: ProcessFacts(user="anna", mine=True, started=1_771_977_600.0),
    2210: ProcessFacts(user="anna", mine=True, started=1_771_977_600.0),
    3055: ProcessFacts(user="anna", mine=True, started=1_771_977_600.0),
}


def busy_world() -> World:
    served = replace(candidates(BLOB)[0], ref="ollama:qwen3:32b", source="Ollama")
    world = World(busy_cards(), (*candidates(MODELS[0]), served))
    world.processes = dict(KNOWN)
    return world


@pytest.mark.parametrize("width", range(40, 120))
def test_the_line_of_a_card_is_never_wider_than_its_panel(width):
    state = Cockpit(rig=two_cards())
    for row in holders(state, {}):
        assert holder_row(row, width, NOW).cell_length <= width


async def test_every_holder_is_named_with_user_size_and_what_frees_it(cockpit):
    async with cockpit(busy_world(), size=(80, 24)) as screen:
        await screen.press("v")
        await screen.until(lambda: "ollama stop qwen3:32b" in screen.text())
        text = screen.text()
        for words in (
            "0 RTX 4090",
            "1 RTX 5070 Ti",
            "gnome-shell",
            "ComfyUI/main.py",
            "8.0 GiB",
            "graphics",
            "anna",
            "pid 4102",
            "user ollama",
        ):
            assert words in text
        await screen.press("y")
        assert screen.app.clipboard == "ollama stop qwen3:32b"
        await screen.press("down", "down")
        await screen.until(lambda: "kill 2210" in screen.text())
        assert "y copy command" in screen.text()
        await screen.press("down")
        await screen.until(lambda: "The desktop itself" in screen.text())
        assert "y copy command" not in screen.text()
        await screen.press("escape")
        assert len(screen.app.screen_stack) == 1


async def test_a_click_on_the_bars_opens_it_and_it_follows_the_readings(cockpit):
    world = busy_world()
    async with cockpit(world) as screen:
        await screen.pilot.click("#bars")
        await screen.until(lambda: "firefox" in screen.text())
        await screen.press("down", "down")
        first, second = world.rig.gpus
        world.rig = replace(world.rig, gpus=(replace(first, processes=()), second))
        await screen.until(lambda: "ollama" not in screen.text())
        assert "pid 2210" in screen.text(), "the cursor stays on its process"


async def test_a_simulated_rig_says_that_nobody_can_be_named(cockpit):
    async with cockpit(World(two_cards(simulated=True)), size=(80, 24)) as screen:
        await screen.press("v")
        await screen.until(lambda: "a rig file does not say which programs" in screen.part("#holder"))
        assert "kill" not in screen.part("#holder")


async def test_under_wsl_it_says_why_nobody_is_named(cockpit):
    async with cockpit(World(wsl_rig()), size=(80, 24)) as screen:
        await screen.press("v")
        await screen.until(lambda: "the driver names no processes here" in " ".join(screen.text().split()))
        assert "Task Manager" in screen.text()


async def test_a_lost_card_says_what_to_do_and_nothing_is_wider_than_the_terminal(cockpit):
    async with cockpit(World(eight_cards()), size=(80, 24)) as screen:
        await screen.press("v", *["down"] * 5)
        await screen.until(lambda: "fell off the bus" in screen.text())
        assert max(map(len, screen.text().splitlines())) <= 80
        assert not screen.app.screen.max_scroll_x and not screen.app.screen.max_scroll_y


async def test_an_engine_of_rigtuis_own_is_stopped_as_a_run(cockpit):
    world = busy_world()
    world.runs = (run_state("4f1c", pid=4102),)
    async with cockpit(world) as screen:
        await screen.until(lambda: screen.state.run)
        await screen.press("v")
        await screen.until(lambda: "rigtui stop 4f1c" in screen.text())
        assert "kill 4102" not in screen.text()

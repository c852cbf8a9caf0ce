"""The first steps: shown one at a time, gone for good once taken or hidden."""

from __future__ import annotations

from rigtui.paths import state_dir
from rigtui.tui import tip_store
from rigtui.tui.tips import TIPS
from tui.fakes.rigs import two_cards
from tui.fakes.world import World


def new_here() -> World:
    world = World(two_cards())
    world.tips = frozenset()
    return world


async def test_each_step_goes_when_it_was_taken_and_stays_gone(cockpit):
    world = new_here()
    async with cockpit(world, size=(80, 24)) as screen:
        await screen.until(lambda: "first steps 1/4 choose a model" in screen.text())
        assert max(map(len, screen.text().splitlines())) <= 80
        await screen.press("down")
        await screen.until(lambda: "first steps 2/4 u turns the use case, [ ] the context" in screen.text())
        await screen.press("left_square_bracket")
        await screen.until(lambda: "first steps 3/4 l launches this plan" in screen.text())
        await screen.press("l")
        await screen.until(lambda: "first steps 4/4 p keeps this as a profile" in screen.text())
        await screen.until(lambda: world.tips == {"model", "choices", "launch"})
    async with cockpit(world, size=(80, 24)) as screen:
        await screen.until(lambda: "first steps 4/4" in screen.text())
        await screen.press("p", "enter")
        await screen.until(lambda: "first steps" not in screen.text())
        await screen.until(lambda: world.tips == set(TIPS))


async def test_they_can_be_hidden_at_once(cockpit):
    world = new_here()
    async with cockpit(world) as screen:
        await screen.until(lambda: "h hides this" in screen.text())
        await screen.press("h")
        await screen.until(lambda: "first steps" not in screen.text())
        await screen.until(lambda: world.tips == set(TIPS))


def test_what_was_taken_is_kept_and_a_damaged_file_is_no_trouble():
    assert tip_store.read() == frozenset()
    tip_store.keep(frozenset({"model", "launch"}))
    assert tip_store.read() == {"model", "launch"}
    (state_dir() / tip_store.FILE).write_text("{")
    assert tip_store.read() == frozenset()
    (state_dir() / tip_store.FILE).write_text('["model", 3, "noise"]')
    assert tip_store.read() == {"model"}


async def test_there_is_no_step_to_take_without_a_model(cockpit):
    world = World(two_cards(), ())
    world.tips = frozenset()
    async with cockpit(world) as screen:
        assert "first steps" not in screen.text()

"""What is told in passing: short, gone with the place it was told in, and never drawn twice."""

from __future__ import annotations

import pytest

from rigtui.tui.messages import Noted
from tui.fakes.rigs import two_cards
from tui.fakes.runs import run_state
from tui.fakes.world import World


@pytest.mark.parametrize("opens", ["R", "question_mark", "f"])
async def test_what_was_copied_is_told_in_few_words_until_another_page_or_dialog_comes(cockpit, opens):
    world = World(two_cards())
    world.runs = (run_state("a", "ready"),)
    async with cockpit(world, size=(80, 24)) as screen:
        await screen.until(lambda: screen.state.run)
        await screen.press("y")
        await screen.until(lambda: "curl command for this" in screen.text())
        assert len([line for line in screen.text().splitlines() if "copied" in line or "curl command" in line]) <= 2
        await screen.press(opens)
        await screen.until(lambda: screen.app.screen is not screen.app.cockpit and "curl command for this" not in screen.text())


async def test_what_failed_stays_and_is_drawn_once_above_a_dialog(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        screen.app.cockpit.post_message(Noted("the disk is full", title="profile", failed=True))
        await screen.until(lambda: "the disk is full" in screen.text())
        await screen.press("question_mark")
        await screen.until(lambda: "Help" in screen.text() and screen.text().count("the disk is full") == 1)
        await screen.press("escape")
        await screen.until(lambda: screen.app.screen is screen.app.cockpit and screen.text().count("the disk is full") == 1)


async def test_a_dead_key_that_is_held_down_says_why_once(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await screen.until(lambda: "fits" in screen.text())
        await screen.press(*["a"] * 12)
        screen.app.cockpit.post_message(Noted("the last word", title="end"))
        await screen.until(lambda: "the last word" in screen.text())
        assert len(screen.app._notifications) == 2

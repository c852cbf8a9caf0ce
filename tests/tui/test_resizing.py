"""Terminals that change their size, also to one that holds nothing: what is shown depends on the size alone, not on the way to it."""

from __future__ import annotations

import pytest

from tui.fakes.models import MODELS
from tui.fakes.rigs import eight_cards, two_cards
from tui.fakes.world import World


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
@pytest.mark.parametrize("tiny", [(38, 9), (10, 3), (2, 2)])
@pytest.mark.parametrize("rig", [two_cards(), eight_cards()], ids=lambda rig: rig.name)
async def test_a_terminal_that_was_tiny_for_a_while_shows_what_it_did_before(cockpit, rig, size, tiny):
    async with cockpit(World(rig), size=size) as screen:
        await screen.until(lambda: len(screen.state.placements) == len(MODELS))
        screen.app.cockpit.watch_rig.end()
        await screen.until(lambda: not screen.app.cockpit._busy)
        await screen.pilot.pause(0.2)
        before = screen.text()
        await screen.pilot.resize_terminal(*tiny)
        await screen.pilot.pause()
        await screen.pilot.resize_terminal(*size)
        await screen.until(lambda: screen.text() == before, f"what was there before\n{before}\nbut:")

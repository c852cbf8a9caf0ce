"""A screen that only shows."""

from __future__ import annotations

import pytest

from rigtui.errors import RigtuiError
from rigtui.tui.actions import BY_ID
from rigtui.tui.read_only import WRITES, read_only
from rigtui.tui.services import Services
from tui.fakes.rigs import two_cards
from tui.fakes.runs import run_state
from tui.fakes.world import World

SHOWS = {
    "watch_rig",
    "hurry",
    "read_use_cases",
    "find_builds",
    "scan",
    "model_folders",
    "read_shelf",
    "last_used",
    "launches_unasked",
    "derive",
    "derive_others",
    "read_rigs",
    "read_runs",
    "read_history",
    "read_request",
    "open_log",
    "open_lines",
    "open_live",
    "read_process",
    "examine",
    "export",
    "read_tips",
    "run_interval_s",
    "live_interval_s",
    "begins_with",
    "place_delay_s",
    "verify_delay_s",
}
"""What changes nothing. A service that is not here has to be replaced."""


def test_every_service_that_changes_something_is_replaced():
    open_ = World(two_cards()).services()
    shut = read_only(open_)
    kept = {name for name in Services.__struct_fields__ if getattr(shut, name) == getattr(open_, name)}
    assert kept <= SHOWS, "decide what a screen that only shows does with these"


def test_what_is_refused_says_why():
    shut = read_only(World(two_cards()).services())
    calls = (
        shut.launch,
        shut.stop,
        shut.take_step,
        shut.verify,
        shut.ask,
        shut.save_profile,
        shut.add_folder,
        shut.load_rig,
        shut.save_rig,
    )
    for refused in (*calls, shut.profiles.duplicate, shut.profiles.rename, shut.profiles.remove):
        with pytest.raises(RigtuiError, match="this screen only shows"):
            refused()
    assert shut.profiles.read()[0], "looking is not refused"
    assert set(BY_ID) >= WRITES


async def test_keys_that_would_change_something_are_dead_and_not_offered(cockpit):
    world = World(two_cards())
    world.runs = (run_state("a"),)
    async with cockpit(world, size=(160, 48), read_only=True) as screen:
        await screen.until(lambda: screen.state.run)
        hints = screen.text().splitlines()[-1]
        assert "shows only" in hints and "launch" not in hints and "stop" not in hints and "save profile" not in hints
        await screen.press("l", "s", "a", "p", "f")
        assert len(screen.app.screen_stack) == 1
        await screen.press("R")
        await screen.until(lambda: "1 running" in screen.text())
        assert "s stop" not in screen.text()
        await screen.press("s", "escape", "right_square_bracket")
        await screen.until(lambda: screen.state.overrides.context)
        assert world.launched == [] and world.stopped == []

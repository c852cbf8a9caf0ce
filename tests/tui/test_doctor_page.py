"""The doctor's page."""

from __future__ import annotations

from msgspec.structs import replace

from rigtui.errors import RigtuiError
from tui.fakes.checks import CHECKS
from tui.fakes.rigs import two_cards
from tui.fakes.world import World


async def test_every_check_has_its_word_and_the_worst_is_under_the_cursor(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await screen.press("d")
        await screen.until(lambda: "FAILED" in screen.text())
        text = screen.text()
        assert "1 FAILED, 1 warning, 1 unknown, 5 ok" in text
        assert "$ sudo chown -R $USER /home/anna/.local/state/rigtui" in text
        await screen.press("y")
        assert screen.app.clipboard == CHECKS[5].mend
        await screen.press("up")
        await screen.until(lambda: "y copy command" not in screen.text())
        await screen.press("q")
        assert len(screen.app.screen_stack) == 1 and screen.app.is_running


async def test_it_can_be_examined_again_and_the_cursor_stays(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        await screen.press("d")
        await screen.until(lambda: "FAILED" in screen.text())
        await screen.press("down")
        world.checks = tuple(replace(check, status="ok", mend=None) if check.status == "fail" else check for check in CHECKS)
        await screen.press("r")
        await screen.until(lambda: "1 warning, 1 unknown, 6 ok" in screen.text())
        assert world.examined == 2
        assert "export CUDA_DEVICE_ORDER=PCI_BUS_ID" in screen.text()


async def test_an_examination_that_cannot_be_made_is_told_and_can_be_tried_again(cockpit):
    world = World(two_cards())

    def refuse():
        raise RigtuiError("config.toml is not valid TOML: line 3")

    world.examine = refuse
    async with cockpit(world) as screen:
        await screen.press("d")
        await screen.until(lambda: "config.toml is not valid TOML" in screen.told)
        assert "r examine again" in screen.text()

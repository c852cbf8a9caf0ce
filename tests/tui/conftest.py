"""What makes a screen the same every time: no animation, no colours from the environment, one theme."""

from __future__ import annotations

import os

# Textual reads these when it is imported.
for variable in [name for name in os.environ if name.startswith("TEXTUAL_")]:
    del os.environ[variable]
os.environ["TEXTUAL_ANIMATIONS"] = "none"

import asyncio  # noqa: E402
import inspect  # noqa: E402
import time  # noqa: E402
from collections.abc import AsyncIterator, Callable  # noqa: E402
from contextlib import AbstractAsyncContextManager, asynccontextmanager  # noqa: E402

import pytest  # noqa: E402
from textual.pilot import Pilot  # noqa: E402
from textual.widgets import Input  # noqa: E402

from rigtui.models import download  # noqa: E402
from rigtui.tui.app import RigtuiApp  # noqa: E402
from rigtui.tui.theme import load_themes  # noqa: E402
from tui.fakes.rigs import two_cards  # noqa: E402
from tui.fakes.runs import run_state  # noqa: E402
from tui.fakes.world import World  # noqa: E402

DEADLINE_S = 120.0
"""Only a broken program needs it all: the tests share the machine with others."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Tests of the screen are coroutines; each gets an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True


Cockpit = Callable[..., AbstractAsyncContextManager["Screen"]]


class Screen:
    """A running cockpit and its pilot."""

    def __init__(self, app: RigtuiApp, pilot: Pilot[None], world: World) -> None:
        self.app, self.pilot, self.world = app, pilot, world

    @property
    def state(self):
        return self.app.cockpit.state

    def text(self) -> str:
        """What is on the screen, as lines of text."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)

    def part(self, selector: str) -> str:
        """The words in one part of the screen, without line ends."""
        region = self.app.screen.query_one(selector).region
        lines = self.text().splitlines()[region.y : region.bottom]
        return " ".join(" ".join(line[region.x : region.right] for line in lines).split())

    @property
    def told(self) -> str:
        """Everything that was notified."""
        return " ".join(notification.message for notification in self.app._notifications)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def enter(self, line: str) -> None:
        """Put this in the place of what stands on the line that is asked for, and take it."""
        await self.until(lambda: self.app.screen.query(Input), "a line to type")
        self.app.screen.query_one(Input).value = line
        await self.press("enter")

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Wait for a condition, with a deadline that only a broken program reaches."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if condition():
                await self.pilot.pause()
                return
            await self.pilot.pause(0.02)
        raise AssertionError(f"never came: {what or condition}\n{self.text()}")

    async def settled(self) -> None:
        """The rig is read, the models are found and the plan is there."""
        await self.until(lambda: self.state.rig and not self.state.scanning and self.state.builds is not None, "the first reading")
        await self.until(lambda: self.state.plan or self.state.plan_problem or not self.state.candidates, "a plan")


@pytest.fixture
def cockpit(monkeypatch: pytest.MonkeyPatch) -> Cockpit:
    """`async with cockpit(world, size=(80, 24)) as screen`: a cockpit over a made-up world."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    # Where `hf` lies differs from machine to machine.
    monkeypatch.setattr(download, "program", lambda: "hf")

    @asynccontextmanager
    async def opened(world: World, size: tuple[int, int] = (120, 36), color_system: str = "truecolor", **more) -> AsyncIterator[Screen]:
        # Read whenever an app is made; the environment of a test run must not decide it.
        monkeypatch.setattr("textual.constants.COLOR_SYSTEM", color_system)
        app = RigtuiApp(world.services(), themes=load_themes(), fits_terminal=True, **more)
        async with app.run_test(size=size, notifications=True) as pilot:
            screen = Screen(app, pilot, world)
            await screen.settled()
            yield screen

    return opened


@pytest.fixture
def running(cockpit: Cockpit) -> Cockpit:
    """`async with running(phase="loading") as screen`: a cockpit of two cards which shows the one run there is."""

    @asynccontextmanager
    async def opened(**more) -> AsyncIterator[Screen]:
        world = World(two_cards())
        world.runs = (run_state("a", **more),)
        async with cockpit(world) as screen:
            await screen.until(lambda: screen.state.run)
            yield screen

    return opened

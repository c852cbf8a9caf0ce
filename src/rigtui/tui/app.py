"""The screen's program: themes, keys that work everywhere, start and end."""

from __future__ import annotations

import argparse
import os
from typing import ClassVar

from rich.text import Text
from textual.app import App
from textual.binding import BindingType
from textual.theme import Theme

from rigtui.text import clean
from rigtui.tui.actions import bindings
from rigtui.tui.colors import variable_defaults
from rigtui.tui.palette import ActionCommands
from rigtui.tui.screens.cockpit import CockpitScreen
from rigtui.tui.screens.help import help_screen
from rigtui.tui.services import Services

PLAIN_THEME = "ansi-dark"
"""Without colours: only the themes of the terminal's own colours can be drawn with none at all."""


class RigtuiApp(App[None]):
    """One cockpit."""

    TITLE = "rigtui"
    CSS_PATH: ClassVar[list[str]] = ["cockpit.tcss"]  # type: ignore[assignment]
    BINDINGS: ClassVar[list[BindingType]] = bindings("app")
    COMMANDS = App.COMMANDS | {ActionCommands}

    def __init__(self, services: Services, *, themes: tuple[Theme, ...] = (), theme: str | None = None, no_color: bool = False) -> None:
        if no_color:
            os.environ["NO_COLOR"] = "1"
        plain = "NO_COLOR" in os.environ
        super().__init__(ansi_color=True if plain else None)
        self._services = services
        for one in themes:
            self.register_theme(one)
        wanted = PLAIN_THEME if plain else theme
        if wanted is not None and wanted in self.available_themes:
            self.theme = wanted

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of the bars for themes that do not set them."""
        return variable_defaults()

    def get_default_screen(self) -> CockpitScreen:
        """The cockpit."""
        return CockpitScreen(self._services)

    @property
    def cockpit(self) -> CockpitScreen:
        """The one screen that is always there."""
        screen = self.screen_stack[0]
        assert isinstance(screen, CockpitScreen)
        return screen

    def action_help(self) -> None:
        """What every key does."""
        self.push_screen(help_screen(self.size.width))

    def action_leave(self) -> None:
        """Leave; engines keep running, and that is said."""
        self.exit(message=self._farewell())

    def _farewell(self) -> Text | None:
        live = self.cockpit.state.live_runs
        if not live:
            return None
        names = ", ".join(f"{clean(run.profile or run.model)} at {run.url}" for run in live)
        verb = "keeps" if len(live) == 1 else "keep"
        return Text(f"{names} {verb} running. `rigtui` shows it again, `rigtui stop {live[-1].run}` ends it.")


def main(args: argparse.Namespace) -> int:
    """Open the screen; `args` are the global options of the command line. Returns the exit code."""
    from rigtui.tui.wiring import services

    app = RigtuiApp(services(args), no_color=args.no_color)
    app.run()
    return app.return_code or 0

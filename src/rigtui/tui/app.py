"""The screen's program: themes, keys that work everywhere, start and end."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.screen import Screen
from textual.theme import Theme

from rigtui.errors import EXIT_FAILED, RigtuiError, UsageError
from rigtui.text import clean
from rigtui.tui.bindings import bindings
from rigtui.tui.colors import variable_defaults
from rigtui.tui.keymap import read_keymap
from rigtui.tui.keys import Keys
from rigtui.tui.keys_in_turn import KeysInTurn
from rigtui.tui.late import late
from rigtui.tui.palette import ActionCommands
from rigtui.tui.read_only import read_only as services_that_only_show
from rigtui.tui.run_text import run_name
from rigtui.tui.screens.cockpit import CockpitScreen
from rigtui.tui.theme import Themes, load_theme, pick
from rigtui.tui.theme_watch import INTERVAL_S, ThemeWatch

if TYPE_CHECKING:
    import argparse

    from textual.driver import Driver

    from rigtui.tui.services import Services

WEB_DRIVER = "textual.drivers.web_driver:WebDriver"
"""What textual-serve (1.1.3) asks for: the screen then talks to its parent, not to a terminal."""
SWITCH_S = 0.001
"""How long a thread may compute before one that waits has its turn: a key passes through many hands, and waits for each of them."""
PLAIN_THEME = "ansi-dark"
"""Without colours: only the themes of the terminal's own colours can be drawn with none at all."""


class RigtuiApp(KeysInTurn):
    """One cockpit."""

    TITLE = "rigtui"
    theme_interval_s: ClassVar[float] = INTERVAL_S
    _few_colors = False
    """Of the sixteen only; asked for by `register_theme`, which Textual's own start calls before it is known."""
    CSS_PATH: ClassVar[list[str]] = ["cockpit.tcss"]  # type: ignore[assignment]
    BINDINGS: ClassVar[list[BindingType]] = bindings("app")
    COMMANDS: ClassVar[Any] = {ActionCommands}
    """None of Textual's own: the registry of keys has all that the palette offers."""

    def __init__(
        self,
        services: Services,
        *,
        keymap: tuple[Keys, tuple[str, ...]] = (Keys(), ()),
        themes: Themes | None = None,
        theme: str | None = None,
        no_color: bool = False,
        read_only: bool = False,
        program: str = "rigtui",
        fits_terminal: bool = False,
    ) -> None:
        """`program`: how rigtui is called on a command line here, for texts that name a command; `fits_terminal`: where the terminal has
        sixteen colours, themes are drawn with those."""
        self._program = program
        plain = no_color or "NO_COLOR" in os.environ
        if plain:
            # Textual looks at the variable alone.
            os.environ["NO_COLOR"] = "1"
        super().__init__(ansi_color=True if plain else None)
        self._services = services_that_only_show(services) if read_only else services
        self.read_only = read_only
        """Nothing can be launched, stopped or written from here."""
        self.keys, problems = keymap
        """Which keys do what."""
        self.set_keymap(self.keys.own)
        self._problems = [(problem, "keymap") for problem in problems]
        self._plain = plain
        self._shown_theme = ""
        self._few_colors = fits_terminal and self.console.color_system == "standard"
        self.set_class(self._few_colors, "-few-colors")
        self._theme_watch: ThemeWatch | None = None
        self._more_themes = themes.more if themes is not None else None
        if themes is not None:
            self._theme_watch = ThemeWatch()
            self._use(themes, theme, plain=plain)

    def get_driver_class(self) -> type[Driver]:
        """The terminal's, one that sleeps until a key comes."""
        usual = super().get_driver_class()
        if usual.__name__ != "LinuxDriver":
            return usual
        from rigtui.tui.calm_driver import CalmDriver

        return CalmDriver

    def register_theme(self, theme: Theme) -> None:
        """As far as the terminal's colours allow."""
        if self._few_colors:
            from rigtui.tui.sixteen import in_sixteen

            theme = in_sixteen(theme)
        super().register_theme(theme)

    def _use(self, themes: Themes, wanted: str | None, *, plain: bool) -> None:
        for theme in themes.themes:
            self.register_theme(theme)
        own = [theme.name for theme in themes.themes]
        name, problem = pick(wanted, [*own, *(name for name in self.available_themes if name not in own)])
        self.theme = PLAIN_THEME if plain else name or self.theme
        self._problems += [(text, "theme") for text in (*themes.problems, *([problem] if problem else []))]

    def on_ready(self) -> None:
        """Say which themes and keys could not be used, then look after the themes: the chosen one is kept, changed files are followed."""
        self.call_after_refresh(_collect_garbage_again)
        self._tell(self._problems)
        self._shown_theme = self.theme
        self.theme_changed_signal.subscribe(self.cockpit, self._keep_theme)
        if self._more_themes is not None:
            self.call_after_refresh(self._add_themes, self._more_themes)
        if self._theme_watch is not None:
            self.set_interval(self.theme_interval_s, self._look_at_themes)

    def _add_themes(self, more: Callable[[], Themes]) -> None:
        themes = more()
        for theme in themes.themes:
            self.register_theme(theme)
        self._tell((text, "theme") for text in themes.problems)

    def refresh_css(self, animate: bool = True) -> None:
        """New colours for everything. Before anything stands on the screen its style sheet is yet to be read: once is enough."""
        if self._dom_ready:
            super().refresh_css(animate)
        else:
            self.stylesheet.set_variables(self.get_css_variables())

    def _tell(self, problems: Iterable[tuple[str, str]]) -> None:
        for problem, title in problems:
            self.notify(problem, title=title, severity="warning", timeout=12, markup=False)

    def _keep_theme(self, theme: Theme) -> None:
        """The theme that was chosen is that of the next start, too."""
        if theme.name == self._shown_theme or self._plain:
            return
        self._shown_theme = theme.name
        self.cockpit.keep("theme", lambda: self._services.keep_theme(self._shown_theme))

    def deliver_screenshot(self, filename: str | None = None, path: str | None = None, time_format: str | None = None) -> str | None:
        """A picture of the screen, where the user keeps pictures; where it lies is told."""
        from rigtui.tui.pictures import picture_folder

        try:
            place = path or str(picture_folder())
        except RigtuiError as error:
            self._tell([(clean(str(error)), "screenshot")])
            return None
        return super().deliver_screenshot(filename, place, time_format)

    def _look_at_themes(self) -> None:
        """Colours follow the user's files while they are being written."""
        themes = self._theme_watch.changed() if self._theme_watch is not None else None
        if themes is None:
            return
        for theme in themes.themes:
            self.register_theme(theme)
        if any(theme.name == self.theme for theme in themes.themes):
            self.mutate_reactive(RigtuiApp.theme)
        self._tell((text, "theme") for text in themes.problems)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of the bars for themes that do not set them."""
        return variable_defaults()

    def get_default_screen(self) -> CockpitScreen:
        """The cockpit."""
        return CockpitScreen(self._services, self.keys, self._program)

    def push_screen(self, *arguments: Any, **more: Any) -> Any:
        """Another page or dialog: what was told before it is over."""
        if self.screen_stack:
            from rigtui.tui.notes import let_go

            let_go(self)
        return super().push_screen(*arguments, **more)

    @property
    def _background_screens(self) -> list[Screen[Any]]:
        """None below a page that hides them: Textual 8.2.8 draws the whole page again whenever something below it changes."""
        return [] if self.screen.styles.background.a == 1 else super()._background_screens

    @property
    def cockpit(self) -> CockpitScreen:
        """The one screen that is always there."""
        screen = self.screen_stack[0]
        assert isinstance(screen, CockpitScreen)
        return screen

    def _handle_exception(self, error: Exception) -> None:
        """A fault in rigtui itself ends the screen with a sentence and exit code 1. Textual 8.2.8 would print every local variable."""
        from rigtui.tui.fault import told

        self._return_code = EXIT_FAILED
        if self._exception is None:
            self._exit_renderables.append(Text(told(error, self._program)))
            # A test's pilot raises it again.
            self._exception = error
            self._exception_event.set()
        self._close_messages_no_wait()

    def action_help(self) -> None:
        """What every key does."""
        from rigtui.tui.screens.help import help_screen

        self.push_screen(help_screen(self.screen, self.keys))

    def action_save_screen(self) -> None:
        """A picture of the screen, once what it was asked for in is gone from it."""
        self.set_timer(0.1, self.deliver_screenshot)

    def action_leave(self) -> None:
        """Leave; engines keep running, and that is said."""
        self.exit(message=self._farewell())

    def _farewell(self) -> Text | None:
        runs, program = self.cockpit.state.live_runs, self.cockpit.state.program
        live = [run for run in runs if not run.trial]
        if not live:
            tuned = next((run_name(run) for run in runs), None)
            return Text(f"The trial is stopped; `{program} tune {tuned}` goes on after what was measured.") if tuned else None
        names = ", ".join(f"{run_name(run)} at {run.url}" for run in live)
        verb = "keeps" if len(live) == 1 else "keep"
        return Text(f"{names} {verb} running. `{program}` shows it again, `{program} stop {live[-1].run}` ends it.")


def _collect_garbage_again() -> None:
    """What the first picture took stays to the end: it is never looked through."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def started_as(argv0: str) -> str:
    """What to type for this program: its name where PATH has it, else the way it was started."""
    if shutil.which("rigtui") is not None:
        return "rigtui"
    return argv0 if os.path.basename(argv0) == "rigtui" else f"{sys.executable} -m rigtui"  # noqa: PTH119


def _services(args: argparse.Namespace) -> Services:
    """Those of this machine. Raises UsageError for a rig file that cannot be followed."""

    def load() -> Services:
        from rigtui.tui.wiring import services

        return services(args)

    return load() if args.rig_file else late(load)


def main(args: argparse.Namespace) -> int:
    """Open the screen; `args` are the global options of the command line. Returns the exit code.

    Raises UsageError for a config.toml or a rig file that cannot be followed, and where there is no terminal, before anything is drawn.
    """
    from rigtui.intent.config import load_config

    in_browser = os.environ.get("TEXTUAL_DRIVER") == WEB_DRIVER
    if not in_browser and not (sys.__stdin__ and sys.__stdin__.isatty() and sys.__stderr__ and sys.__stderr__.isatty()):
        raise UsageError("the screen needs a terminal; `rigtui gpus`, `rigtui models` and `rigtui plan MODEL` print the same facts as text")
    sys.setswitchinterval(SWITCH_S)
    theme = load_config().theme
    app = RigtuiApp(
        _services(args),
        keymap=read_keymap(),
        themes=load_theme(theme),
        theme=theme,
        no_color=args.no_color,
        read_only=args.read_only,
        program=started_as(sys.argv[0]),
        fits_terminal=True,
    )
    app.run()
    return app.return_code or 0

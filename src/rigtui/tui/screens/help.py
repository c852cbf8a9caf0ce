"""Help that fits the place it was asked from: the keys of this screen first, made from the registry, and how to read what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content
from textual.screen import Screen

from rigtui.tui.actions import ACTIONS, PLACES
from rigtui.tui.rows import hang
from rigtui.tui.screens.dialogs import TextScreen

if TYPE_CHECKING:
    from rigtui.tui.actions import Action
    from rigtui.tui.keys import Keys

GROUPS = {"engine": "Engine", "model": "Models", "plan": "Plan", "profile": "Profile"}
"""The cockpit's actions by the first part of their ids; the others stand under `Pages`."""
READING = {
    "cockpit": (
        "Each bar is one card: what is taken now (reserved by the driver, desktop, others, engines that rigtui started, unknown), "
        "then what the plan adds (weights, KV, compute, floor), the headroom it leaves on purpose, and what stays free. "
        "Floor is what the driver and the engine's kernels take on a card before anything else; head is the last layer, which turns "
        "its input into a word. "
        "The figures beside it are free memory now → after the launch. Tab moves between models, choices, plan and log; the arrows move "
        "and change what is under the cursor; Enter types an exact value. What you set yourself is marked (yours) and never changed."
    ),
    "cards": (
        "Under each card stand the programs that hold its memory, the largest first. `unknown` is held by nobody the driver names: "
        "under WSL by Windows and its programs."
    ),
    "doctor": "FAILED keeps something from working, a warning may; the line below the list says why, and which command mends it.",
    "compare": (
        "`now` is the plan of the cockpit, `kept` ones were kept with this page's key, `instead` would work as well on this rig. "
        "Rows in which they differ stand out; equal ones are dim."
    ),
    "runs": (
        "Each attempt is one plan, launched and watched: what was changed for it, how it ended, and the line of the log that says so. "
        "Peaks are what each card held at most, beside what the plan said."
    ),
    "log": (
        "E and W mark errors and warnings. It follows the newest line until the cursor is moved; the line under the cursor is shown "
        "in full below. What came too fast to be shown is counted in the title; engine.log in the run's folder has all of it."
    ),
    "tune": (
        "Each trial launches the profile with other settings, measures it and stops it again; what the profile sets itself is never "
        "tried. The bar and the first plot are the speed of a request of 1,024 tokens read and 256 written, weighed by context and KV "
        "type as when plans are chosen; first is seconds to the first token, splits how often the graph changes devices. Leaving the "
        "page stops the trial that is going on; the rest goes on next time."
    ),
    "profiles": (
        "A profile keeps a model, a use case and your own settings. Below it stand its runs, newest first: tokens per second while "
        "answering (decode) and while reading (prefill), seconds to the first token, and per card the peak beside what was planned."
    ),
}
WIDTH = 84


def help_lines(width: int, keys: Keys, *places: str) -> list[Content]:
    """What the keys of `places` do, in their order, in lines of `width` cells."""
    lines: list[Content] = []
    for place in places:
        if place == "cockpit":
            for prefix, title in {**GROUPS, "": "Pages"}.items():
                lines += _section(title, [one for one in ACTIONS if one.screen == "cockpit" and _group(one.id) == prefix], keys, width)
        else:
            lines += _section(PLACES[place], [one for one in ACTIONS if one.screen == place], keys, width)
        if place in READING:
            lines += [Content.styled("Reading it", "$accent bold"), *hang(Content("  "), READING[place], width), Content("")]
    lines[-1:] = hang(Content.styled("  ^p    ", "bold"), "Every command by name.", width)
    own = 'Other keys: ~/.config/rigtui/keymap.toml, one line each, such as engine.launch = "f2"; docs/keys.md has the names.'
    return [*lines, Content(""), *hang(Content("  "), own, width, "$foreground-muted")]


def _group(action: str) -> str:
    prefix = action.partition(".")[0]
    return prefix if prefix in GROUPS else ""


def _section(title: str, actions: Sequence[Action], keys: Keys, width: int) -> list[Content]:
    lines = [Content.styled(title, "$accent bold")]
    for action in actions:
        lines += hang(Content.styled(f"  {keys.shown(action.id):<5} ", "bold"), action.help, width)
    return [*lines, Content("")]


def places_of(screen: Screen[object]) -> list[str]:
    """Where the keys that work now come from, the nearest first: the part in focus, the page, every page, the program."""
    page = getattr(screen, "PLACE", "cockpit")
    part = getattr(screen.focused, "PLACE", None)
    return [*([part] if part else []), page, *(["page"] if page != "cockpit" else []), "app"]


def help_screen(screen: Screen[object], keys: Keys) -> TextScreen:
    """The help as a dialog over `screen`."""
    width = min(WIDTH, screen.app.size.width - 18)
    return TextScreen("Help", Content("\n").join(help_lines(width, keys, *places_of(screen))))

"""Help: every key with one sentence, made from the registry, and how to read the picture."""

from __future__ import annotations

from textual.content import Content

from rigtui.tui.actions import ACTIONS
from rigtui.tui.rows import hang
from rigtui.tui.screens.dialogs import TextScreen

GROUPS = {
    "engine": "Engine",
    "model": "Models",
    "plan": "Plan",
    "profile": "Profile",
    "cards": "VRAM: who holds it",
    "profiles": "Profiles",
    "doctor": "Doctor",
    "page": "Pages",
    "app": "rigtui",
}
READING = (
    "Each bar is one card: what is taken now (reserved by the driver, desktop, others, engines that rigtui started, unknown), "
    "then what the plan adds (weights, KV, compute, floor), the headroom it leaves on purpose, and what stays free. "
    "The figures beside it are free memory now → after the launch."
)
MOVING = "Tab moves between models, choices, plan and log; the arrows move and change what is under the cursor; Enter types an exact value."


WIDTH = 84


def help_lines(width: int) -> list[Content]:
    """The whole help in lines of `width` cells."""
    lines: list[Content] = []
    for prefix, title in GROUPS.items():
        lines.append(Content.styled(title, "$accent bold"))
        for action in ACTIONS:
            if action.id.startswith(prefix + "."):
                lines += hang(Content.styled(f"  {action.shown:<6}", "bold"), action.help, width)
        lines.append(Content(""))
    lines += hang(Content.styled("  ^p    ", "bold"), "Every command by name.", width)
    for title, text in (("Moving", MOVING), ("Reading the bars", READING)):
        lines += [Content(""), Content.styled(title, "$accent bold"), *hang(Content("  "), text, width)]
    return lines


def help_screen(width: int) -> TextScreen:
    """The help as a dialog in a terminal of `width` columns."""
    return TextScreen("Help", Content("\n").join(help_lines(min(WIDTH, width - 18))))

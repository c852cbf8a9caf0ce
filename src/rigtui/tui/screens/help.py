"""Help: every key with one sentence, made from the registry, and how to read the picture."""

from __future__ import annotations

from textual.content import Content

from rigtui.tui.actions import ACTIONS
from rigtui.tui.screens.dialogs import TextScreen

GROUPS = {"engine": "Engine", "model": "Models", "plan": "Plan", "profile": "Profile", "app": "rigtui"}
READING = (
    "Each bar is one card: what is taken now (reserved by the driver, desktop, others, engines that rigtui started, unknown), "
    "then what the plan adds (weights, KV, compute, floor), the headroom it leaves on purpose, and what stays free. "
    "The figures beside it are free memory now → after the launch."
)
MOVING = "Tab moves between models, choices, plan and log; the arrows move and change what is under the cursor; Enter types an exact value."


def help_text() -> Content:
    """The whole help."""
    lines: list[Content] = []
    for prefix, title in GROUPS.items():
        lines.append(Content.styled(title, "$accent bold"))
        lines += [
            Content.assemble("  ", (f"{action.shown:<4}", "bold"), action.help) for action in ACTIONS if action.id.startswith(prefix + ".")
        ]
        lines.append(Content(""))
    lines += [
        Content.assemble("  ", ("^p  ", "bold"), "Every command by name."),
        Content(""),
        Content.styled("Moving", "$accent bold"),
        Content(f"  {MOVING}"),
        Content(""),
        Content.styled("Reading the bars", "$accent bold"),
        Content(f"  {READING}"),
    ]
    return Content("\n").join(lines)


def help_screen() -> TextScreen:
    """The help as a dialog."""
    return TextScreen("Help", help_text())

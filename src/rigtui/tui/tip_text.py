"""Which of the first steps comes next, when one was taken, and how it reads. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from textual.content import Content

from rigtui.tui.tips import TIPS

if TYPE_CHECKING:
    from rigtui.tui.state import Cockpit


def next_tip(state: Cockpit) -> str | None:
    """The first step that was not taken yet; none while there is no model to take it with."""
    if not state.candidates:
        return None
    return next((tip for tip in TIPS if tip not in state.learned), None)


def learned(before: Cockpit, after: Cockpit) -> frozenset[str]:
    """The steps that are known after this change."""
    found = set(after.learned)
    if before.selected is not None and after.selected not in (None, before.selected):
        found.add("model")
    if before.use_cases and (before.use_case, before.overrides) != (after.use_case, after.overrides):
        found.add("choices")
    if after.launching or after.attached is not None:
        found |= {"model", "choices", "launch"}
    if after.saved is not None:
        found.add("profile")
    return frozenset(found)


def tip_line(state: Cockpit, width: int) -> Content:
    """`Step 1 of 4: …`, and the key that hides them all."""
    tip = next_tip(state)
    if tip is None:
        return Content("")
    text = re.sub(r"\{([\w.]+)\}", lambda found: state.keys.shown(found[1]), TIPS[tip])
    head = Content.styled(f" first steps {list(TIPS).index(tip) + 1}/{len(TIPS)} ", "$accent bold")
    line = Content.assemble(head, text, (f" · {state.keys.shown('tips.hide')} hides this", "$foreground-muted"))
    return line if line.cell_length <= width else Content.assemble(head, text).truncate(width, ellipsis=True)

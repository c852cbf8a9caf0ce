"""The command palette: the actions of the registry, beside Textual's own commands."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from textual.actions import parse
from textual.command import DiscoveryHit, Hit, Hits, Provider

from rigtui.tui.actions import ACTIONS, Action
from rigtui.tui.bindings import keys_of


class ActionCommands(Provider):
    """Every action by its name, with its key."""

    def _here(self) -> list[Action]:
        """Those that do something now on the screen the palette was opened over."""
        place = getattr(self.screen, "PLACE", "")
        places = ("app", place) if place in ("", "cockpit") else ("app", place, "page")
        return [action for action in ACTIONS if action.screen in places and self._works(action)]

    def _works(self, action: Action) -> bool:
        _, name, parameters = parse(action.method)
        return action.screen == "app" or self.screen.check_action(name, parameters) is True

    def _run(self, action: Action) -> partial[Any]:
        # Actions of the cockpit are looked up on the screen the palette was opened over.
        return partial(self.app.run_action, action.method, self.app if action.screen == "app" else self.screen)

    def _name(self, action: Action) -> str:
        group, alike = action.id.partition(".")[0], [one for one in self._here() if one.hint == action.hint]
        # Two ways of one thing, as less and more of it, are told apart by how their sentences begin.
        what = action.hint if len(alike) == 1 else re.split(r"[.:;,]", action.help)[0].lower()
        return f"{group}: {what} ({keys_of(self.screen).shown(action.id)})"

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for action in self._here():
            yield DiscoveryHit(self._name(action), self._run(action), help=action.help)

    async def search(self, query: str) -> Hits:
        """Those whose name or sentence matches."""
        matcher, words = self.matcher(query), query.lower().split()
        for action in self._here():
            name, text = self._name(action), action.help.lower()
            # Scattered letters of a sentence match nearly everything.
            score = max(matcher.match(name), 0.5 if all(word in text for word in words) else 0)
            if score > 0:
                yield Hit(score, matcher.highlight(name), self._run(action), help=action.help)

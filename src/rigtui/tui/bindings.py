"""The registry's actions as Textual's bindings, and the keys of the program that a part belongs to."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding, BindingType
from textual.dom import DOMNode

from rigtui.tui.actions import ACTIONS, BY_ID
from rigtui.tui.keys import Keys, key_text
from rigtui.tui.read_only import WRITES
from rigtui.tui.rows import literal


def bindings(*places: str) -> list[BindingType]:
    """The bindings of these places, with the ids by which the program's keymap replaces their keys."""
    return [
        Binding(
            action.keys,
            action.method,
            action.hint,
            show=False,
            key_display=key_text(action.keys.split(",")[0]),
            tooltip=action.help,
            id=action.id,
        )
        for action in ACTIONS
        if action.screen in places
    ]


def keys_of(node: DOMNode) -> Keys:
    """The keys that the program uses; the registry's where it has no others."""
    keys = getattr(node.app, "keys", None)
    return keys if isinstance(keys, Keys) else Keys()


def offered(node: DOMNode, actions: Iterable[str]) -> tuple[str, ...]:
    """Of these actions (by id) those that this screen offers: one that only shows has none that change anything."""
    shows_only = bool(getattr(node.app, "read_only", False))
    return tuple(action for action in actions if not (shows_only and action in WRITES))


def clickable(method: str, text: str) -> str:
    """Text for a border that does what a method of the screen does when it is clicked."""
    return f"[@click=screen.{method}()]{literal(text)}[/]"


def key_words(node: DOMNode, action: str, words: str) -> str:
    """`y copies`, for a border; a click does it as well."""
    return clickable(BY_ID[action].method, f"{keys_of(node).shown(action)} {words}")


def close_line(node: DOMNode, closes: str, *before: str) -> str:
    """What a dialog's border says of its keys: some words as markup, then how it is closed."""
    return " · ".join([*before, key_words(node, closes, "closes")])

"""Which keys do what: the registry's, or what the user's keymap says instead; and how a key is read and written. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from msgspec import Struct

from rigtui.tui.actions import ACTIONS, BY_ID, Action

_NAMES = {
    "escape": "Esc",
    "enter": "Enter",
    "delete": "Del",
    "backspace": "Bksp",
    "space": "Space",
    "tab": "Tab",
    "insert": "Ins",
    "home": "Home",
    "end": "End",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
}
_FUNCTION_KEYS = frozenset(f"f{number}" for number in range(1, 25))
_MODIFIERS = ("ctrl", "alt", "shift")
_TEXTUAL_NAMES = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
"""Where Textual 8.2.8 (keys.py) departs from Unicode's names."""


def _name_of(character: str) -> str:
    """Textual's name of a character's key: letters and digits are their own."""
    if character.isalnum():
        return character
    name = unicodedata.name(character).lower().replace("-", "_").replace(" ", "_")
    return _TEXTUAL_NAMES.get(name, name)


_CHARACTERS = {_name_of(chr(code)): chr(code) for code in range(0x21, 0x7F)}
"""Every printable ASCII key by Textual's name."""


def parse_key(text: str) -> str | None:
    """What a person wrote (`l`, `L`, `[`, `ctrl+l`, `F5`, `Esc`, `left_square_bracket`) as Textual's names, or None."""
    if len(text) == 1:
        if not "!" <= text <= "~":
            return "space" if text == " " else None
        # Terminals with the newer keyboard protocol tell of a capital as shift and the letter.
        return f"{text},shift+{text.lower()}" if text.isupper() else _name_of(text)
    *modifiers, key = text.strip().split("+")
    modifiers = [modifier.strip().lower() for modifier in modifiers]
    shown = {name.lower(): key_name for key_name, name in _NAMES.items()}
    key = key.strip()
    key = key.lower() if len(key) == 1 and modifiers else key
    key = key if len(key) == 1 else shown.get(key.lower(), key.lower())
    key = _name_of(key) if len(key) == 1 and "!" <= key <= "~" else key
    known = key in _NAMES or key in _FUNCTION_KEYS or key in _CHARACTERS
    if not known or any(modifier not in _MODIFIERS for modifier in modifiers):
        return None
    return "+".join([*(modifier for modifier in _MODIFIERS if modifier in modifiers), key])


def key_text(key: str) -> str:
    """One of Textual's keys as people read it: `left_square_bracket` is `[`, `ctrl+q` is `^q`, `shift+u` is `U`."""
    *modifiers, plain = key.split("+")
    text = _NAMES.get(plain) or _CHARACTERS.get(plain) or (plain.upper() if plain in _FUNCTION_KEYS else plain)
    if modifiers == ["shift"] and len(plain) == 1:
        return text.upper()
    return "".join("^" if modifier == "ctrl" else f"{modifier}+" for modifier in modifiers) + text


class Keys(Struct, frozen=True):
    """The registry's keys with the user's in the place of some."""

    own: dict[str, str] = {}
    """Action -> keys, by Textual's names, comma separated."""

    def of(self, action: str) -> str:
        """The keys of the action with this id."""
        return self.own.get(action) or BY_ID[action].keys

    def shown(self, action: str) -> str:
        """The first of them, as people read it."""
        return key_text(self.of(action).split(",")[0])


def hints(allowed: Iterable[str], width: int, keys: Keys) -> list[Action]:
    """The actions for the hint line: of those with these ids, the most needed ones that fit `width` cells, in the order of the list."""
    wanted = set(allowed)
    # On a page its own keys go first: the key to the help is the same everywhere.
    late = {"app.help"} if "page.close" in wanted else set()
    chosen: list[Action] = []
    room = width - 1
    for action in sorted((a for a in ACTIONS if a.id in wanted and a.rank < 9), key=lambda a: (a.id in late, a.rank)):
        need = len(keys.shown(action.id)) + len(action.hint) + 3
        if need <= room:
            chosen.append(action)
            room -= need
    return sorted(chosen, key=ACTIONS.index)


SHADOWS = {"cockpit": ("choices", "app"), "page": ("cards", "doctor", "profiles", "tune", "runs", "compare", "log")}
"""Places whose keys are pressed with those of the others in reach: one key for two of them would hide one."""


def together(one: str, other: str) -> bool:
    """Whether keys of these two places are in reach at the same time."""
    return one == other or other in SHADOWS.get(one, ()) or one in SHADOWS.get(other, ())


def clashes(keys: Keys) -> list[tuple[Action, Action, str]]:
    """Actions that would share a key, where at least one of the two has it from the user."""
    found = []
    for at, one in enumerate(ACTIONS):
        for other in ACTIONS[at + 1 :]:
            if (one.id in keys.own or other.id in keys.own) and together(one.screen, other.screen):
                shared = set(keys.of(one.id).split(",")) & set(keys.of(other.id).split(","))
                found += [(one, other, key) for key in sorted(shared)[:1]]
    return found

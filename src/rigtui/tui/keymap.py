"""The user's keymap: `~/.config/rigtui/keymap.toml`, action -> key. What cannot be followed is named and left out, the rest holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rigtui import files
from rigtui.errors import UsageError
from rigtui.paths import config_dir
from rigtui.text import clean, nearest
from rigtui.tui.actions import BY_ID
from rigtui.tui.keys import Keys, clashes, key_text, parse_key

EXAMPLES = "such as `l`, `L`, `[`, `ctrl+l`, `f5` or `enter`"


def keymap_path() -> Path:
    """Where it lies."""
    return config_dir() / "keymap.toml"


def read_keymap(path: Path | None = None) -> tuple[Keys, tuple[str, ...]]:
    """The keys to use, and one sentence for each entry that cannot be followed. A missing file is no keymap."""
    path = path or keymap_path()
    if not path.exists():
        return Keys(), ()
    try:
        table = files.read_toml(path)
    except UsageError as error:
        return Keys(), (str(error),)
    own, problems = _entries(_flat(table), path)
    keys = Keys(own)
    while found := clashes(keys):
        one, other, key = found[0]
        problems.append(f"{path}: `{one.id}` and `{other.id}` would both be on `{key_text(key)}`; both keep their own keys")
        keys = Keys({name: value for name, value in keys.own.items() if name not in (one.id, other.id)})
    return keys, tuple(problems)


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`engine.launch = "x"` is a table in TOML, `"engine.launch" = "x"` is not: both mean the same."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _entries(flat: dict[str, Any], path: Path) -> tuple[dict[str, str], list[str]]:
    own: dict[str, str] = {}
    problems: list[str] = []
    for name, value in flat.items():
        written = value if isinstance(value, list) else [value]
        if name not in BY_ID:
            close = nearest(name, BY_ID)
            hint = f"did you mean `{close}`?" if close else "docs/keys.md lists them"
            problems.append(f"{path}: there is no action `{clean(name)}`; {hint}")
        elif not written or not all(isinstance(key, str) for key in written):
            problems.append(f"{path}: `{name}` must be a key or a list of keys, {EXAMPLES}")
        elif wrong := [key for key in written if parse_key(key) is None]:
            problems.append(f"{path}: `{name}` cannot be on `{clean(wrong[0])}`; write a key {EXAMPLES}")
        else:
            own[name] = ",".join(dict.fromkeys(part for key in written for part in (parse_key(key) or "").split(",")))
    return own, problems

"""In which order and in which groups are models listed: favourites and last used first, by name, size, speed; by folder, family. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from rigtui.text import clean

if TYPE_CHECKING:
    from rigtui.models.library import LibraryEntry
    from rigtui.tui.placing import Placement

Sort = Literal["used", "name", "size", "speed"]
Group = Literal["folder", "family", "none"]
SORTS: tuple[Sort, ...] = ("used", "name", "size", "speed")
GROUPS: tuple[Group, ...] = ("folder", "family", "none")
SORT_WORDS: dict[Sort, str] = {"used": "favourites, last used", "name": "name", "size": "size", "speed": "speed"}
FAVOURITES, LAST_USED = "favourites", "last used"
MOST_LAST_USED = 3
"""Models of the group of the last used ones; the others stay where they lie."""
_FAMILY = re.compile(r"[a-z][a-z_-]*?(?=moe|vl|\d|[_-]|$)")
_WHOLE = re.compile(r"gpt-oss|command-r|olmo")
"""Names that the pattern would cut in two."""


class Shelf(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the user keeps the models: what is stored between sessions."""

    favourites: tuple[str, ...] = ()
    """`LibraryEntry.ref` of each."""
    sort: Sort = "used"
    group: Group = "folder"


class Section(Struct, frozen=True):
    """Models under one title; no title where there is only one section."""

    title: str
    entries: tuple[LibraryEntry, ...]


def starred(shelf: Shelf, ref: str) -> Shelf:
    """The model `ref` becomes a favourite, or is none any more."""
    kept = tuple(one for one in shelf.favourites if one != ref)
    return replace(shelf, favourites=kept if len(kept) < len(shelf.favourites) else (*kept, ref))


def next_sort(shelf: Shelf) -> Shelf:
    """The next order, around the end."""
    return replace(shelf, sort=SORTS[(SORTS.index(shelf.sort) + 1) % len(SORTS)])


def next_group(shelf: Shelf) -> Shelf:
    """The next grouping, around the end."""
    return replace(shelf, group=GROUPS[(GROUPS.index(shelf.group) + 1) % len(GROUPS)])


def ordered(
    entries: Iterable[LibraryEntry], shelf: Shelf, used: Mapping[str, str], placements: Mapping[str, Placement]
) -> tuple[LibraryEntry, ...]:
    """The models in the shelf's order, equal ones as they were; those that cannot be used come last.

    `used` has the time (ISO 8601) of each model's last run by its path, `placements` what was derived so far.
    """
    found = list(entries)
    if shelf.sort == "used":
        found.sort(key=lambda entry: used.get(entry.path, ""), reverse=True)
        found.sort(key=lambda entry: entry.ref not in shelf.favourites)
    elif shelf.sort == "name":
        found.sort(key=lambda entry: (entry.name.lower(), entry.ref))
    elif shelf.sort == "size":
        found.sort(key=lambda entry: -entry.size_bytes)
    elif shelf.sort == "speed":
        found.sort(key=lambda entry: -_speed(placements.get(entry.path)))
    return tuple(sorted(found, key=lambda entry: entry.model is None))


def _speed(placement: Placement | None) -> float:
    return -1.0 if placement is None or placement.tok_s is None or placement.status == "no_fit" else placement.tok_s


def sections(entries: Sequence[LibraryEntry], shelf: Shelf, used: Mapping[str, str]) -> tuple[Section, ...]:
    """The ordered `entries` under titles: favourites, the last used ones, then by folder or family in the order of their first models."""
    if shelf.group == "none":
        return (Section("", tuple(entries)),) if entries else ()
    place = folder_of if shelf.group == "folder" else family_of
    recent = [entry.path for entry in entries if entry.path in used and entry.ref not in shelf.favourites][:MOST_LAST_USED]
    recent = recent if shelf.sort == "used" else []

    def title(entry: LibraryEntry) -> str:
        if entry.ref in shelf.favourites:
            return FAVOURITES
        return LAST_USED if entry.path in recent else place(entry)

    groups: dict[str, list[LibraryEntry]] = {}
    for entry in entries:
        groups.setdefault(title(entry), []).append(entry)
    titles = sorted(groups, key=lambda name: (name != FAVOURITES, name != LAST_USED))
    found = tuple(Section(name, tuple(groups[name])) for name in titles)
    return found if len(found) > 1 else tuple(Section("", section.entries) for section in found)


def folder_of(entry: LibraryEntry) -> str:
    """Where a model lies, for people: its place and the first folder or owner below it."""
    source = clean(entry.source)
    kind, colon, rest = entry.ref.partition(":")
    if colon and kind == "hf":
        return f"{source} · {clean(rest.partition('/')[0])}"
    if colon and kind == "ollama":
        return source
    # The label of a place is its path with the home folder shortened to ~.
    inside = entry.path.partition(entry.source.removeprefix("~").rstrip("/") + "/")[2]
    below, slash, _ = inside.partition("/")
    return f"{source}/{clean(below)}" if slash else source


def family_of(entry: LibraryEntry) -> str:
    """The family a model belongs to, by its architecture: `qwen3moe` and `qwen3` are both `qwen`."""
    architecture = entry.model.architecture.lower() if entry.model else ""
    whole = _WHOLE.match(architecture) or _FAMILY.match(architecture)
    return whole[0] if whole else "other"

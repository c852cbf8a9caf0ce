"""Where profiles lie: found, stored and removed, one TOML file each.

Files that rigtui ships and files of the user's have one format and one reader; a profile of the user's takes the place of a shipped
one of the same name.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from rigtui.errors import ExistsError, RigtuiError, UsageError
from rigtui.files import locked, read_text, read_toml, write_atomic
from rigtui.intent.profile import Profile, ProfileOverrides, check, dump, parse, parse_text
from rigtui.paths import config_dir, shipped
from rigtui.text import clean, nearest, slug

__all__ = [
    "Entry",
    "ModelState",
    "Profile",
    "ProfileOverrides",
    "Profiles",
    "all_profiles",
    "directories",
    "ensure_free",
    "file_of",
    "find",
    "load",
    "model_state",
    "remove",
    "save",
    "save_text",
]


class Entry(Struct, frozen=True):
    """A profile and the file it comes from."""

    profile: Profile
    path: Path
    shipped: bool


class Profiles(Struct, frozen=True):
    """Every profile that can be used, by name, and one sentence for each file that cannot."""

    entries: tuple[Entry, ...]
    problems: tuple[str, ...] = ()


def directories(profiles_dir: str | Path | None = None) -> tuple[Path, ...]:
    """Where profiles lie, the first found wins: the user's folder (or `profiles_dir` in its place), then what rigtui ships."""
    own = Path(profiles_dir).expanduser() if profiles_dir else config_dir() / "profiles"
    return own, shipped("profiles")


def load(path: Path) -> Profile:
    """The profile in the file `path`.

    Raises UsageError with one sentence.
    """
    return parse(read_toml(path), path)


def file_of(name: str, directory: Path) -> Path:
    """The file that a profile called `name` is stored in."""
    return directory / f"{slug(name)}.toml"


def save(profile: Profile, directory: Path, *, overwrite: bool = False) -> Path:
    """Store `profile` in `directory` and return its file. One that takes the place of another keeps that one's comments, and, where it says
    nothing of itself, what the description said: only settings are chosen on a screen or found by a tuning.

    Raises UsageError when it is not valid, when there is one already and `overwrite` is not set, or when the file belongs to a
    profile of another name; RigtuiError when it cannot be written.
    """
    check(profile, "the profile")
    path = file_of(profile.name, directory)
    text = None
    if overwrite and path.exists():
        from rigtui.intent.profile_lines import rewritten

        with suppress(UsageError):
            profile = replace(profile, description=profile.description or load(path).description)
            text = rewritten(read_text(path), profile)
    return _store(profile.name, text or dump(profile), directory, overwrite)


def save_text(text: bytes, directory: Path, *, was: Entry | None = None, overwrite: bool = False) -> Path:
    """Store the text of a profile as it stands, comments and all; `was` is the entry it was before it was edited.

    Raises UsageError when it is not a valid profile, or when its new name is taken; RigtuiError when it cannot be written.
    """
    profile = parse_text(text, "the edited profile" if was is not None else "the profile")
    same = was is not None and was.profile.name == profile.name
    path = _store(profile.name, text, directory, overwrite=same or overwrite)
    if was is not None and not same and not was.shipped:
        was.path.unlink(missing_ok=True)
    return path


def _store(name: str, text: bytes, directory: Path, overwrite: bool) -> Path:
    path = file_of(name, directory)
    with locked(path):
        ensure_free(name, directory, overwrite=overwrite)
        write_atomic(path, text)
    return path


def ensure_free(name: str, directory: Path, *, overwrite: bool = False) -> None:
    """Raise UsageError when a profile called `name` cannot be stored in `directory`.

    Its file exists already and `overwrite` is not set, or belongs to a profile of another name.
    """
    path = file_of(name, directory)
    if not path.exists():
        return
    try:
        holder = load(path).name
    except UsageError:
        holder = name
    if holder != name:
        raise UsageError(f"{path} holds the profile {clean(holder)}, so {clean(name)} cannot be stored there; choose another name")
    if not overwrite:
        raise ExistsError(f"there is a profile {clean(name)} already ({path})", "choose another name, or remove it first")


def all_profiles(dirs: tuple[Path, ...]) -> Profiles:
    """Every profile of `dirs`, sorted by name; of two with one name the one in the earlier folder counts."""
    found: dict[str, Entry] = {}
    problems: list[str] = []
    for directory in dirs:
        here: dict[str, Path] = {}
        for path in sorted(directory.glob("*.toml")):
            if path.name.startswith("."):
                continue
            try:
                profile = load(path)
            except UsageError as error:
                problems.append(str(error))
                continue
            if first := here.get(profile.name):
                problems.append(f"{path} has the same name, {clean(profile.name)}, as {first.name} beside it and is left out; rename one")
                continue
            here[profile.name] = path
            found.setdefault(profile.name, Entry(profile, path, directory == shipped("profiles")))
    return Profiles(tuple(found[name] for name in sorted(found, key=lambda n: (n.lower(), n))), tuple(problems))


def find(name: str, dirs: tuple[Path, ...]) -> Entry:
    """The profile called `name`.

    Raises UsageError with what is wrong in its file when that cannot be read, else with the nearest known name.
    """
    for directory in dirs:
        path = file_of(name, directory)
        if path.is_file() and (profile := load(path)).name in (name, slug(name)):
            return Entry(profile, path, directory == shipped("profiles"))
    known = {entry.profile.name: entry for entry in all_profiles(dirs).entries}
    if name in known:  # in a file that was named by hand
        return known[name]
    close = nearest(name, known)
    hint = f"did you mean {close}?" if close else "`rigtui profiles` lists them"
    raise UsageError(f"there is no profile {clean(name)}; {hint}")


def remove(name: str, dirs: tuple[Path, ...]) -> Path:
    """Delete the user's profile called `name` and return the file that is gone.

    Raises UsageError for a profile that rigtui ships, RigtuiError when the file cannot be deleted.
    """
    entry = find(name, dirs)
    if entry.shipped:
        raise UsageError(f"{clean(name)} ships with rigtui and stays; a profile of your own with that name takes its place")
    try:
        entry.path.unlink()
    except OSError as error:
        raise RigtuiError(f"cannot delete {entry.path}: {error.strerror or error}") from error
    return entry.path


ModelState = Literal["here", "not downloaded", "not found"]


def model_state(profile: Profile) -> ModelState:
    """Whether the profile's model lies on this machine: `not downloaded` can be fetched, `not found` is a path with nothing there."""
    return model_found(profile)[0]


def model_found(profile: Profile) -> tuple[ModelState, str]:
    """The same, and where it is not here one sentence that says how to get it."""
    from rigtui.errors import MissingError
    from rigtui.intent.config import load_config
    from rigtui.models.resolve import resolve

    remote = profile.model.startswith(("hf:", "ollama:"))
    folders = load_config().models.folders
    try:
        resolve(profile.model, folders)
    except MissingError as error:
        return "not downloaded" if remote else "not found", str(error)
    except RigtuiError:
        # It is there but cannot be read or is ambiguous: whoever uses it is told why.
        return "here", ""
    return "here", ""

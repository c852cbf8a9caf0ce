"""`rigtui profiles`: list, show, edit and remove profiles."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from rigtui.cli.output import note, print_json
from rigtui.errors import EXIT_DONE, UsageError
from rigtui.text import clean

if TYPE_CHECKING:
    from pathlib import Path

    from rigtui.intent.profiles import Entry, Profiles

ACTIONS = ("list", "show", "edit", "remove")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="what to do (default: list)")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the profile, for show, edit and remove")
    parser.add_argument("--json", action="store_true", help="as data on stdout")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    from rigtui.intent.profiles import all_profiles, directories, find, remove

    dirs = directories(args.profiles_dir)
    if args.action == "list":
        if args.name is not None:
            raise UsageError(f"`rigtui profiles list` takes no name; did you mean `rigtui profiles show {clean(args.name)}`?")
        return _list(all_profiles(dirs), args.json)
    if args.name is None:
        raise UsageError(f"`rigtui profiles {args.action}` needs the name of a profile; `rigtui profiles` lists them")
    if args.action == "show":
        return _show(find(args.name, dirs), args.json)
    if args.action == "edit":
        return _edit(find(args.name, dirs), dirs[0])
    note(f"removed {remove(args.name, dirs)}")
    return EXIT_DONE


def _data(entry: Entry) -> dict[str, Any]:
    import msgspec

    from rigtui.intent.profiles import model_state

    profile = entry.profile
    return {
        "name": profile.name,
        "model": profile.model,
        "model_state": model_state(profile),
        "use_case": profile.use_case,
        "engine": profile.engine,
        "description": profile.description,
        "overrides": msgspec.to_builtins(profile.overrides),
        "shipped": entry.shipped,
        "path": str(entry.path),
    }


def _list(found: Profiles, as_json: bool) -> int:
    rows = [_data(entry) for entry in found.entries]
    if as_json:
        print_json({"schema": "rigtui.profiles/1", "profiles": rows, "problems": list(found.problems)})
        return EXIT_DONE
    name_width = max((len(row["name"]) for row in rows), default=0)
    model_width = max((len(row["model"]) for row in rows), default=0)
    for row in rows:
        state = "" if row["model_state"] == "here" else row["model_state"]
        print(f"{row['name']:{name_width}}  {row['use_case']:9}  {row['model']:{model_width}}  {state}".rstrip())
    if not rows:
        note("there are no profiles yet; `rigtui run MODEL --save NAME` makes one")
    for problem in found.problems:
        note(f"left out: {problem}")
    return EXIT_DONE


def _show(entry: Entry, as_json: bool) -> int:
    row = _data(entry)
    if as_json:
        print_json({"schema": "rigtui.profile/1", **row})
        return EXIT_DONE
    state = "" if row["model_state"] == "here" else f" ({row['model_state']})"
    origin = "ships with rigtui" if entry.shipped else str(entry.path)
    for label, value in (
        ("profile", row["name"]),
        ("model", row["model"] + state),
        ("use case", row["use_case"]),
        ("engine", row["engine"]),
        ("file", origin),
    ):
        print(f"{label:9} {value}")
    for key, value in row["overrides"].items():
        print(f"{key:9} {clean(_plain(value))}")
    for line in entry.profile.description.split("\n"):
        print(f"          {clean(line)}".rstrip())
    return EXIT_DONE


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return " ".join(str(item) for item in value)
    return str(value)


def _edit(entry: Entry, directory: Path) -> int:
    from rigtui.intent.profile_editor import edit_profile

    path = edit_profile(entry, directory)
    note("nothing was changed" if path is None else f"saved {path}")
    return EXIT_DONE

"""What runs measured, kept for good: `$XDG_DATA_HOME/rigtui/results/<profile>.toml`, one `[[run]]` per run.

Observed values come from NVML or the engine, never from the plan; what could not be observed is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from rigtui import files, paths
from rigtui.decoding import known
from rigtui.errors import RigtuiError, UsageError
from rigtui.planning.outcomes import AttemptResult, ResultDevice, ResultGpu, RunResult, without_secrets
from rigtui.text import slug

__all__ = [
    "RESULTS_SCHEMA",
    "AttemptResult",
    "ResultDevice",
    "ResultGpu",
    "RunResult",
    "load_results",
    "mark_chosen",
    "mark_forgotten",
    "move_results",
    "read_runs",
    "record",
    "results_of_profile",
    "results_path",
    "without_secrets",
]

RESULTS_SCHEMA = "rigtui.results/1"
_MARKS = ("forgotten", "chosen")
"""What is said of a run afterwards: a later word of the run itself does not take it back."""
_FULL_BYTES = files.MAX_TOML_BYTES * 3 // 4


def results_path(name: str) -> Path:
    """Where the results of a profile lie (of a model, when the run had no profile)."""
    plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name)
    return paths.data_dir() / "results" / f"{name if plain else slug(name)}.toml"


def record(name: str, result: RunResult) -> str | None:
    """Write a run's result: appended, or put in the place of what was recorded of the same run before.

    Returns a warning when the file was damaged: it is kept aside and a new one begun. Raises RigtuiError when it cannot be written.
    """
    path = results_path(name)
    with files.locked(path):
        warning = None
        try:
            runs = _runs(path)
        except UsageError as error:
            aside = files.keep_aside(path)
            warning = f"{error}; it is kept as {aside} and a new file was begun"
            runs = []
        entry = msgspec.to_builtins(result)
        places = [i for i, run in enumerate(runs) if run.get("run") == result.run]
        if places:
            runs[places[0]] = entry | {mark: runs[places[0]].get(mark, False) for mark in _MARKS}
        else:
            runs.append(entry)
        data = files.dump_toml({"run": runs})
        if len(data) > _FULL_BYTES and len(runs) > 1:
            _set_aside_older(path, runs[: len(runs) // 2])
            data = files.dump_toml({"run": runs[len(runs) // 2 :]})
        files.write_atomic(path, data)
    return warning


def load_results(name: str) -> list[RunResult]:
    """All runs recorded under a profile's (or model's) name, oldest first; none is an empty list.

    Raises RigtuiError when the file is damaged.
    """
    return read_runs(results_path(name))


def results_of_profile(name: str) -> list[RunResult]:
    """The runs that a profile was launched for, without those of a model that only has the same name; else as `load_results`."""
    return [run for run in load_results(name) if run.profile is not None]


def read_runs(path: Path) -> list[RunResult]:
    """All runs of one results file, oldest first; none is an empty list. Raises RigtuiError when the file is damaged."""
    try:
        return msgspec.convert(_runs(path), known(list[RunResult]))
    except msgspec.ValidationError as error:
        raise RigtuiError(f"{path} holds a run that cannot be read ({error}); correct it or move the file away") from error


def mark_forgotten(name: str, *, forgotten: bool) -> int:
    """Mark the runs of the profile of this name and those of the model of this name, whatever their profile; returns how many were not
    so marked before.

    Raises RigtuiError when a file is damaged or cannot be written.
    """
    own = results_path(name)

    def meant(path: Path, run: dict[str, Any]) -> bool:
        return run.get("model") == name or (path == own and run.get("profile") is not None)

    return sum(_mark(path, partial(meant, path), "forgotten", forgotten) for path in sorted(own.parent.glob("*.toml")))


def mark_chosen(name: str, run: str, tuning: str) -> None:
    """Mark `run` as the best trial of its tuning, and no other. Raises RigtuiError like `mark_forgotten`."""
    path = results_path(name)
    _mark(path, lambda one: (one.get("trial") or {}).get("tuning") == tuning and one.get("run") != run, "chosen", False)
    _mark(path, lambda one: one.get("run") == run, "chosen", True)


def _mark(path: Path, which: Callable[[dict[str, Any]], bool], field: str, value: bool) -> int:
    """Set a field of the runs that are meant; how many had another value."""
    with files.locked(path):
        runs = _runs(path)
        changed = [run for run in runs if which(run) and run.get(field, False) != value]
        for run in changed:
            run[field] = value
        if changed:
            files.write_atomic(path, files.dump_toml({"run": runs}))
    return len(changed)


def move_results(old: str, new: str) -> None:
    """The results of a profile go with it when it gets another name; those of a model of the old name stay where they are. Where the new
    name has some already, both stay.

    Raises RigtuiError when they cannot be moved.
    """
    source, target = results_path(old), results_path(new)
    if target.exists():
        return
    with files.locked(source):
        runs = _runs(source)
        moved = [run for run in runs if run.get("profile") is not None]
        if not moved:
            return
        files.write_atomic(target, files.dump_toml({"run": moved}))
        if len(moved) == len(runs):
            source.unlink(missing_ok=True)
        else:
            files.write_atomic(source, files.dump_toml({"run": [run for run in runs if run.get("profile") is None]}))


def _runs(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    runs = files.read_toml(path).get("run", [])
    if not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs):
        raise UsageError(f"{path} is damaged: `run` is not a list of tables")
    return runs


def _set_aside_older(path: Path, runs: list[dict[str, Any]]) -> None:
    number = 1
    while (older := path.with_name(f"{path.stem}.older-{number}.toml")).exists():
        number += 1
    files.write_atomic(older, files.dump_toml({"run": runs}))

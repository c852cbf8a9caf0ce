"""Use cases: named preferences, read from the file rigtui ships and from the user's own, by one loader.

A file holds tables `[use_case.NAME]` whose keys are the fields of `UseCase`.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from rigtui.errors import UsageError
from rigtui.files import convert, read_toml
from rigtui.intent.intent import KV_TYPES, UseCase
from rigtui.paths import config_dir
from rigtui.text import clean, nearest

SHIPPED = Path(__file__).with_name("use_cases.toml")


class UseCases(Struct, frozen=True):
    """Every use case by name, and one sentence for each file of the user's that could not be used."""

    known: dict[str, UseCase]
    problems: tuple[str, ...] = ()


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    use_case: dict[str, UseCase] = {}


def user_dir() -> Path:
    """Where the user's own use cases lie."""
    return config_dir() / "use_cases"


def read_file(path: Path) -> dict[str, UseCase]:
    """The use cases of one file.

    Raises UsageError with the file, the key and the nearest known one.
    """
    data = read_toml(path)
    tables = data.get("use_case")
    if isinstance(tables, dict):
        for name, table in tables.items():
            if isinstance(table, dict):
                if "name" in table:
                    raise UsageError(f"{path}: [use_case.{clean(name)}] has its name in its heading; leave out the key `name`")
                table["name"] = name
    known = convert(data, _File, path).use_case
    for use_case in known.values():
        _check(use_case, path)
    return known


def _check(use_case: UseCase, path: Path) -> None:
    where = f"{path}: [use_case.{clean(use_case.name)}]"
    if use_case.name != clean(use_case.name).strip() or not use_case.name:
        raise UsageError(f"{where} needs a plain name")
    if not use_case.kv_types:
        raise UsageError(f"{where} allows no KV type; leave out `kv_types` or name at least one")
    for kv_type in use_case.kv_types:
        if kv_type not in KV_TYPES:
            close = nearest(kv_type, KV_TYPES)
            hint = f"did you mean {close}?" if close else "known are " + ", ".join(KV_TYPES)
            raise UsageError(f"{where} names the KV type `{clean(kv_type)}`, which no engine knows; {hint}")
    if use_case.context and use_case.context_least and use_case.context_least > use_case.context:
        raise UsageError(
            f"{where} wants a context of {use_case.context:,} but accepts no less than {use_case.context_least:,}; swap the two"
        )


def read_use_cases() -> UseCases:
    """What rigtui ships, then the user's files in the order of their names; a later use case of the same name replaces the earlier."""
    known = read_file(SHIPPED)
    problems: list[str] = []
    for path in sorted(user_dir().glob("*.toml")):
        try:
            known.update(read_file(path))
        except UsageError as error:
            problems.append(f"{error} (its use cases are left out)")
    return UseCases(known, tuple(problems))


def load_use_cases() -> dict[str, UseCase]:
    """Every use case by name; files that cannot be used are left out (`read_use_cases` says why)."""
    return read_use_cases().known


def choose(name: str, known: dict[str, UseCase], problems: tuple[str, ...] = ()) -> UseCase:
    """The use case `name` of `known`.

    Raises UsageError with the nearest known name, and with what is wrong in files that may have held it.
    """
    if name in known:
        return known[name]
    close = nearest(name, known)
    hint = f"did you mean {close}?" if close else "known are " + ", ".join(known)
    beside = f" ({'; '.join(problems)})" if problems else ""
    raise UsageError(f"there is no use case `{clean(name)}`; {hint}{beside}")


def use_case(name: str) -> UseCase:
    """The use case called `name`, from the files.

    Raises UsageError with the nearest known name.
    """
    found = read_use_cases()
    return choose(name, found.known, found.problems)

"""Profiles under another name."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigtui.errors import UsageError
from rigtui.intent.profile_copies import duplicate, rename
from rigtui.intent.profiles import all_profiles, directories, find, load

TEXT = '# mine, and why\n[profile]\nname = "coder"\nmodel = "hf:someone/coder"  # the small one\n\n[overrides]\ncontext = 4096\n'


@pytest.fixture
def folder(home: Path) -> Path:
    own = directories()[0]
    own.mkdir(parents=True)
    (own / "coder.toml").write_text(TEXT)
    return own


def names(folder: Path) -> set[str]:
    return {entry.profile.name for entry in all_profiles((folder,)).entries}


def test_a_duplicate_is_the_same_but_for_its_name_and_keeps_the_comments(folder):
    path = duplicate(find("coder", (folder,)), 'coder "two"', folder)
    assert names(folder) == {"coder", 'coder "two"'}
    assert load(path).overrides.context == 4096
    assert "# mine, and why" in path.read_text() and "# the small one" in path.read_text()


def test_rename_moves_it(folder):
    path = rename(find("coder", (folder,)), "writer", folder)
    assert names(folder) == {"writer"} and path.name == "writer.toml"
    assert "# the small one" in path.read_text()


def test_a_name_that_is_taken_or_empty_changes_nothing(folder):
    entry = find("coder", (folder,))
    duplicate(entry, "writer", folder)
    for wrong in ("writer", "  ", "a\nb"):
        with pytest.raises(UsageError):
            rename(entry, wrong, folder)
    assert names(folder) == {"coder", "writer"}


def test_a_shipped_profile_is_copied_but_not_renamed(folder):
    entry = next(entry for entry in all_profiles(directories()).entries if entry.shipped)
    with pytest.raises(UsageError, match="ships with rigtui"):
        rename(entry, "mine", folder)
    assert load(duplicate(entry, "mine", folder)).model == entry.profile.model


def test_a_name_in_another_notation_is_written_anew(folder):
    (folder / "odd.toml").write_text('profile = {name = "odd", model = "hf:a/b"}\n')
    path = rename(find("odd", (folder,)), "even", folder)
    assert load(path).name == "even" and "odd" not in names(folder)

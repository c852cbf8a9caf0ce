"""The examples of docs/formats.md are files that rigtui accepts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rigtui.files import convert, read_toml
from rigtui.intent import profiles, use_cases
from rigtui.intent.config import Config
from rigtui.rig import rigfile
from rigtui.text import MIB
from rigtui.tui.colors import variable_defaults
from rigtui.tui.theme import read_theme

TEXT = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
EXAMPLES = dict(re.findall(r"```toml\n# (\S+)\n(.*?)```", TEXT, re.DOTALL))
READERS: dict[str, Callable[[Path], Any]] = {
    "config.toml": lambda path: convert(read_toml(path), Config, path),
    "profile": profiles.load,
    "use_case": use_cases.read_file,
    "theme": read_theme,
    "rig": rigfile.load,
}
SAID: dict[str, Callable[[Any], tuple[object, object]]] = {
    "config.toml": lambda config: (config.models.folders, ("~/models", "/data/gguf")),
    "profile": lambda profile: (profile.overrides.gpus, ("GPU-8f3c", 1, "4090")),
    "use_case": lambda found: (found["review"].context_least, 32768),
    "theme": lambda theme: (theme.variables["bar-weights"], "#6aa5e3"),
    "rig": lambda rig: (rig.gpus[0].free_bytes, 24100 * MIB),
}
"""Something of each example, as it is read, and what the example says."""


@pytest.mark.parametrize("kind", sorted(READERS))
def test_an_example_is_read_as_it_says(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "example.toml"
    path.write_text(EXAMPLES[kind])
    found, written = SAID[kind](READERS[kind](path))
    assert found == written


def test_every_example_is_tried_and_every_bar_is_named() -> None:
    assert set(EXAMPLES) == set(READERS)
    for name in variable_defaults():
        assert f"`{name}`" in TEXT


def test_the_profile_example_shows_every_key() -> None:
    for key in (*profiles.ProfileOverrides.__struct_fields__, *profiles.Profile.__struct_fields__[:-1]):
        assert re.search(rf"^{key} = ", EXAMPLES["profile"], re.MULTILINE), key

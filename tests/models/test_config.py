"""The user's config.toml, and the sentence about a key or value that does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigtui.errors import UsageError
from rigtui.files import convert
from rigtui.intent.config import Config, load_config
from rigtui.intent.intent import Overrides, UseCase


def write_config(home: Path, text: str) -> Path:
    path = home / ".config" / "rigtui" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_no_config_means_defaults() -> None:
    assert load_config() == Config()


def test_config_is_read(home: Path) -> None:
    write_config(home, 'theme = "light"\n[models]\nfolders = ["/data/models"]\n[engines]\nllama_server = "/opt/llama-server"\n')
    config = load_config()
    assert config.models.folders == ("/data/models",)
    assert config.engines.llama_server == "/opt/llama-server"
    assert config.theme == "light"


def test_an_unknown_key_names_file_key_and_nearest(home: Path) -> None:
    path = write_config(home, '[models]\nfolder = ["/data"]\n')
    with pytest.raises(UsageError, match=r"unknown key `folder` in \[models\]; did you mean `folders`\?") as caught:
        load_config()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("data", "kind", "sentence"),
    [
        ({"modls": 1}, Config, "f.toml: unknown key `modls`; did you mean `models`?"),
        ({"zzz": 1}, Config, "f.toml: unknown key `zzz`; known are models, engines, theme"),
        ({"models": {"folders": "x"}}, Config, "f.toml: `models.folders` must be a list, not text"),
        ({"models": {"folders": [1]}}, Config, "f.toml: `models.folders[0]` must be text, not a whole number"),
        ([], Config, "f.toml: the content must be a table, not a list"),
        ({"name": "x", "prefer": "sped"}, UseCase, "f.toml: `prefer` cannot be `sped`; did you mean `speed`?"),
        ({}, UseCase, "f.toml: the key `name` is missing"),
        ({"env": {"A": 1}}, Overrides, "f.toml: `env.*` must be text, not a whole number"),
        ({"context": "x"}, Overrides, "f.toml: `context` must be a whole number, not text"),
    ],
)
def test_one_sentence_for_each_misfit(data: object, kind: type, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        convert(data, kind, "f.toml")
    assert str(caught.value) == sentence

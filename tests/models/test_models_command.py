"""`rigtui models` as a person and as a program see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rigtui.cli.main import main
from tools.make_gguf import sparse, tiny_llama
from tools.specs import spec

FIELDS = {
    "ref": str,
    "name": str,
    "source": str,
    "path": str,
    "size_bytes": int,
    "error": str | None,
    "format": str | None,
    "architecture": str | None,
    "quantization": str | None,
    "layers": int | None,
    "parameters": int | None,
    "context_trained": int | None,
    "experts": int,
    "embedding_model": bool | None,
    "fingerprint": str | None,
}


@pytest.fixture
def models(home: Path) -> Path:
    folder = home / "models"
    folder.mkdir()
    tiny_llama(folder / "tiny.gguf")
    (folder / "notes.gguf").write_text("these are my notes")
    return folder


def listed(capsys: pytest.CaptureFixture[str], *args: str) -> list[dict[str, object]]:
    assert main(["models", "--json", *args]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["schema"] == "rigtui.models/1"
    return out["models"]  # type: ignore[no-any-return]


def test_json_has_a_sound_and_a_broken_model(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken, sound = listed(capsys)
    for entry in (broken, sound):
        assert {key: isinstance(entry[key], kind) for key, kind in FIELDS.items()} == dict.fromkeys(FIELDS, True)
        assert set(entry) == set(FIELDS)
    assert (sound["name"], sound["ref"], sound["layers"], sound["quantization"]) == ("tiny", str(models / "tiny.gguf"), 4, "F16")
    assert sound["error"] is None
    assert "not a GGUF file" in str(broken["error"])


def test_the_table_says_what_to_type(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "QUANT", "ARCHITECTURE", "SIZE", "CONTEXT", "SOURCE", "MODEL"]
    row = next(line for line in lines if line.startswith("tiny"))
    assert row.split() == ["tiny", "F16", "llama", "0", "MiB", "32,768", "~/models", str(models / "tiny.gguf")]
    assert any("cannot be used" in line and "four letters GGUF" in line for line in lines)


def test_single_files_can_be_named_by_any_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sparse(tmp_path / "m.gguf", spec("nomic-embed-f16") | {"vocabulary": 300}, shards=2)
    (entry,) = listed(capsys, str(tmp_path / "m-00002-of-00002.gguf"))
    assert entry["path"] == str(tmp_path / "m-00001-of-00002.gguf")
    assert entry["embedding_model"] is True


def test_a_folder_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "/no/such/folder"]) == 2
    assert capsys.readouterr().err == "rigtui: there is no folder or file /no/such/folder\n"


def test_folders_of_the_configuration_are_searched(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_llama(tmp_path / "data.gguf")
    config = home / ".config" / "rigtui" / "config.toml"
    config.parent.mkdir()
    config.write_text(f'[models]\nfolders = ["{tmp_path}"]\n')
    assert [entry["ref"] for entry in listed(capsys)] == [str(tmp_path / "data.gguf")]


def test_nothing_found_says_what_to_do(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "put a GGUF file into ~/models" in said.err

"""Finding models: every store's layout, what is no model, what is broken, and what is remembered."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from rigtui.errors import MissingError, RigtuiError, UsageError
from rigtui.models import header_cache, library
from rigtui.models.library import LibraryEntry, scan
from rigtui.models.resolve import resolve
from rigtui.paths import cache_dir
from tools.make_gguf import sparse, tiny_llama
from tools.specs import spec


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    (tmp_path / "made").mkdir()
    return tiny_llama(tmp_path / "made" / "tiny.gguf", name="Tiny One")


def place(tiny: Path, path: Path, name: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if name is None:
        shutil.copy(tiny, path)
    else:
        tiny_llama(path, name=name)
    return path


def hub(home: Path, repository: str, files: dict[str, Path], *, revision: str = "abc") -> Path:
    """The hub's layout: blobs, and a snapshot of links to them."""
    root = home / ".cache" / "huggingface" / "hub" / f"models--{repository.replace('/', '--')}"
    (root / "refs").mkdir(parents=True, exist_ok=True)
    (root / "refs" / "main").write_text(revision)
    snapshot = root / "snapshots" / revision
    for name, source in files.items():
        blob = root / "blobs" / f"blob-{name.replace('/', '-')}"
        blob.parent.mkdir(exist_ok=True)
        shutil.copy(source, blob)
        link = snapshot / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return snapshot


def ollama(home: Path, name: str, tag: str, source: Path) -> None:
    root = home / ".ollama" / "models"
    digest = "sha256:" + hashlib.sha256(f"{name}:{tag}".encode()).hexdigest()
    blob = root / "blobs" / digest.replace(":", "-")
    blob.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, blob)
    manifest = root / "manifests" / "registry.ollama.ai" / "library" / name / tag
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": 1}]}))


def refs(entries: tuple[LibraryEntry, ...]) -> dict[str, str]:
    return {entry.ref: entry.source for entry in entries}


def test_every_store_is_searched(home: Path, tiny: Path, tmp_path: Path) -> None:
    own = place(tiny, tmp_path / "data" / "deep" / "own.gguf", "own")
    mine = place(tiny, home / "models" / "mine.gguf", "mine")
    studio = place(tiny, home / ".lmstudio" / "models" / "someone" / "repo" / "studio.gguf", "studio")
    cached = place(tiny, home / ".cache" / "llama.cpp" / "cached.gguf", "cached")
    hub(home, "owner/repo", {"hub-Q4_K_M.gguf": place(tiny, tmp_path / "h" / "hub.gguf", "hub")})
    ollama(home, "llama3", "8b", place(tiny, tmp_path / "o" / "o.gguf", "ollama"))
    found = refs(scan([str(tmp_path / "data")]))
    assert found == {
        str(own): str(tmp_path / "data"),
        str(mine): "~/models",
        str(studio): "LM Studio",
        str(cached): "llama.cpp cache",
        "hf:owner/repo:hub-Q4_K_M.gguf": "Hugging Face cache",
        "ollama:llama3:8b": "Ollama",
    }


def test_parts_are_one_model_and_companions_are_none(home: Path, tiny: Path) -> None:
    folder = home / "models"
    folder.mkdir()
    sparse(folder / "split.gguf", spec("qwen2.5-7b-q4_k_m"), shards=3)
    companion = spec("nomic-embed-f16") | {"architecture": "clip"}
    sparse(folder / "mmproj-model.gguf", companion)
    entries = scan()
    assert len(entries) == 1
    assert entries[0].model is not None
    assert len(entries[0].model.files) == 3


def test_what_is_reached_twice_is_listed_once_and_circles_end(home: Path, tiny: Path) -> None:
    real = place(tiny, home / "models" / "a.gguf")
    (home / "models" / "again.gguf").symlink_to(real)
    (home / "models" / "circle").symlink_to(home / "models")
    (home / "models" / "nowhere.gguf").symlink_to(home / "gone.gguf")
    assert len(scan()) == 1


def test_a_broken_file_is_an_entry_with_its_error(home: Path) -> None:
    (home / "models").mkdir()
    (home / "models" / "bad.gguf").write_text("hello")
    entry = scan()[0]
    assert entry.model is None
    assert "not a GGUF file" in (entry.error or "")


def test_headers_are_remembered_until_the_file_changes(home: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place(tiny, home / "models" / "a.gguf")
    first = scan()

    def forbidden(_: Path) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(library, "read_model", forbidden)
    assert scan() == first
    os.utime(path, ns=(1, 1))
    with pytest.raises(AssertionError, match="read again"):
        scan()


@pytest.mark.parametrize("content", [b"", b"\x00\xff rubbish", b"\x92\xa1x\x80"])
def test_a_damaged_memory_is_begun_anew(home: Path, tiny: Path, content: bytes) -> None:
    place(tiny, home / "models" / "a.gguf")
    first = scan()
    file = cache_dir() / "models.msgpack"
    file.write_bytes(content)
    assert scan() == first
    assert header_cache.HeaderCache().get(home / "models" / "a.gguf", 0, 0, lambda: header_cache.Known(0, 0, error="new")).error == "new"


def test_a_search_reports_and_can_be_ended(home: Path, tiny: Path) -> None:
    for number in range(45):
        place(tiny, home / "models" / f"{number:02}.gguf")
    seen: list[tuple[int, int]] = []
    scan(on_progress=lambda entries, looked: seen.append((len(entries), looked)))
    assert seen == [(20, 20), (40, 40), (45, 45)]
    assert len(scan(cancelled=lambda: True)) == 0


def test_every_way_to_name_a_model(home: Path, tiny: Path, tmp_path: Path) -> None:
    path = place(tiny, home / "models" / "some-file.gguf", "Nice Name")
    snapshot = hub(home, "Owner/Repo", {"m-Q4_K_M.gguf": tiny, "m-Q8_0.gguf": place(tiny, tmp_path / "8.gguf", "eight")})
    ollama(home, "llama3", "latest", tiny)
    shutil.copytree(home / "models", tmp_path / "single")
    wanted = {
        str(path): "Nice Name",
        "nice name": "Nice Name",
        "some-file": "Nice Name",
        str(tmp_path / "single"): "Nice Name",
        "hf:owner/repo:Q8_0": "eight",
        "hf:Owner/Repo:m-Q8_0.gguf": "eight",
        "ollama:llama3": "Tiny One",
        str(snapshot / "m-Q8_0.gguf"): "eight",
    }
    assert {ref: resolve(ref).name for ref in wanted} == wanted


@pytest.mark.parametrize(
    ("reference", "kind", "words"),
    [
        ("hf:owner/repo", UsageError, "several models"),
        ("hf:owner/repo:Q2_K", MissingError, "hf download owner/repo"),
        ("hf:nobody/nothing:Q4", MissingError, "not downloaded"),
        ("hf:justname", UsageError, "owner/repo"),
        ("ollama:lama3", MissingError, "did you mean ollama:llama3"),
        ("/nowhere/x.gguf", MissingError, "no file"),
        ("owner/repo", MissingError, "did you mean hf:owner/repo"),
        ("Tiny", MissingError, "no model and no profile"),
        ("tiny one", UsageError, "several models"),
        ("\0", RigtuiError, "no model and no profile"),
    ],
)
def test_what_cannot_be_resolved_is_one_sentence(
    home: Path, tiny: Path, tmp_path: Path, reference: str, kind: type[Exception], words: str
) -> None:
    hub(home, "owner/repo", {"m-Q4_K_M.gguf": tiny, "m-Q8_0.gguf": tiny})
    ollama(home, "llama3", "latest", tiny)
    with pytest.raises(kind, match=words) as caught:
        resolve(reference)
    assert "\n" not in str(caught.value)


def test_a_manifest_cannot_lead_out_of_the_store(home: Path, tiny: Path) -> None:
    ollama(home, "evil", "latest", tiny)
    manifest = next((home / ".ollama" / "models" / "manifests").glob("*/*/*/*"))
    manifest.write_text(
        json.dumps({"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../../../etc/passwd"}]})
    )
    with pytest.raises(MissingError):
        resolve("ollama:evil")


def test_a_part_that_comes_in_later_mends_the_model(home: Path) -> None:
    folder = home / "models"
    folder.mkdir()
    sparse(folder / "split.gguf", spec("qwen2.5-7b-q4_k_m") | {"vocabulary": 300}, shards=3)
    last = folder / "split-00003-of-00003.gguf"
    last.rename(home / "not-yet")
    assert "part 3" in (scan()[0].error or "")
    with open(last, "wb") as stream:
        stream.write(b"GGUF")
    assert "does not fit" in (scan()[0].error or "")
    (home / "not-yet").replace(last)
    assert scan()[0].error is None


def test_a_store_that_may_not_be_looked_into_is_passed_over(home: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(tiny, home / "models" / "a.gguf")
    monkeypatch.setenv("OLLAMA_MODELS", str(home / "locked" / "models"))
    real = os.stat

    def stat(path: str | Path, *more: object, **named: object) -> os.stat_result:
        if "locked" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", stat)
    assert [entry.name for entry in scan()] == ["Tiny One"]


def test_a_folder_with_a_model_and_its_companions_is_that_model(home: Path, tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    place(tiny, folder / "model.gguf")
    adapter = spec("nomic-embed-f16") | {"vocabulary": 0}
    adapter["metadata"] = adapter["metadata"] | {"general.type": "adapter"}
    sparse(folder / "lora.gguf", adapter)
    sparse(folder / "mmproj.gguf", spec("nomic-embed-f16") | {"architecture": "clip", "vocabulary": 0})
    assert resolve(str(folder)).name == "Tiny One"


def test_a_safetensors_folder_in_the_hub_cache(home: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    config = {"model_type": "qwen2", "num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 4}
    (source / "config.json").write_text(json.dumps(config))
    save_file({"lm_head.weight": np.zeros((4, 8), np.float16)}, source / "model.safetensors")
    hub(home, "owner/Repo-AWQ", {name: source / name for name in ("config.json", "model.safetensors")})
    (entry,) = scan()
    assert (entry.ref, entry.name, entry.error) == ("hf:owner/Repo-AWQ", "Repo-AWQ", None)
    assert resolve("hf:owner/Repo-AWQ").format == "safetensors"
    assert resolve("repo-awq").path == entry.path

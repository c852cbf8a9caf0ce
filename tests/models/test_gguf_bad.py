"""Foreign bytes: one sentence, no traceback, bounded time and memory."""

from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rigtui.errors import RigtuiError
from rigtui.models.gguf import read_gguf
from rigtui.models.resolve import resolve
from tools.make_gguf import sparse, tiny_llama
from tools.refusal import refusal, showable
from tools.specs import spec

U32, U64 = struct.Struct("<I"), struct.Struct("<Q")


def text(value: str) -> bytes:
    return U64.pack(len(value.encode())) + value.encode()


def number(key: str, value: int) -> bytes:
    return text(key) + U32.pack(4) + U32.pack(value)


def word(key: str, value: str) -> bytes:
    return text(key) + U32.pack(8) + text(value)


def tensor(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + U32.pack(len(shape)) + b"".join(U64.pack(n) for n in shape) + U32.pack(kind) + U64.pack(offset)


def gguf(
    keys: list[bytes], tensors: list[bytes], *, version: int = 3, key_count: int | None = None, tensor_count: int | None = None
) -> bytes:
    counts = U64.pack(len(tensors) if tensor_count is None else tensor_count) + U64.pack(len(keys) if key_count is None else key_count)
    return b"GGUF" + U32.pack(version) + counts + b"".join(keys) + b"".join(tensors)


def sound_keys() -> list[bytes]:
    keys = {"block_count": 1, "context_length": 64, "embedding_length": 32, "attention.head_count": 2}
    return [word("general.architecture", "llama"), *(number(f"llama.{k}", v) for k, v in keys.items())]


def sentence(path: Path) -> str:
    """What reading it says; never more than one line."""
    with pytest.raises(RigtuiError) as caught:
        read_gguf(path)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    assert said.isprintable()
    return said


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    return path


def test_a_sound_file_made_by_these_helpers_is_read(tmp_path: Path) -> None:
    content = gguf(sound_keys(), [tensor("token_embd.weight", (32, 4))]) + bytes(1024)
    assert read_gguf(written(tmp_path, content)).vocabulary == 4


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty (0 bytes)"),
        (b"GGUF", "does not fit into its 4 bytes"),
        (b"once upon a time there was a model\n" * 9, "does not begin with the four letters GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
        (b"GGUF" + struct.pack(">IQQ", 3, 1, 1) + bytes(99), "big-endian"),
        (gguf([], [], version=1), "version 1"),
        (gguf([], [], version=99), "version 99"),
        (gguf(sound_keys(), [], key_count=1 << 60), f"{1 << 60:,} metadata keys"),
        (gguf(sound_keys(), [], tensor_count=1 << 60), f"{1 << 60:,} tensors"),
        (gguf([U64.pack(2 << 30) + b"key"], []), "a key has 2,147,483,648 bytes"),
        (gguf([text("general.name") + U32.pack(8) + U64.pack(2 << 30) + b"name"], []), "string of 2,147,483,648 bytes"),
        (gguf([text("tokens") + U32.pack(9) + U32.pack(8) + U64.pack(1 << 60)], []), f"{1 << 60:,} entries"),
        (gguf([text("scores") + U32.pack(9) + U32.pack(6) + U64.pack(1 << 60)], []), f"{1 << 60:,} entries"),
        (gguf([text("nested") + U32.pack(9) + U32.pack(9) + U64.pack(1) + bytes(64)], []), "a list cannot hold"),
        (gguf([text("odd") + U32.pack(77) + bytes(64)], []), "unknown type 77"),
        (gguf([*sound_keys(), number("llama.block_count", 2)], []), "llama.block_count stands in it twice"),
        (gguf([number("general.alignment", 7)], []), "power of two"),
        (gguf(sound_keys(), [tensor("a", (32, 4)), tensor("a", (32, 4))]) + bytes(2048), "tensor a stands in it twice"),
        (gguf(sound_keys(), [tensor("a", (1, 1, 1, 1, 1))]), "5 dimensions"),
        (gguf(sound_keys(), [tensor("a", (1 << 62, 1 << 62))]), "impossibly large"),
        (gguf(sound_keys(), [tensor("a", (32,), offset=1 << 63)]), "impossibly large"),
        (gguf(sound_keys(), [tensor("a", (33,), kind=2)]), "blocks of 32"),
        (gguf(sound_keys(), [tensor("a", (32,), kind=200)]) + bytes(512), "type 200"),
        (gguf(sound_keys(), [tensor("a", (32, 1 << 20))]), "download was cut off"),
        (gguf([], [tensor("a", (32,))]) + bytes(512), "does not name its architecture"),
        (gguf(sound_keys()[:2], [tensor("a", (32,))]) + bytes(512), "does not say embedding_length"),
        (gguf([word("general.architecture", "llama"), number("llama.block_count", 1 << 30)], [tensor("a", (32,))]) + bytes(512), "layers"),
        (gguf([*sound_keys(), number("llama.nextn_predict_layers", 1)], [tensor("blk.0.a", (32,))]) + bytes(512), "(a draft)"),
    ],
)
def test_bad_bytes_get_one_sentence(content: bytes, expected: str, tmp_path: Path) -> None:
    assert expected in sentence(written(tmp_path, content))


def test_a_cut_off_download_names_both_sizes(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "m.gguf")
    full = path.stat().st_size
    os.truncate(path, full - 1000)
    said = sentence(path)
    assert f"{full - 1000:,}" in said
    assert f"{full:,}" in said


def test_a_download_cut_off_in_its_header_is_refused(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "m.gguf")
    for size in (5, 23, 100, 3000):
        os.truncate(path, size)
        assert sentence(path).endswith("download it again")
        tiny_llama(path)


def test_what_is_not_a_file_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    assert "is not a file" in sentence(pipe)
    assert "does not exist" in sentence(tmp_path / "absent.gguf")


def test_a_folder_that_may_not_be_looked_into_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.stat

    def stat(path: str | Path, *more: object, **named: object) -> os.stat_result:
        if str(path).endswith(".gguf"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", stat)
    assert "Permission denied" in sentence(tmp_path / "m.gguf")
    with pytest.raises(RigtuiError, match="Permission denied"):
        resolve(str(tmp_path / "m.gguf"))


def test_a_name_that_no_file_can_have_is_one_sentence(tmp_path: Path) -> None:
    for name in ("a\0b.gguf", "x" * 5000 + ".gguf"):
        assert refusal(lambda name=name: read_gguf(tmp_path / name))


def test_a_name_with_control_characters_is_cleaned(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31mb.gguf"
    path.write_bytes(b"text")
    with pytest.raises(RigtuiError) as caught:
        read_gguf(path)
    assert str(caught.value).isprintable()


def test_a_list_shorter_than_the_layers_is_refused(tmp_path: Path) -> None:
    content = spec("qwen2.5-7b-q4_k_m") | {"vocabulary": 300}
    content["metadata"] = content["metadata"] | {"attention.head_count_kv": [4, 4]}
    assert "2 entries for 28 layers" in sentence(sparse(tmp_path / "m.gguf", content))


@pytest.mark.parametrize(("entries", "expected"), [(1 << 36, "larger than 256 MiB"), (1 << 21, "does not name its architecture")])
def test_a_hole_that_claims_to_be_a_vocabulary_costs_no_memory(entries: int, expected: str, tmp_path: Path) -> None:
    content = gguf([text("tokens") + U32.pack(9) + U32.pack(8) + U64.pack(entries)], [], key_count=1, tensor_count=1)
    path = written(tmp_path, content)
    hole = len(content) + entries * 8
    os.truncate(path, hole)
    with open(path, "ab") as stream:
        stream.write(tensor("a", (32,)) + bytes(512))
    tracemalloc.start()
    said = sentence(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert expected in said
    assert peak < 16 << 20


def test_a_gigabyte_of_header_is_not_held_in_memory(tmp_path: Path) -> None:
    long = [text(f"k{n}") + U32.pack(9) + U32.pack(0) + U64.pack(40 << 20) for n in range(4)]
    path = tmp_path / "m.gguf"
    with open(path, "wb") as stream:
        stream.write(gguf([], [], key_count=len(long)))
        for item in long:
            stream.write(item)
            stream.seek(40 << 20, os.SEEK_CUR)
        stream.truncate(stream.tell())
    tracemalloc.start()
    sentence(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def read_or_refused(content: bytes, tmp_path: Path) -> bool:
    """A model, or one sentence that names the file and can be shown."""
    path = written(tmp_path, content)
    said = refusal(lambda: read_gguf(path))
    return showable(said) and str(path) in said if said else read_gguf(path).weights_bytes >= 0


@FUZZ
@given(body=st.binary(max_size=600), start=st.sampled_from([b"", b"GGUF", gguf([], [], key_count=2, tensor_count=1)]))
def test_random_bytes(body: bytes, start: bytes, tmp_path: Path) -> None:
    assert read_or_refused(start + body, tmp_path)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return tiny_llama(tmp_path_factory.mktemp("fuzz") / "m.gguf", layers=2).read_bytes()


@FUZZ
@given(changes=st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 255)), min_size=1, max_size=8), cut=st.integers(0, 12000))
def test_mutated_headers(sound: bytes, changes: list[tuple[int, int]], cut: int, tmp_path: Path) -> None:
    content = bytearray(sound)
    for at, value in changes:
        content[at] = value
    assert read_or_refused(bytes(content if cut > 9000 else content[:cut]), tmp_path)


@FUZZ
@given(at=st.integers(0, 9000), value=st.sampled_from([0, 1, 255, 1 << 31, (1 << 32) - 1, 1 << 60, (1 << 63) - 1, (1 << 64) - 1]))
def test_counts_and_lengths_replaced(sound: bytes, at: int, value: int, tmp_path: Path) -> None:
    content = bytearray(sound)
    content[at : at + 8] = U64.pack(value)
    assert read_or_refused(bytes(content), tmp_path)

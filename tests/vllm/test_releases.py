"""What differs from one vLLM to the next, held against what others saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigtui.engines.vllm.cache import cache
from rigtui.engines.vllm.releases import NEWEST, release
from rigtui.engines.vllm.settings import Settings
from rigtui.models.model import Model
from rigtui.models.safetensors import read_safetensors
from tools.make_safetensors import coder_27b, dense, write


@pytest.fixture
def coder(tmp_path: Path) -> Model:
    return read_safetensors(write(tmp_path / "coder", *coder_27b()))


def settings(model: Model, version: str, context: int, size: int = 1) -> Settings:
    found = release(version)
    assert found is not None
    prefixes = found.keeps_prefixes(None, hybrid=model.recurrent is not None)
    return Settings(context=context, tensor_parallel=size, prefix_caching=prefixes, release=found)


@pytest.mark.parametrize(
    ("text", "numbers"), [("0.19", (0, 19)), ("v0.19.1", (0, 19, 1)), ("0.32.0+cpu", (0, 32, 0)), ("0.26.0rc1", (0, 26, 0))]
)
def test_a_version_is_read_as_it_is_written(text: str, numbers: tuple[int, ...]) -> None:
    found = release(text)
    assert found is not None
    assert found.numbers == numbers


@pytest.mark.parametrize("text", ["", "latest", "19", "0.x"])
def test_what_is_no_version_is_none(text: str) -> None:
    assert release(text) is None


def test_up_to_0_20_0_a_hybrid_logged_a_quarter_of_its_blocks(coder: Model) -> None:
    """vllm#40691, this shape, 0.19.0, 32,768 tokens: "290,864 tokens" and "33.04x" of one and the same cache."""
    held = cache(coder, settings(coder, "0.19.0", 32768))
    blocks = next(count for count in range(4000) if held.tokens(count, 32768) == 290864 and round(count / held.blocks(32768), 2) == 33.04)
    assert blocks == 1487
    later = cache(coder, settings(coder, "0.20.1", 32768))
    assert later.tokens(blocks, 32768) == int(1487 / 45 * 32768)


def test_two_ranks_of_0_23_logged_what_fits_at_once(coder: Model) -> None:
    """vllm#49064, this shape on two 20 GiB cards, 0.23.1, 122,633 tokens: 161 blocks, 3.86 GiB, 123,399 tokens."""
    held = cache(coder, settings(coder, "0.23.1", 122633, size=2))
    assert held.tokens(161, 122633) == 123399
    assert 161 * held.block_bytes(0, 64) / (1 << 30) == pytest.approx(3.86, abs=0.01)


def test_a_request_of_a_hybrid_holds_a_second_state_since_prefixes_are_kept(coder: Model) -> None:
    before, after = (cache(coder, settings(coder, version, 7840)).blocks(7840) for version in ("0.25.1", "0.26.0"))
    assert (before, after) == (10 + 3, 10 + 3 * 2)


def test_layers_of_one_kind_are_logged_alike_by_every_release(tmp_path: Path) -> None:
    model = read_safetensors(write(tmp_path / "m", *dense(4)))
    counted = {cache(model, settings(model, version, 1024)).tokens(640, 1024) for version in ("0.17.0", "0.19.1", NEWEST.label)}
    assert counted == {640 * 16}

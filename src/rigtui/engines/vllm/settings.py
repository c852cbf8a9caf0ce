"""How one vLLM instance is set up, as far as memory depends on it. Pure values.

Defaults are those of `vllm serve` on cards below 70 GiB (vLLM 0.33, engine/arg_utils.py:2997); `batch_defaults` knows larger ones.
"""

from __future__ import annotations

from msgspec import Struct

from rigtui.engines.vllm.releases import NEWEST, Release
from rigtui.text import GIB

LARGE_CARD = 70 * GIB
LARGEST_CARD = 160 * GIB
DEFAULT_SEQUENCES = 256
DEFAULT_BATCHED_TOKENS = 2048
LARGEST_GRAPH = 512
"""Tokens in the largest batch a graph is captured for, unless fewer sequences make it smaller."""
BLOCK_TOKENS = 16
"""Tokens in a cache block on a GPU."""
CPU_BLOCK_TOKENS = 128
DTYPE_BYTES = {"bf16": 2, "f16": 2, "f32": 4, "fp8": 1}


class Settings(Struct, frozen=True, kw_only=True):
    """One instance."""

    tensor_parallel: int = 1
    stages: int = 1
    context: int
    """`--max-model-len`: tokens of one request."""
    sequences: int = DEFAULT_SEQUENCES
    """`--max-num-seqs`: requests in one batch."""
    batched_tokens: int = DEFAULT_BATCHED_TOKENS
    eager: bool = False
    dtype: str = "bf16"
    kv_type: str = "bf16"
    block_tokens: int = BLOCK_TOKENS
    prefix_caching: bool = True
    release: Release = NEWEST

    @property
    def workers(self) -> int:
        """Processes with a card each."""
        return self.tensor_parallel * self.stages

    @property
    def tokens_in_flight(self) -> int:
        """Tokens that are scheduled and not settled: a batch per stage and one more (vLLM 0.33, config/vllm.py:588)."""
        return (self.stages + 1) * self.batched_tokens

    @property
    def graph_sizes(self) -> int:
        """How many batch sizes are captured: 1, 2, 4, then every 8th up to 256 and every 16th above (vLLM 0.33, config/vllm.py)."""
        largest = min(2 * self.sequences, LARGEST_GRAPH)
        return len([size for size in (1, 2, 4) if size <= largest]) + min(largest, 256) // 8 + max(largest - 256, 0) // 16


def batch_defaults(name: str, total_bytes: int | None) -> tuple[int, int]:
    """`--max-num-batched-tokens` and `--max-num-seqs` where they are not given, which the first card decides by its size.

    Source: vLLM 0.32, engine/arg_utils.py:2923; up to 0.27 the largest cards had what the large ones have.
    """
    total = total_bytes or 0
    if total >= LARGEST_CARD:
        return 16384, 1024
    if total >= LARGE_CARD and "a100" not in name.lower():
        return 8192, 1024
    return DEFAULT_BATCHED_TOKENS, DEFAULT_SEQUENCES

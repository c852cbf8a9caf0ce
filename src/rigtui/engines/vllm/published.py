"""Speeds and cache sizes that others measured with vLLM and published, kept to hold predictions against. None were measured by rigtui.

The version of the fleet's figures is not published. All its cache sizes are whole blocks of 784 tokens, as vLLM logged them up to 0.20.0
(`releases.Release.logs_whole_requests`): 8,624 are 44 to 47 blocks of one card, 3,136 are 16 to 19, 21,168 are 108 to 111 of a stage.
"""

from __future__ import annotations

from msgspec import Struct

_FLEET = "operator's notes on a mixed fleet: a dense 27B coding model, AWQ-INT4, about 17 GB on disk, 220 tokens out"
_GUIDE = "a vLLM multi-GPU guide: two cards without NVLink, one user"


class Published(Struct, frozen=True, kw_only=True):
    """One measurement."""

    cards: tuple[str, ...]
    stages: int
    tensor_parallel: int = 1
    eager: bool
    decode_tok_s: float
    kv_tokens: int | None = None
    source: str


MEASURED = (
    Published(cards=("RTX 4090",), stages=1, eager=False, decode_tok_s=44.7, kv_tokens=3136, source=_FLEET),
    Published(cards=("RTX 4090",), stages=1, eager=True, decode_tok_s=20.0, kv_tokens=8624, source=_FLEET),
    Published(cards=("RTX 3060",) * 4, stages=4, eager=True, decode_tok_s=14.0, kv_tokens=21168, source=_FLEET),
    Published(cards=("RTX 3060",) * 8, stages=8, eager=False, decode_tok_s=17.0, source=_FLEET),
)
TENSOR_PARALLEL_2 = (1.4, 1.6, _GUIDE)
"""Speed of two 3090 over one: from, to, source."""

"""The KV cache in vLLM's own blocks: what one block takes on a worker, how many blocks a request needs. Pure.

All layers draw from one pool of blocks. Layers of one kind (full attention, sliding window, state) are dealt out to groups of equal size,
and every group has a block table of its own, so that a block is as large as the largest group on a worker.
Source: vLLM 0.32, v1/core/kv_cache_utils.py (`_get_kv_cache_groups_uniform_page_size`, `get_kv_cache_configs`), v1/kv_cache_interface.py
(`max_memory_usage_bytes`), platforms/interface.py:1084 (blocks of hybrid models).
"""

from __future__ import annotations

from itertools import accumulate
from typing import Literal

from msgspec import Struct

from rigtui.engines.vllm.settings import DTYPE_BYTES, Settings
from rigtui.models.model import Model

Kind = Literal["full", "sliding", "state"]
NULL_BLOCKS = 1
"""Held back by the pool for good."""
STATES_WITH_PREFIXES = 2
"""State blocks a request holds while prefixes are cached (`mamba_cache_mode` "align"); one without."""
UNEVEN = 1.5
"""Up to this ratio of layer counts the larger kind sets the size of the groups."""


class Group(Struct, frozen=True, kw_only=True):
    """The layers of one kind, as they share block tables."""

    kind: Kind
    upto: tuple[int, ...]
    """How many of them stand before each layer of the model, and in all."""
    tables: int
    """Groups these layers are dealt out to."""
    page_bytes: int
    """Of one layer in one block."""
    block_tokens: int
    """Tokens in a block; for a state: none are counted."""


class Cache(Struct, frozen=True, kw_only=True):
    """A model's cache under some settings."""

    groups: tuple[Group, ...]
    per_token_upto: tuple[int, ...]
    """Bytes per token in all layers before each one, and in all; a layer that keeps nothing, or only a state, adds none."""
    sliding_window: int
    in_flight: int
    states: int
    """State blocks a request holds in every group of them."""
    whole_requests: bool = True
    """Whether vLLM logs the size of its cache by the requests that fit (`Release.logs_whole_requests`)."""

    def block_bytes(self, first: int, count: int) -> int:
        """Bytes of one block on the worker with layers `first` … `first + count - 1`; 0 where none of them keeps anything."""
        if len(self.groups) == 1 and self.groups[0].kind != "state":
            # Layers of one kind lie side by side, however wide each is.
            return self.groups[0].block_tokens * self.per_token(first, count)
        return max((group.page_bytes * self._most(group, first, count) for group in self.groups), default=0)

    def per_token(self, first: int, count: int) -> int:
        """Bytes of one token on the worker with these layers."""
        return self.per_token_upto[first + count] - self.per_token_upto[first]

    def _most(self, group: Group, first: int, count: int) -> int:
        held = group.upto[first + count] - group.upto[first]
        # Dealt out in turn: a run of layers is spread over the groups evenly.
        return -(-held // group.tables)

    def blocks(self, context: int) -> int:
        """Blocks of the pool that one request of `context` tokens needs."""
        return sum(group.tables * self._blocks_in(group, context) for group in self.groups)

    def _blocks_in(self, group: Group, context: int) -> int:
        if group.kind == "state":
            return self.states
        if group.kind == "sliding":
            return -(-min(self.sliding_window - 1 + self.in_flight, context) // group.block_tokens) + 1
        return -(-context // group.block_tokens)

    def tokens(self, blocks: int, context: int) -> int:
        """What vLLM logs as "GPU KV cache size"; the requests that fit at once are `requests`, whatever it logs."""
        needed = self.blocks(context)
        if not needed:
            return 0
        if self.whole_requests:
            return int(blocks / needed * context)
        # A state's block is as long as the longest request.
        smallest = min(context if group.kind == "state" else group.block_tokens for group in self.groups)
        return blocks // sum(group.tables for group in self.groups) * smallest

    def longest(self, blocks: int, requests: int, most: int) -> int:
        """The longest context, up to `most` tokens, of which `requests` at once fit `blocks`; 0 where not even one token does."""
        usable = (blocks - NULL_BLOCKS) // max(requests, 1)
        if not self.groups or self.blocks(most) <= usable:
            return most
        low, high = 0, most
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.blocks(middle) <= usable else (low, middle)
        return low

    def requests(self, blocks: int, context: int) -> int:
        """How many requests of `context` tokens fit at once."""
        needed = self.blocks(context)
        return max(blocks - NULL_BLOCKS, 0) // needed if needed else 1 << 20


def cache(model: Model, settings: Settings) -> Cache:
    """The cache of `model`; sizes are those of one rank."""
    per_token = tuple(_per_token(model, settings, layer) for layer in range(model.layers))
    state = _state_bytes(model, settings)
    with_state = [layer for layer in range(model.layers) if _has_state(model, layer)]
    sliding = [layer for layer in range(model.layers) if per_token[layer] and _slides(model, layer)]
    full = [layer for layer in range(model.layers) if per_token[layer] and not _slides(model, layer)]
    kinds: list[tuple[Kind, list[int]]] = [("full", full), ("sliding", sliding), ("state", with_state)]
    found = [(kind, layers) for kind, layers in kinds if layers]
    return Cache(
        groups=_groups(found, per_token, state, settings),
        per_token_upto=tuple(accumulate(per_token, initial=0)),
        sliding_window=model.sliding_window,
        in_flight=settings.tokens_in_flight,
        states=STATES_WITH_PREFIXES if settings.prefix_caching else 1,
        whole_requests=settings.release.logs_whole_requests,
    )


def _groups(found: list[tuple[Kind, list[int]]], per_token: tuple[int, ...], state: int, settings: Settings) -> tuple[Group, ...]:
    if not found:
        return ()
    counts = [len(layers) for _, layers in found]
    size = max(counts) if max(counts) < UNEVEN * min(counts) else min(counts)
    widest = max(per_token)
    block = settings.block_tokens
    if state and widest:
        # Attention blocks are lengthened until one holds a state.
        block *= max(-(-state // (block * widest)), 1)
    page = block * widest if widest else state
    groups = []
    for kind, layers in found:
        own = max(per_token[layer] for layer in layers)
        # All kinds share one page size: narrower layers put more tokens into it.
        tokens = page // own // settings.block_tokens * settings.block_tokens if kind != "state" and own else 0
        groups.append(
            Group(
                kind=kind,
                upto=tuple(accumulate((layer in layers for layer in range(len(per_token))), initial=0)),
                tables=-(-len(layers) // size),
                page_bytes=page,
                block_tokens=max(tokens, settings.block_tokens),
            )
        )
    return tuple(groups)


def _per_token(model: Model, settings: Settings, layer: int) -> int:
    """Bytes of one token in one layer on one rank."""
    heads = model.kv_heads[layer]
    if not heads:
        return 0
    sliding = _slides(model, layer)
    key = (model.key_length_swa or model.key_length) if sliding else model.key_length
    value = (model.value_length_swa or model.value_length) if sliding else model.value_length
    size = DTYPE_BYTES[settings.kv_type]
    if model.mla:
        # One latent row that every rank keeps.
        return key * size
    return max(heads // settings.tensor_parallel, 1) * (key + value) * size


def _state_bytes(model: Model, settings: Settings) -> int:
    """Convolution inputs in the model's own type and the state matrix, of one request in one layer, on one rank."""
    found = model.recurrent
    if found is None:
        return 0
    convolution = max(found.conv_kernel - 1, 0) * (found.inner_size + 2 * found.group_count * found.state_size)
    wide = (model.transformers.state_dtype if model.transformers else "") or settings.dtype
    size = convolution * DTYPE_BYTES[settings.dtype] + found.inner_size * found.state_size * DTYPE_BYTES[wide]
    return -(-size // settings.tensor_parallel)


def _slides(model: Model, layer: int) -> bool:
    return bool(model.sliding_window) and layer < len(model.swa_layers) and model.swa_layers[layer]


def _has_state(model: Model, layer: int) -> bool:
    return model.recurrent is not None and model.recurrent.known and layer < len(model.recurrent.layers) and model.recurrent.layers[layer]

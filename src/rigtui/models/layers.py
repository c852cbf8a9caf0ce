"""Which layers look back only over a window, which keep a recurrent state, and which have a KV cache at all."""

from __future__ import annotations

from rigtui.models import architectures as arch
from rigtui.models.keys import Keys
from rigtui.models.model import Recurrent


def sliding_layers(keys: Keys, architecture: str, layers: int) -> tuple[int, tuple[bool, ...], str | None]:
    """The window in tokens, one flag per layer, and a note where the header and llama.cpp's rules leave it open."""
    rule = arch.SLIDING_WINDOWS.get(architecture)
    listed = keys.flags("attention.sliding_window_pattern")
    window = keys.number("attention.sliding_window", rule.default if rule else 0)
    if rule is None or not window or (rule.layers is not None and rule.layers != layers):
        return 0, (), None
    window = rule.forced or window
    if listed is not None:
        flags = listed[:layers]
    elif rule.period is None and "attention.sliding_window_pattern" not in keys:
        return 0, (), f"the header does not say which layers use the window of {window:,} tokens; all are counted with the full context"
    else:
        period = keys.number("attention.sliding_window_pattern", rule.period or 0)
        full = 0 if rule.dense_first else period - 1
        flags = tuple(period == 0 or il % period != full for il in range(layers))
    return (window, flags, None) if any(flags) else (0, (), None)


def recurrent_layers(keys: Keys, architecture: str, layers: int, kv_heads: tuple[int, ...], heads: tuple[int, ...]) -> Recurrent | None:
    """The recurrent state of the layers that have one, in the terms of the one formula that `Recurrent` documents."""
    where = _where(keys, architecture, layers, kv_heads)
    if where is None or not any(where):
        return None
    conv, inner = keys.number("ssm.conv_kernel", 0), keys.number("ssm.inner_size", 0)
    state, groups = keys.number("ssm.state_size", 0), keys.number("ssm.group_count", 0)
    embedding, known = keys.number("embedding_length"), architecture not in arch.UNKNOWN_STATE
    if architecture in arch.RWKV:  # conv part: shifted tokens; state part: one matrix per head
        conv, inner, state, groups = keys.number("token_shift_count", 2) + 1, embedding, keys.number("wkv.head_size"), 0
    elif "shortconv.l_cache" in keys:  # LFM2: the last inputs of a short convolution and nothing else
        conv, inner, state, groups = keys.number("shortconv.l_cache"), embedding, 0, 0
    elif architecture in arch.KIMI_DELTA:  # three convolutions (Q, K, V) of heads × head size
        size = keys.number("kda.head_dim")
        conv, inner, state, groups = conv or 4, heads[0] * size, size, heads[0]
    elif architecture == "minimax-01":  # linear attention: one matrix per head, no convolution
        size = keys.number("attention.key_length", embedding // max(heads[0], 1))
        conv, inner, state, groups = 1, heads[0] * size, size, 0
    if not inner:
        known = False
    return Recurrent(
        layers=where,
        conv_kernel=conv,
        inner_size=inner,
        state_size=state,
        group_count=groups,
        time_step_rank=keys.number("ssm.time_step_rank", 0),
        known=known,
    )


def _where(keys: Keys, architecture: str, layers: int, kv_heads: tuple[int, ...]) -> tuple[bool, ...] | None:
    if architecture in arch.RECURRENT or architecture in arch.RECURRENT_AND_ATTENTION or architecture == "deepseek4":
        return (True,) * layers
    if architecture in arch.RECURRENT_WITHOUT_KV_HEADS:
        idle = feed_forward_layers(keys, architecture, layers)
        return tuple(count == 0 and not skip for count, skip in zip(kv_heads, idle, strict=True))
    if architecture in arch.FULL_ATTENTION_INTERVAL:
        listed = keys.flags("attention.recurrent_layers")
        if listed is not None:
            return listed[:layers]
        interval = keys.number("full_attention_interval", arch.FULL_ATTENTION_INTERVAL[architecture])
        return tuple(interval > 0 and (il + 1) % interval != 0 for il in range(layers))
    return None


def feed_forward_layers(keys: Keys, architecture: str, layers: int) -> tuple[bool, ...]:
    """Layers that are a feed-forward network alone, without attention or state (Nemotron-H)."""
    if architecture not in arch.FEED_FORWARD_LAYERS:
        return (False,) * layers
    return tuple(width > 0 for width in keys.per_layer("feed_forward_length", 0)[:layers])


def kv_cache_heads(keys: Keys, architecture: str, layers: int, kv_heads: tuple[int, ...], recurrent: Recurrent | None) -> tuple[int, ...]:
    """KV heads per layer as the cache has them: 0 where a layer keeps none or reuses an earlier layer's."""
    if architecture in arch.ENCODERS or architecture in arch.DIFFUSION:
        return (0,) * layers
    first_shared = layers
    if architecture in arch.KV_FROM_START:
        first_shared = arch.KV_FROM_START[architecture]
    elif architecture == "gemma4":
        first_shared = keys.blocks - keys.number("attention.shared_kv_layers", 0)
    idle = feed_forward_layers(keys, architecture, layers)
    state = recurrent.layers if recurrent and architecture not in arch.RECURRENT_AND_ATTENTION else (False,) * layers
    return tuple(0 if il >= first_shared or idle[il] or state[il] else kv_heads[il] for il in range(layers))

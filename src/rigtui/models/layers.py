"""Which layers look back only over a window, which keep a recurrent state, and which have a KV cache at all: llama.cpp's rules."""

from __future__ import annotations

from msgspec import Struct

from rigtui.models import architectures as arch
from rigtui.models.keys import Keys
from rigtui.models.model import Recurrent

_EXTRA_CACHE_NOTE = "its attention keeps an index cache beside K and V whose size is not counted; llama.cpp will use more than planned"


class LayerKinds(Struct, frozen=True, kw_only=True):
    """What every layer keeps; the fields are those of `Model`."""

    sliding_window: int = 0
    swa_layers: tuple[bool, ...] = ()
    recurrent: Recurrent | None = None
    kv_heads: tuple[int, ...]
    notes: tuple[str, ...] = ()


def layer_kinds(keys: Keys, architecture: str) -> LayerKinds:
    """What llama.cpp makes of this header's layers."""
    window, swa_layers, note = _sliding_layers(keys, architecture)
    recurrent = _recurrent_layers(keys, architecture)
    notes = [note] if note else []
    if architecture in arch.EXTRA_CACHE:
        notes.append(_EXTRA_CACHE_NOTE)
    return LayerKinds(
        sliding_window=window,
        swa_layers=swa_layers,
        recurrent=recurrent,
        kv_heads=_kv_cache_heads(keys, architecture, recurrent),
        notes=tuple(notes),
    )


def _sliding_layers(keys: Keys, architecture: str) -> tuple[int, tuple[bool, ...], str | None]:
    """The window in tokens, one flag per layer, and a note where the header and llama.cpp's rules leave it open."""
    layers = keys.layers
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


def _recurrent_layers(keys: Keys, architecture: str) -> Recurrent | None:
    """The recurrent state of the layers that have one, in the terms of the one formula that `Recurrent` documents."""
    where = _where(keys, architecture)
    if where is None or not any(where):
        return None
    conv, inner = keys.number("ssm.conv_kernel", 0), keys.number("ssm.inner_size", 0)
    state, groups = keys.number("ssm.state_size", 0), keys.number("ssm.group_count", 0)
    known = architecture not in arch.UNKNOWN_STATE
    if architecture in arch.RWKV:  # conv part: shifted tokens; state part: one matrix per head
        conv, inner, state, groups = keys.number("token_shift_count", 2) + 1, keys.embedding, keys.number("wkv.head_size"), 0
    elif "shortconv.l_cache" in keys:  # LFM2: the last inputs of a short convolution and nothing else
        conv, inner, state, groups = keys.number("shortconv.l_cache"), keys.embedding, 0, 0
    elif architecture in arch.KIMI_DELTA:  # three convolutions (Q, K, V) of heads × head size
        size = keys.number("kda.head_dim")
        conv, inner, state, groups = conv or 4, keys.heads[0] * size, size, keys.heads[0]
    elif architecture == "minimax-01":  # linear attention: one matrix per head, no convolution
        size = keys.key_length
        conv, inner, state, groups = 1, keys.heads[0] * size, size, 0
    if not inner:
        known = False
    return Recurrent(
        layers=where,
        conv_kernel=max(conv, 1),
        inner_size=inner,
        state_size=state,
        group_count=groups,
        time_step_rank=keys.number("ssm.time_step_rank", 0),
        known=known,
    )


def _where(keys: Keys, architecture: str) -> tuple[bool, ...] | None:
    layers = keys.layers
    if architecture in arch.RECURRENT or architecture in arch.RECURRENT_AND_ATTENTION or architecture == "deepseek4":
        return (True,) * layers
    if architecture in arch.RECURRENT_WITHOUT_KV_HEADS:
        idle = _feed_forward_layers(keys, architecture)
        return tuple(count == 0 and not skip for count, skip in zip(keys.kv_heads, idle, strict=True))
    if architecture in arch.FULL_ATTENTION_INTERVAL:
        listed = keys.flags("attention.recurrent_layers")
        if listed is not None:
            return listed[:layers]
        interval = keys.number("full_attention_interval", arch.FULL_ATTENTION_INTERVAL[architecture])
        return tuple(interval > 0 and (il + 1) % interval != 0 for il in range(layers))
    return None


def _feed_forward_layers(keys: Keys, architecture: str) -> tuple[bool, ...]:
    """Layers that are a feed-forward network alone, without attention or state (Nemotron-H)."""
    if architecture not in arch.FEED_FORWARD_LAYERS:
        return (False,) * keys.layers
    return tuple(width > 0 for width in keys.per_layer("feed_forward_length", 0)[: keys.layers])


def _kv_cache_heads(keys: Keys, architecture: str, recurrent: Recurrent | None) -> tuple[int, ...]:
    """KV heads per layer as the cache has them: 0 where a layer keeps none or reuses an earlier layer's."""
    layers = keys.layers
    if architecture in arch.ENCODERS or architecture in arch.DIFFUSION:
        return (0,) * layers
    first_shared = layers
    if architecture in arch.KV_FROM_START:
        first_shared = arch.KV_FROM_START[architecture]
    elif architecture == "gemma4":
        first_shared = keys.blocks - keys.number("attention.shared_kv_layers", 0)
    idle = _feed_forward_layers(keys, architecture)
    state = recurrent.layers if recurrent and architecture not in arch.RECURRENT_AND_ATTENTION else (False,) * layers
    return tuple(0 if il >= first_shared or idle[il] or state[il] else keys.kv_heads[il] for il in range(layers))

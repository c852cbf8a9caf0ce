"""KV cache and recurrent state per layer, bytes.

Source: llama.cpp 0.5.0-dev, src/llama-kv-cache.cpp, src/llama-kv-cache-iswa.cpp:67, src/llama-memory-recurrent.cpp:28-100.
"""

from __future__ import annotations

from rigtui.engines.llamacpp.settings import Settings, padded
from rigtui.models.memo import per_model
from rigtui.models.model import Model

BLOCKS = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q5_1": (32, 24),
    "q5_0": (32, 22),
    "q4_1": (32, 20),
    "q4_0": (32, 18),
    "iq4_nl": (32, 18),
}
"""Elements and bytes of one block of a cache type."""


def row_bytes(kind: str, elements: int) -> int:
    """Bytes of a cache row with `elements` values."""
    block, size = BLOCKS[kind]
    return -(-elements // block) * size


NEEDS_FLASH_ATTENTION = "quantized V cache requires flash_attn to be enabled"
ONE_CACHE_TYPE = "model does not support different K ({}) and V ({}) cache types"
UNEVEN = "{} cache type {} with block size {} does not divide n_embd_head_{}={}"


def refusal(model: Model, kinds: tuple[str, str], *, flash: bool) -> str | None:
    """In its own words why llama.cpp does not make a cache of these types for this model (llama-context.cpp, llama_init_from_model)."""
    key, value = kinds
    if model.mla and key != value:
        return ONE_CACHE_TYPE.format(key, value)
    if BLOCKS[value][0] > 1 and not flash:
        return NEEDS_FLASH_ATTENTION
    for letter, kind, sizes in (
        ("K", key, (model.key_length, model.key_length_swa)),
        ("V", value, (model.value_length, model.value_length_swa)),
    ):
        block = BLOCKS[kind][0]
        uneven = next((size for size in sizes if size and size % block), None)
        if flash and uneven:
            return UNEVEN.format(letter, kind, block, letter.lower(), uneven)
    return None


def cells(model: Model, settings: Settings, context: int) -> tuple[int, int, int]:
    """Cells of a full layer and of a sliding-window layer, per stream, and the number of streams."""
    per_slot = settings.context_per_slot(context)
    streams = 1 if settings.unified_kv else settings.slots
    window = per_slot
    if model.sliding_window and not settings.swa_full:
        reach = model.sliding_window * (settings.slots if settings.unified_kv else 1) + settings.ubatch
        window = padded(min(per_slot, reach))
    return per_slot, window, streams


def is_sliding(model: Model, layer: int) -> bool:
    """Whether the sliding window applies to this layer."""
    return layer < len(model.swa_layers) and model.swa_layers[layer]


def widths(model: Model, layer: int) -> tuple[int, int]:
    """Elements of one K row and one V row of a layer (V 0 for MLA)."""
    heads = model.kv_heads[layer]
    sliding = is_sliding(model, layer)
    key = (model.key_length_swa or model.key_length) if sliding else model.key_length
    value = (model.value_length_swa or model.value_length) if sliding else model.value_length
    return key * heads, 0 if model.mla else value * heads


@per_model
def _kinds(model: Model) -> dict[tuple[bool, bool, int, int], list[int]]:
    """Layers by what their cache is made of: a state, a sliding window, elements of K and of V."""
    found: dict[tuple[bool, bool, int, int], list[int]] = {}
    for layer in range(model.layers):
        key, value = widths(model, layer)
        found.setdefault((has_state(model, layer), is_sliding(model, layer), key, value), []).append(layer)
    return found


def _sizes(model: Model, settings: Settings, context: int) -> list[tuple[int, list[int]]]:
    """Bytes of one layer, and the layers that have as many."""
    full, window, streams = cells(model, settings, context)
    recurrent = recurrent_bytes(model, settings.slots)
    kind_k, kind_v = settings.kv_type
    return [
        (
            (recurrent if state else 0) + (window if sliding else full) * streams * (row_bytes(kind_k, key) + row_bytes(kind_v, value)),
            layers,
        )
        for (state, sliding, key, value), layers in _kinds(model).items()
    ]


def kv_per_layer(model: Model, settings: Settings, context: int) -> tuple[int, ...]:
    """KV cache and recurrent state of every layer for `context` cells in total over all slots."""
    result = [0] * model.layers
    for size, layers in _sizes(model, settings, context):
        for layer in layers:
            result[layer] = size
    return tuple(result)


def kv_bytes(model: Model, settings: Settings, context: int) -> int:
    """The same of all layers together."""
    return sum(size * len(layers) for size, layers in _sizes(model, settings, context))


def has_state(model: Model, layer: int) -> bool:
    """Whether the layer keeps a recurrent state."""
    return model.recurrent is not None and layer < len(model.recurrent.layers) and model.recurrent.layers[layer]


def recurrent_bytes(model: Model, slots: int) -> int:
    """Recurrent state of one layer: f32, whatever the cache type and the context."""
    state = model.recurrent
    if state is None:
        return 0
    convolution = max(state.conv_kernel - 1, 0) * (state.inner_size + 2 * state.group_count * state.state_size)
    return 4 * slots * (convolution + state.state_size * state.inner_size)

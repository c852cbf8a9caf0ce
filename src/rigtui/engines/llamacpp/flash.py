"""Does the engine compute attention in one piece (flash attention)?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rigtui.engines.llamacpp.graph.attention import flash_on_gpu
from rigtui.engines.llamacpp.graph.drawing import BlockAt
from rigtui.engines.llamacpp.graph.model_graph import Drawn, ModelGraph
from rigtui.engines.llamacpp.graph.parts import Heads
from rigtui.engines.llamacpp.graph.schedule import assign
from rigtui.engines.llamacpp.graph.tensors import Cells
from rigtui.engines.llamacpp.graph.traits import traits_of
from rigtui.engines.llamacpp.kv import BLOCKS, is_sliding
from rigtui.engines.llamacpp.placement import HOST
from rigtui.engines.llamacpp.settings import Settings
from rigtui.models.model import Model

Row = tuple[tuple[int, bool], ...]
"""Neighbouring blocks: of what kind each is, and whether it lies in RAM."""


def flash_in_use(model: Model, settings: Settings) -> bool:
    """Whether attention is computed in one piece: unless a GPU cannot, and then only where it has to be."""
    if not settings.flash_attention or _at_any_rate(settings):
        return settings.flash_attention
    return all(heads.flash for heads in heads_of(model, settings.kv_type))


def heads_of(model: Model, kinds: tuple[str, str]) -> list[Heads]:
    """Attention of every layer."""
    encoder = traits_of(model.architecture).encoder
    found = []
    for layer, query in enumerate(model.heads):
        sliding = is_sliding(model, layer)
        key = (model.key_length_swa or model.key_length) if sliding else model.key_length
        value = (model.value_length_swa or model.value_length) if sliding else model.value_length
        stored = query if encoder else model.kv_heads[layer]
        flash = not stored or flash_on_gpu(key, value, query // stored, kinds)
        cells_ = None if encoder else Cells.WINDOW if sliding else Cells.FULL
        found.append(Heads(query=query, key_value=stored, key=key, value=value, cells=cells_, flash=flash))
    return found


def is_lost(graph: ModelGraph, settings: Settings, home: Sequence[int], kinds: Sequence[int], known: dict[Row, bool]) -> bool:
    """Whether the engine gives it up because another device would compute it than has the layer.

    It asks so of a graph of single tokens (llama.cpp 0.5.0-dev, llama-context.cpp, resolve_fused_ops): states are loaded before the
    attention before them is done, and draw it to where they are. `kinds` has a number for each kind of block; what was found of a row
    of such is kept in `known`.
    """
    if not graph.model.recurrent or _at_any_rate(settings):
        return False
    for blocks in _before_states(graph, settings, home):
        row = tuple((kinds[layer], home[layer] == HOST) for layer in blocks)
        if row not in known:
            known[row] = _drawn_away(graph, settings, blocks, home)
        if known[row]:
            return True
    return False


def _at_any_rate(settings: Settings) -> bool:
    """Whether it is used wherever it has to be computed: on demand, and for a quantised V, which needs it."""
    return settings.flash_always or BLOCKS[settings.kv_type[1]][0] > 1


def _before_states(graph: ModelGraph, settings: Settings, home: Sequence[int]) -> Iterator[range]:
    """Blocks from one with attention to the next with states, where these lie elsewhere: the first on a GPU behind layers in RAM, or all
    on GPUs when caches and states lie in RAM.
    """
    states = graph.model.recurrent.layers if graph.model.recurrent else ()
    if not settings.kv_offload:
        for layer, has in enumerate(states):
            if has and graph.heads[layer].key_value and home[layer] != HOST:
                yield range(layer, layer + 1)  # side by side
            elif has and (before := _attention_before(graph, layer)) is not None and home[before] != HOST:
                yield range(before, layer + 1)
    elif HOST in home:
        first = next((layer for layer, has in enumerate(states) if has and home[layer] != HOST), 0)
        before = _attention_before(graph, first)
        if before is not None and home[before] == HOST:
            yield range(before, first + 1)


def _attention_before(graph: ModelGraph, layer: int) -> int | None:
    """The block with nothing but attention that comes before, with none but feed-forward parts between; None: something else does."""
    states = graph.model.recurrent.layers if graph.model.recurrent else ()
    before = layer - 1
    while before > 0 and not graph.heads[before].key_value and not states[before]:
        before -= 1
    return None if before < 0 or states[before] else before


def _drawn_away(graph: ModelGraph, settings: Settings, blocks: range, home: Sequence[int]) -> bool:
    places = [int(home[layer] == HOST) for layer in blocks]
    drawn = tuple(BlockAt(layer, place, place if settings.kv_offload else 1) for layer, place in zip(blocks, places, strict=True))
    micro = replace(graph.micro, tokens=settings.slots, outputs=settings.slots)
    single = ModelGraph(graph.model, graph.traits, micro, graph.layout, graph.heads)
    joined = single.draw(Drawn(drawn, head=None, host=1, forced=False))
    assign(joined, 1)
    return any(op == "flash" and device != places[0] for op, device in zip(joined.op, joined.device, strict=True))

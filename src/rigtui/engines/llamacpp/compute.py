"""Compute buffers: what a graph of one micro-batch needs on each GPU and in RAM, by drawing the graph and following its tensors.

Drawings are kept per model and settings; a change of context costs only another look at the sizes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from rigtui.engines.llamacpp.flash import flash_in_use, heads_of, is_lost
from rigtui.engines.llamacpp.graph.allocator import Tape
from rigtui.engines.llamacpp.graph.drawing import BlockAt
from rigtui.engines.llamacpp.graph.model_graph import Drawn, ModelGraph
from rigtui.engines.llamacpp.graph.parts import Layout, Micro
from rigtui.engines.llamacpp.graph.schedule import tapes
from rigtui.engines.llamacpp.graph.traits import traits_of
from rigtui.engines.llamacpp.kv import cells, widths
from rigtui.engines.llamacpp.placement import HOST, Placement
from rigtui.engines.llamacpp.scenes import Scene, Scenes
from rigtui.engines.llamacpp.settings import PAD_CONTEXT, Settings
from rigtui.engines.llamacpp.weights import Override
from rigtui.models.architectures import DIFFUSION
from rigtui.models.model import Model

PIPELINE_COPIES = 4
"""GGML_SCHED_MAX_COPIES: copies of the inputs that pipeline parallelism keeps."""
_KEPT_MODELS = 128
_PARTS_OVER_WHOLE = 1.6


def is_measured(model: Model) -> bool:
    """Whether the graph of every block is known, and not an upper estimate."""
    return all(computation(model, Settings(), (), PAD_CONTEXT).graph.drawn)


class Computation:
    """The graphs of one model under settings that differ in nothing but the context."""

    def __init__(
        self, model: Model, settings: Settings, overrides: tuple[Override, ...], tokens: int, *, flash: bool | None = None
    ) -> None:
        """`flash`: whether attention is computed in one piece; None: where a GPU can, and settings want it."""
        self.model = model
        self.settings = settings
        self.overrides = overrides
        traits = traits_of(model.architecture)
        tokens = -(-tokens // settings.slots) * settings.slots
        micro = Micro(
            tokens=tokens,
            slots=settings.slots,
            streams=1 if settings.unified_kv else settings.slots,
            outputs=tokens if settings.embedding or traits.encoder else min(tokens, settings.slots),
            flash=flash_in_use(model, settings) if flash is None else flash,
            transposed=not settings.flash_attention,
            kinds=settings.kv_type,
        )
        heads = heads_of(model, settings.kv_type)
        value = max((widths(model, layer)[1] for layer in range(model.layers)), default=0)
        self.graph = ModelGraph(model, traits, micro, Layout(any(model.swa_layers), model.mla, value, not settings.kv_offload), heads)
        self.scenes = Scenes(self.graph, overrides, cache_in_ram=not settings.kv_offload)
        self.ends_in_ram = not settings.kv_offload and not micro.flash
        """Attention is told to end in RAM, which the measuring of `--fit` forgets."""
        self.drawings: dict[object, list[Tape]] = {}
        self.tokens = tokens
        self.losing: dict[tuple[tuple[int, bool], ...], bool] = {}
        self.plain: Computation | None = None
        """The same without flash attention."""
        self.lowest: dict[tuple[bool, tuple[int, int]], int] = {}
        self.highest: dict[tuple[bool, tuple[int, int]], int] = {}

    def has_flash(self, placement: Placement) -> bool:
        """Whether attention is computed in one piece."""
        return self.graph.micro.flash and not is_lost(self.graph, self.settings, placement.home, self.graph.kinds, self.losing)

    def _loses_flash(self, placement: Placement) -> bool:
        return self.graph.micro.flash and not self.has_flash(placement)

    def buffer(self, placement: Placement, device: int, context: int, *, pipeline: bool, projected: bool = False) -> int:
        """Bytes that `placement` needs on one GPU.

        `projected`: as `--fit` measures it, which forgets where norms were to be computed, and that attention to a cache in RAM was to
        end there: GPUs then compute it on copies of K and V (llama.cpp 0.5.0-dev, ggml-backend.cpp: ggml_backend_sched_reserve_size
        begins with ggml_backend_sched_reset, ggml_backend_sched_reserve ends with it).
        """
        if self._loses_flash(placement):
            return self._without_flash().buffer(placement, device, context, pipeline=pipeline, projected=projected)
        copies = PIPELINE_COPIES if pipeline else 1
        forced = HOST not in placement.home and not projected
        scene = self.scenes.of(placement, device)
        return self._recorded(scene, copies, forced=forced, projected=projected).peak(*self._cells(context))

    def host_buffer(self, placement: Placement, devices: int, context: int, *, pipeline: bool, projected: bool = False) -> int:
        """Bytes in RAM: inputs and their copies, and what is computed there."""
        if self._loses_flash(placement):
            return self._without_flash().host_buffer(placement, devices, context, pipeline=pipeline, projected=projected)
        copies = PIPELINE_COPIES if pipeline else 1
        scenes = [self.scenes.of(placement, 0) if devices else self.scenes.in_ram()]
        if devices and HOST not in placement.home:
            scenes.append(self.scenes.on_one_gpu())
        forced, cells_ = HOST not in placement.home and not projected, self._cells(context)
        return max(self._recorded(scene, copies, forced=forced, projected=projected, host=True).peak(*cells_) for scene in scenes)

    def least(self, context: int, *, pipeline: bool) -> int:
        """Bytes below which no GPU stays that holds whole blocks, and not just the last one: what the cheapest alone has alive at once.

        That last one is computed for the few tokens that give an output only.
        """
        known = pipeline, self._cells(context)
        if known not in self.lowest:
            tapes_ = self._single_blocks(PIPELINE_COPIES if pipeline else 1)
            self.lowest[known] = min((tape.alive(*known[1]) for tape in tapes_), default=0)
        return self.lowest[known]

    def bounds(self, placement: Placement, device: int, context: int, *, pipeline: bool) -> tuple[int, int | None]:
        """Between what `buffer` lies, told without drawing this placement; None: how high is not known."""
        if self._loses_flash(placement):
            return self._without_flash().bounds(placement, device, context, pipeline=pipeline)
        home, moved, count = placement.home, placement.moved, self.model.layers
        if self.overrides or not count:
            return 0, None
        whole = any(where == device and layer not in moved for layer, where in enumerate(home[: count - 1]))
        least = self.least(context, pipeline=pipeline) if whole else 0
        from_ram = not device and (HOST in home or any(where == HOST for _, where in moved.values()))
        if from_ram or not all(self.graph.drawn):
            return least, None
        return least, self._most(context, pipeline=pipeline)

    def _most(self, context: int, *, pipeline: bool) -> int:
        """Bytes above which no GPU goes to which nothing is copied from RAM.

        No part of a model needs much more than all of it does on one GPU, or behind another one: at most a third more in some thousand
        placements of all kinds of model.
        """
        known = pipeline, self._cells(context)
        if known not in self.highest:
            count = self.model.layers
            one, behind = Placement((0,) * (count + 1)), Placement((0,) + (1,) * count)
            whole = [self.buffer(at, device, context, pipeline=pipeline, projected=True) for device, at in enumerate((one, behind))]
            self.highest[known] = int(_PARTS_OVER_WHOLE * max(whole))
        return self.highest[known]

    def _single_blocks(self, copies: int) -> Iterator[Tape]:
        """A block of each kind alone on a GPU, as the model's first one and after another."""
        for layer in self.scenes.one_of_each():
            for device in (0, 1):
                host = device + 1
                blocks = tuple(BlockAt(layer, home, home if self.settings.kv_offload else host) for home in range(host))
                yield self._recorded(Scene(blocks, None, host, device), copies, forced=True, projected=True)

    def _without_flash(self) -> Computation:
        if self.plain is None:
            self.plain = Computation(self.model, self.settings, self.overrides, self.tokens, flash=False)
        return self.plain

    def _cells(self, context: int) -> tuple[int, int]:
        full, window, _ = cells(self.model, self.settings, context)
        return full, window

    # --- drawings ----------------------------------------------------------------------------------------------------------------

    def _recorded(self, scene: Scene, copies: int, *, forced: bool, projected: bool = False, host: bool = False) -> Tape:
        """The tape of the device that a scene is about, or the host's."""
        forced = forced or (scene.gpus == 1 and all(block.home == 0 for block in scene.blocks))  # there is no other place
        forgotten = projected and self.ends_in_ram
        key = (tuple(self.graph.key(block, scene.gpus) for block in scene.blocks), scene.head, scene.gpus, copies, forced, forgotten)
        if key not in self.drawings:
            drawn = Drawn(scene.blocks, head=scene.head, host=scene.gpus, forced=forced, forgotten=forgotten)
            self.drawings[key] = tapes(self.graph.draw(drawn), scene.gpus, copies)
        return self.drawings[key][-1 if host else scene.device]


_computations: OrderedDict[object, Computation] = OrderedDict()


def computation(model: Model, settings: Settings, overrides: tuple[Override, ...], context: int) -> Computation:
    """The graphs for these settings, drawn once and kept for the models looked at last."""
    # With causal attention the batch is bounded by the context before it is padded (llama.cpp 0.5.0-dev, llama-context.cpp).
    causal = not (model.embedding_model or model.architecture in DIFFUSION)
    tokens = min(settings.ubatch, context if causal else settings.context_allocated(context))
    key = (
        id(model),
        settings.slots,
        settings.unified_kv,
        settings.kv_type,
        settings.flash_attention,
        settings.flash_always,
        settings.kv_offload,
        settings.swa_full,
        settings.embedding,
        settings.ubatch,
        overrides,
        tokens,
    )
    if key in _computations:
        _computations.move_to_end(key)
        return _computations[key]
    made = _computations[key] = Computation(model, settings, overrides, tokens)
    while len(_computations) > _KEPT_MODELS:
        _computations.popitem(last=False)
    return made


def alone(model: Model, settings: Settings, context: int, *, pipeline: bool) -> int:
    """Bytes of the compute buffer of a GPU that holds the whole model."""
    placement = Placement((0,) * (model.layers + model.mtp_layers + 1))
    return computation(model, settings, (), context).buffer(placement, 0, context, pipeline=pipeline)

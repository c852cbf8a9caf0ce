"""What the layers of all architectures are made of: norms, feed-forward parts, experts, plain attention.

Source: llama.cpp 0.5.0-dev (0c1e57098), src/llama-graph.cpp (build_norm, build_ffn, build_moe_ffn, build_attn, build_attn_mha) and
src/llama-kv-cache.cpp. The order in which parts are added to the graph is theirs: it decides what is alive together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec import Struct

from rigtui.engines.llamacpp.graph.tensors import F16, F32, I64, Cells, Graph, NotDrawnError, Tensor
from rigtui.engines.llamacpp.graph.traits import Traits
from rigtui.engines.llamacpp.kv import BLOCKS, row_bytes
from rigtui.engines.llamacpp.placement import HOST

Weights = Callable[[str], "Tensor | None"]
"""A tensor of one block by its name, or None where the block has none."""


_MATRIX = 2
"""Dimensions from which on a tensor is one."""


def needed(w: Weights, name: str, dimensions: int = _MATRIX) -> Tensor:
    """The tensor of that name. Raises NotDrawnError."""
    tensor = w(name)
    if tensor is None or len(tensor.ne) < dimensions:
        raise NotDrawnError(name)
    return tensor


@dataclass(frozen=True)
class Micro:
    """The micro-batch and how it is computed."""

    tokens: int
    slots: int
    streams: int
    outputs: int
    flash: bool
    transposed: bool
    """V is stored by elements: as soon as flash attention is asked for it is not, also where it is then given up."""
    kinds: tuple[str, str]
    """Types of K and V."""


class Heads(Struct, frozen=True):
    """Attention of one layer."""

    query: int
    key_value: int
    key: int
    """Width of one head's key."""
    value: int
    cells: Cells | None
    """Which of the two caches; None: there is none, and the micro-batch attends to itself."""
    flash: bool
    """A GPU can compute flash attention with these."""


@dataclass(frozen=True)
class Layout:
    """The cache of a model."""

    two_caches: bool
    """Some layers look back over a window."""
    compressed: bool
    """V is part of K."""
    widest_value: int
    """Elements of the widest row of V."""
    in_ram: bool
    """`--no-kv-offload`: without flash attention what was read from the cache is put together in RAM."""


class Parts:
    """Builds parts of one graph."""

    def __init__(self, graph: Graph, micro: Micro, traits: Traits, layout: Layout) -> None:
        self.g = graph
        self.micro = micro
        self.traits = traits
        self.layout = layout
        self.tokens = micro.tokens
        self.inputs: dict[str, Tensor] = {}

    def input(self, name: str, *ne: int | Cells, item: int = 4) -> Tensor:
        """The input of that name, made once."""
        if name not in self.inputs:
            self.inputs[name] = self.g.input(*ne, item=item, name=name)
        return self.inputs[name]

    def norm(self, x: Tensor, w: Weights, name: str, home: int | None = None, *, layer_norm: bool | None = None) -> Tensor:
        """Norm, then weight and bias; `home` is the device that the norm itself may be forced to."""
        weight, bias = w(f"{name}.weight"), w(f"{name}.bias")
        plain = self.traits.layer_norm if layer_norm is None else layer_norm
        x = self.g.like("norm" if plain else "rms_norm", x)
        if weight or bias:
            x.home = home
        if weight:
            x = self.g.like("mul", x, weight)
        return self.g.like("add", x, bias) if bias else x

    def linear(self, x: Tensor, w: Weights, name: str) -> Tensor:
        """Matrix and bias."""
        bias = w(f"{name}.bias")
        x = self.g.mul_mat(needed(w, f"{name}.weight"), x)
        return self.g.like("add", x, bias) if bias else x

    def feed_forward(self, x: Tensor, w: Weights, suffix: str = "") -> Tensor:
        """Up and gate (side by side, or one tensor for both), activation, down."""
        up = self.linear(x, w, f"ffn_up{suffix}")
        if w(f"ffn_gate{suffix}.weight"):
            gate = self.linear(x, w, f"ffn_gate{suffix}")
            x = self.g.like("glu", gate, up)
        else:
            down = needed(w, f"ffn_down{suffix}.weight")
            fused = up.ne[0] == 2 * down.ne[0]
            x = self.g.op("glu", (down.ne[0], *up.ne[1:]), up) if fused else self.g.like("unary", up)
        return self.linear(x, w, f"ffn_down{suffix}")

    def experts(self, x: Tensor, w: Weights, used: int, logits: Tensor | None = None) -> Tensor:
        """Mixture of experts: router (unless it has given its `logits`), chosen experts, weighted sum."""
        g, tokens = self.g, self.tokens if len(x.ne) < 2 else int(x.ne[1])
        width = int(x.ne[0])
        chosen, weights = self._route(logits or self.linear(x, w, "ffn_gate_inp"), w, used)
        g.expand(weights)
        x = g.reshape(x, width, 1, tokens)
        if self.traits.weighted_input:
            x = g.op("mul", (width, used, tokens), g.op("repeat", (width, used, tokens), x), weights)
        x = self._activate(x, w, chosen)
        x = self._expert_linear(x, w, "ffn_down_exps", chosen)
        if not self.traits.weighted_input:
            x = g.like("mul", x, weights)
        # llama.cpp adds one expert after the other; all but the first sum are in place.
        total = g.op("summed", (width, tokens), x)
        g.expand(total)
        return total

    def _route(self, logits: Tensor, w: Weights, used: int) -> tuple[Tensor, Tensor]:
        g, traits = self.g, self.traits
        count, tokens = int(logits.ne[0]), int(logits.ne[1])
        probs = logits if traits.softmax_of_chosen else g.like("soft_max", logits)
        selection = probs
        if bias := w("exp_probs_b.bias"):
            selection = g.like("add", probs, bias)
        if traits.weighted_input:
            selection = logits
        chosen = g.view("view", g.like("argsort", selection), (used, tokens), packed=False)
        weights = g.rows(g.reshape(probs, 1, count, tokens), chosen, (1, used, tokens))
        flat = (used, tokens)
        if traits.softmax_of_chosen:
            weights = g.reshape(g.like("soft_max", g.reshape(weights, *flat)), 1, used, tokens)
        if traits.normed_weights:
            weights = g.reshape(weights, *flat)
            total = g.like("clamp", g.op("sum_rows", (1, tokens), weights))
            weights = g.reshape(g.like("div", weights, total), 1, used, tokens)
        if traits.scaled_weights:
            weights = g.like("scale", weights)
        return chosen, weights

    def _expert_linear(self, x: Tensor, w: Weights, name: str, chosen: Tensor) -> Tensor:
        bias = w(f"{name}.bias")
        x = self.g.experts(needed(w, f"{name}.weight"), x, chosen)
        return self.g.like("add_id", x, bias, chosen) if bias else x

    def _activate(self, x: Tensor, w: Weights, chosen: Tensor) -> Tensor:
        g = self.g
        if w("ffn_gate_up_exps.weight"):
            both = self._expert_linear(x, w, "ffn_gate_up_exps", chosen)
            half = (int(both.ne[0]) // 2, *both.ne[1:])
            return g.op("glu", half, g.view("view", both, half, packed=False), g.view("view", both, half, packed=False))
        up = self._expert_linear(x, w, "ffn_up_exps", chosen)
        if not w("ffn_gate_exps.weight"):
            return g.like("unary", up)
        gate = self._expert_linear(x, w, "ffn_gate_exps", chosen)
        return g.like("glu", gate, up)

    # --- attention ---------------------------------------------------------------------------------------------------------------

    def projected(self, x: Tensor, w: Weights, heads: Heads) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value by heads."""
        g, n = self.g, self.tokens
        shapes = ((heads.key, heads.query), (heads.key, heads.key_value), (heads.value, heads.key_value))
        if w("attn_qkv.weight"):
            both = self.linear(x, w, "attn_qkv")
            q, k, v = (g.view("view", both, (*shape, n), packed=False) for shape in shapes)
            return q, k, v
        q, k, v = (g.reshape(self.linear(x, w, f"attn_{name}"), *shape, n) for name, shape in zip("qkv", shapes, strict=True))
        return q, k, v

    def rotate(self, x: Tensor, factors: Tensor | None = None) -> Tensor:
        """Rotary position embedding; `factors` stretch it."""
        positions = self.input("positions", self.tokens * self.traits.positions)
        return self.g.like("rope", x, positions, factors) if factors else self.g.like("rope", x, positions)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, heads: Heads, w: Weights, device: int, *, output: bool = True) -> Tensor:
        """Store K and V, attend to the cache, and multiply with the output matrix."""
        g, micro = self.g, self.micro
        assert heads.cells is not None
        if _rotated(micro.kinds[0], heads.key):
            size = 64
            while heads.key % (2 * size) == 0:
                size *= 2
            rot = self.input(f"{heads.cells.name} k rotation", size, size)
            q, k = self.hadamard(q, rot), self.hadamard(k, rot)
        turned = _rotated(micro.kinds[1], heads.value)
        if turned:
            v = self.hadamard(v, self.input(f"{heads.cells.name} v rotation", 64, 64))
        for tensor in (q, k, v) if self.layout.two_caches else (q, v, k):
            g.expand(tensor)
        cache_k = self.cache(heads, micro.kinds[0], heads.key, device)
        cache_v = self.cache(heads, micro.kinds[1], heads.value, device)
        places = f"{heads.cells.name} places"
        g.expand(self.store(cache_k, k, self.input(f"k {places}", self.tokens, item=I64)))
        g.expand(self._store_value(cache_v, v, places))
        x = self.scores(q, cache_k, cache_v, heads, w)
        if turned:
            x = self.hadamard(x, self.input(f"{heads.cells.name} v rotation", 64, 64))
        return self.linear(x, w, "attn_output") if output else x

    def hadamard(self, x: Tensor, rot: Tensor) -> Tensor:
        """Rotate rows in pieces as wide as `rot`."""
        g, size = self.g, int(rot.ne[0])
        count = 1
        for dimension in x.ne:
            count *= int(dimension)
        flat = (size, count // size)
        x_flat = g.reshape(x, *flat) if x.packed else g.op("cont", flat, x)
        return g.reshape(g.mul_mat(rot, x_flat), *x.ne)

    def cache(self, heads: Heads, kind: str, width: int, device: int) -> Tensor:
        """K or V of one layer, on `device`."""
        assert heads.cells is not None
        row = row_bytes(kind, width * heads.key_value) * self.micro.streams
        bytes_ = (0, row, 0) if heads.cells is Cells.FULL else (0, 0, row)
        return self.g.stored(device, (width * heads.key_value, heads.cells, self.micro.streams), bytes_, weight=False)

    def store(self, cache: Tensor, x: Tensor, places: Tensor) -> Tensor:
        """Write the rows of `x` to their places in the cache."""
        return self.g.into("set_rows", cache, self.g.view("view", x, (int(x.ne[0]) * int(x.ne[1]), self.tokens)), places)

    def _store_value(self, cache: Tensor, v: Tensor, places: str) -> Tensor:
        g, width = self.g, int(v.ne[0]) * int(v.ne[1])
        if not self.micro.transposed:
            return self.store(cache, v, self.input(f"v {places}", self.tokens, item=I64))
        # Every element has a place of its own.
        rows = g.reshape(v, width, self.tokens) if v.packed else g.op("cont", (width, self.tokens), v)
        return g.into("set_rows", cache, g.reshape(rows, 1, width * self.tokens), self._element_places(places))

    def _element_places(self, places: str) -> Tensor:
        return self.input(f"v {places}", self.tokens * self.layout.widest_value, item=I64)

    def mask(self, cells: Cells | None) -> Tensor:
        """What each token may see; without a cache the micro-batch itself."""
        item = F16 if self.micro.flash else 4
        if cells is None:
            return self.input("mask", self.tokens, self.tokens, item=item)
        streams = self.micro.streams
        return self.input(f"{cells.name} mask", cells, self.tokens // streams, 1, streams, item=item)

    def scores(self, q: Tensor, k: Tensor, v: Tensor, heads: Heads, w: Weights, *, decompress: Tensor | None = None) -> Tensor:
        """Attention itself: fused, or scores, softmax and product. `decompress` is MLA's matrix for values."""
        g, n = self.g, self.tokens
        streams = self.micro.streams if heads.cells else 1
        each, seen = n // streams, heads.cells or n
        q = g.view("permute", g.view("view", q, (heads.key, heads.query, each, streams)), (heads.key, each, heads.query, streams))
        k = g.view("permute", k, (heads.key, seen, heads.key_value, streams), packed=False)
        v = g.view("permute", v, (heads.value, seen, heads.key_value, streams), packed=False)
        mask, sinks = self.mask(heads.cells), w("attn_sinks.weight")
        more = (sinks,) if sinks else ()
        if self.micro.flash:
            if not heads.cells:
                k, v = g.op("cast", k.ne, k, item=F16), g.op("cast", v.ne, v, item=F16)
            x = g.op("flash", (heads.value, heads.query, each, streams), q, k, v, mask, *more)
            x.bytes = self._with_scratch(x, heads, shared=self.layout.compressed and (k.root or k).device != HOST)
            x.computed_on_gpu = heads.flash
            if decompress:
                x = g.mul_mat(decompress, g.view("permute", x, (heads.value, each, heads.query, streams), packed=False))
                x = g.op("cont", x.ne, g.view("permute", x, x.ne, packed=False))
            x = g.reshape(x, int(x.ne[0]) * heads.query, n)
        else:
            kq = g.op("mul_mat", (seen, each, heads.query, streams), k, q)
            if self.traits.capped_scores:
                kq = g.like("scale", g.like("unary", g.like("scale", kq)))
            kq = g.like("soft_max", kq, mask, *more)
            if decompress or not heads.cells or not self.micro.transposed:
                item = BLOCKS[self.micro.kinds[1]][1] if heads.cells else F32
                v = g.op("cont", (seen, heads.value, heads.key_value, streams), v, item=item)
            x = g.op("mul_mat", (heads.value, each, heads.query, streams), v, kq)
            if decompress:
                x = g.mul_mat(decompress, x)
            x = g.op("cont", (int(x.ne[0]) * heads.query, n), g.view("permute", x, x.ne, packed=False))
            if self.layout.in_ram:
                x.device = HOST
        g.expand(x)
        return x

    def _with_scratch(self, x: Tensor, heads: Heads, *, shared: bool) -> tuple[int, int, int]:
        """f16 copies of K and V beside the result when the cache is of another type (ggml-cuda/fattn.cu:722).

        `shared`: V is a part of K and needs none of its own. Of a cache in RAM both are copied to the GPU first, each by itself, and are
        no part of one another there.
        """
        sizes, streams = list(x.bytes), self.micro.streams
        for kind, width in zip(self.micro.kinds, (heads.key, 0 if shared else heads.value), strict=True):
            if kind != "f16" and heads.cells:
                sizes[heads.cells] += F16 * width * heads.key_value * streams
        return sizes[0], sizes[1], sizes[2]


def _rotated(kind: str, width: int) -> bool:
    return kind not in ("f32", "f16", "bf16") and width % 64 == 0

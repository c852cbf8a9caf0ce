"""One piece of the graph of a model for one micro-batch, a block or an end: llama.cpp 0.5.0-dev (0c1e57098), src/models/*.cpp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from msgspec import Struct

from rigtui.engines.llamacpp.graph.parts import Heads, Layout, Micro, Parts, Weights, needed
from rigtui.engines.llamacpp.graph.pieces import Piece
from rigtui.engines.llamacpp.graph.recurrent import delta_net, mamba, mamba2, short_convolution
from rigtui.engines.llamacpp.graph.tensors import BEFORE, Cells, Graph, Shape, Tensor
from rigtui.engines.llamacpp.graph.traits import Traits
from rigtui.engines.llamacpp.graph.unknown import estimated
from rigtui.engines.llamacpp.placement import HOST
from rigtui.models.model import Model
from rigtui.models.model import Tensor as Stored

Elsewhere = tuple[tuple[str, int], ...]
"""Tensors of a block that lie on another device than the block, by their name in it, and where."""


class BlockAt(Struct, frozen=True):
    """One block of the graph."""

    layer: int
    home: int
    cache: int
    """Device of its cache or state."""
    elsewhere: Elsewhere = ()

    @property
    def devices(self) -> tuple[int, ...]:
        """All that have a part of it, itself first."""
        return self.home, self.cache, *(where for _, where in self.elsewhere)

    def on(self, labels: Mapping[int, int]) -> BlockAt:
        """The same block on devices that are numbered otherwise."""
        elsewhere = tuple([(name, labels[where]) for name, where in self.elsewhere]) if self.elsewhere else ()
        return BlockAt(self.layer, labels[self.home], labels[self.cache], elsewhere)


@dataclass
class Subject:
    """A model as it is computed."""

    model: Model
    traits: Traits
    micro: Micro
    layout: Layout
    heads: Sequence[Heads]
    stored: dict[int | None, dict[str, Stored]]
    """Its tensors by block and their names in it; those of no block under None."""
    drawn: list[bool] = field(init=False)
    """Per block: its graph is known, and no estimate."""

    def __post_init__(self) -> None:
        self.drawn = [True] * self.model.layers


class Drawing:
    """Draws one piece of a graph."""

    def __init__(self, source: Subject, *, forgotten: bool) -> None:
        """`forgotten`: attention to a cache in RAM need not end there."""
        self.source = source
        self.model = source.model
        self.traits = source.traits
        self.micro = source.micro
        self.g = Graph()
        layout = replace(source.layout, in_ram=False) if forgotten else source.layout
        self.parts = Parts(self.g, source.micro, source.traits, layout)
        self.width = self.model.embedding_length
        self.outer: dict[int, Weights] = {}

    def embedded(self, first: int | None) -> Piece:
        """What enters the blocks, of which the first lies on device `first`."""
        x = self._embedded(self._outer(HOST), first)
        return Piece(self.g, x)

    def block(self, block: BlockAt, *, last: bool) -> Piece:
        """One block; `last`: the tokens that give an output are picked in it, where the architecture does not wait."""
        x = self._block(block, Tensor(BEFORE, (self.width, self.micro.tokens)), last=last)
        assert x.root is None
        return Piece(self.g, x)

    def head(self, device: int, given: Shape) -> Piece:
        """What follows the blocks; `given` is the shape of what they give."""
        self._head(Tensor(BEFORE, given), device)
        return Piece(self.g)

    def _weights(self, layer: int | None, home: int, elsewhere: Mapping[str, int]) -> Weights:
        """Tensors of a block; those of none are shared by all pieces."""
        made: dict[str, Tensor | None] = {}
        stored, g = self.source.stored.get(layer, {}), self.g  # no cycle: what is drawn is freed at once, thousands of tensors each time

        def find(name: str) -> Tensor | None:
            if name not in made:
                tensor = stored.get(name) or stored.get(name.removesuffix(".weight"))  # Falcon-H1's `ffn_norm`
                if tensor is None:
                    made[name] = None
                else:
                    made[name] = one = g.stored(elsewhere.get(name, home), tensor.shape, (tensor.bytes, 0, 0), weight=True)
                    one.name = name if layer is None else ""
            return made[name]

        return find

    def _outer(self, device: int) -> Weights:
        """Tensors of no block as they lie on `device`."""
        if device not in self.outer:
            self.outer[device] = self._weights(None, device, {})
        return self.outer[device]

    def _embedded(self, outer: Weights, first: int | None) -> Tensor:
        g, parts = self.g, self.parts
        table = outer("token_embd.weight") or g.stored(HOST, (self.width, self.model.vocabulary), (0, 0, 0), weight=True)
        x = g.rows(table, parts.input("tokens", self.micro.tokens), (self.width, self.micro.tokens))
        g.expand(x)
        g.expand(parts.input("embeddings", self.width, self.micro.tokens))
        if types := outer("token_types.weight"):
            x = g.like("add", x, g.view("view", types, (self.width,)))
        if positions := outer("position_embd.weight"):
            rows = g.rows(positions, parts.input("positions", self.micro.tokens), x.ne)
            x = g.like("add", rows, x) if self.traits.encoder else g.like("add", x, rows)
        if self.traits.scaled_input:
            x = g.like("scale", x)
        if first is not None and self.traits.output_norm != "token_embd_norm" and outer("token_embd_norm.weight"):
            # It lies with the first block.
            x = parts.norm(x, self._outer(first), "token_embd_norm", first)
        return x

    def _block(self, block: BlockAt, x: Tensor, *, last: bool) -> Tensor:
        home = block.home
        w = self._weights(block.layer, block.home, dict(block.elsewhere))
        if not self.source.drawn[block.layer]:
            stored, heads = self.source.stored.get(block.layer, {}), self.source.heads[block.layer]
            x = estimated(self.parts, x, stored, w, self.model, heads, block.cache)
            return self._picked(x) if last else x
        if self.traits.encoder:
            return self._encoder_block(block, x, w, home, last=last)
        return self._decoder_block(block, x, w, home, last=last)

    def _decoder_block(self, block: BlockAt, x: Tensor, w: Weights, home: int, *, last: bool) -> Tensor:
        pick = last and not self.traits.late_outputs
        logits = self.parts.linear(x, w, "ffn_gate_inp") if self.traits.early_router else None
        normed = self.parts.norm(x, w, "attn_norm", home) if w("attn_norm.weight") else x
        if self.traits.gated_attention:
            self.g.expand(normed)
        heads, state = self.source.heads[block.layer], self.model.recurrent
        if not heads.key_value and not (state is not None and state.layers[block.layer]):
            return self._sum(x, self._feed_forward(normed, w), "f")  # a layer of this part alone
        if self.traits.attends_beside_state:
            return self._both(block, x, normed, w, home, pick=pick)
        own = self.parts.norm(x, w, "attn_norm_2", home) if w("attn_norm_2.weight") else normed
        y = self._mixer(block, own, w, home)
        if self.traits.parallel:
            return self._beside(x, normed, y, w, home, pick=pick)
        if pick:
            y, x = self._picked(y), self._picked(x)
            logits = self._picked(logits) if logits else None
        if w("post_attention_norm.weight") and (w("ffn_norm.weight") or not w("attn_norm.weight")):
            y = self.parts.norm(y, w, "post_attention_norm", home)
        if self.traits.scaled_residual:
            y = self.g.like("scale", y)
        x = self._sum(x, y, "a")
        if not (w("ffn_down.weight") or w("ffn_down_exps.weight")):
            return x
        return self._after(x, self._second_norm(x, w, home), w, logits)

    def _both(self, block: BlockAt, x: Tensor, normed: Tensor, w: Weights, home: int, *, pick: bool) -> Tensor:
        """Attention and a state side by side, each with the norm for itself."""
        state = self.model.recurrent
        assert state is not None
        y = self._attended(block, normed, w, home)
        z = mamba2(self.parts, self.parts.norm(x, w, "attn_norm", home), w, state, block.cache, home)
        x = self.g.like("add", self.g.like("add", y, z), x)
        if pick:
            x = self._picked(x)
        return self._after(x, self._second_norm(x, w, home), w, None)

    def _second_norm(self, x: Tensor, w: Weights, home: int) -> Tensor:
        if w("ffn_norm.weight"):
            return self.parts.norm(x, w, "ffn_norm", home)
        if w("post_attention_norm.weight") and w("attn_norm.weight"):
            return self.parts.norm(x, w, "post_attention_norm", home)
        return x

    def _after(self, x: Tensor, normed: Tensor, w: Weights, logits: Tensor | None) -> Tensor:
        y = self._feed_forward(normed, w, logits)
        if w("post_ffw_norm.weight"):
            y = self.parts.norm(y, w, "post_ffw_norm")
        if self.traits.scaled_residual:
            y = self.g.like("scale", y)
        return self._sum(x, y, "f")

    def _sum(self, x: Tensor, y: Tensor, after: str) -> Tensor:
        return self.g.like("add", x, y) if after in self.traits.residual_first else self.g.like("add", y, x)

    def _feed_forward(self, x: Tensor, w: Weights, logits: Tensor | None = None) -> Tensor:
        g, parts, experts = self.g, self.parts, self.model.experts
        if experts is None or not w("ffn_gate_inp.weight"):
            return parts.feed_forward(x, w)
        y = parts.experts(x, w, experts.used, logits)
        if w("ffn_up_shexp.weight"):
            shared = parts.feed_forward(x, w, "_shexp")
            if gate := w("ffn_gate_inp_shexp.weight"):
                weight = g.stored(gate.device or 0, (self.width, 1), gate.bytes, weight=True)
                shared = g.like("mul", shared, g.like("unary", g.mul_mat(weight, x)))
            y = g.like("add", y, shared)
        return y

    def _beside(self, x: Tensor, normed: Tensor, y: Tensor, w: Weights, home: int, *, pick: bool) -> Tensor:
        """Feed-forward beside attention."""
        g = self.g
        if pick:
            y, x = self._picked(y), self._picked(x)
        if w("ffn_norm.weight"):
            normed = self.parts.norm(x, w, "ffn_norm", home)
        elif pick:
            normed = self._picked(normed)
        z = self.parts.feed_forward(normed, w)
        first, second, third = ({"x": x, "y": y, "z": z}[name] for name in self.traits.parallel)
        return g.like("add", g.like("add", first, second), third)

    def _picked(self, x: Tensor) -> Tensor:
        outputs = self.micro.outputs
        return self.g.rows(x, self.parts.input("outputs", outputs), (x.ne[0], outputs))

    def _mixer(self, block: BlockAt, x: Tensor, w: Weights, home: int) -> Tensor:
        """Attention, or what a layer has in its place."""
        heads, state = self.source.heads[block.layer], self.model.recurrent
        if state is not None and state.layers[block.layer]:
            if w("shortconv.in_proj.weight"):
                return short_convolution(self.parts, x, w, state, block.cache)
            if self.traits.gated_attention:
                return delta_net(self.parts, x, w, state, block.cache, home)
            scan = mamba if w("ssm_x.weight") else mamba2
            return scan(self.parts, x, w, state, block.cache, home)
        if self.model.mla:
            return self._latent(x, w, heads, block.cache, home)
        if self.traits.gated_attention:
            return self._gated(x, w, block, home)
        return self._attended(block, x, w, home)

    def _attended(self, block: BlockAt, x: Tensor, w: Weights, home: int) -> Tensor:
        heads = self.source.heads[block.layer]
        q, k, v = self.parts.projected(x, w, heads)
        return self.parts.attend(self._ready(q, "q", w, block, home), self._ready(k, "k", w, block, home), v, heads, w, block.cache)

    def _ready(self, x: Tensor, name: str, w: Weights, block: BlockAt, home: int) -> Tensor:
        """Query or key, normed and rotated."""
        g, tokens, heads = self.g, self.micro.tokens, self.source.heads[block.layer]
        if norm := w(f"attn_{name}_norm.weight"):
            whole = int(norm.ne[0]) != heads.key and len(norm.ne) == 1
            shape = x.ne
            if whole:
                x = x.sources[0] if x.op == "reshape" else g.reshape(x, int(norm.ne[0]), tokens)
            x = self.parts.norm(x, w, f"attn_{name}_norm", home)
            if whole:
                x = g.reshape(x, *shape)
        if self.traits.rotates and self.model.rotates and (heads.cells is Cells.WINDOW or not self.traits.rotates_window_only):
            outer = self._outer(block.home)
            x = self.parts.rotate(x, outer("rope_freqs.weight") or outer("rope_factors_long.weight"))
            if self.traits.unit_heads:
                x = g.like("rms_norm", x)
        elif self.traits.unit_heads and name == "q":
            x = g.like("mul", x, self.parts.input("scales", 1, 1, tokens))
        return g.like("scale", x) if name == "q" and self.traits.scaled_query else x

    def _gated(self, x: Tensor, w: Weights, block: BlockAt, home: int) -> Tensor:
        """Attention whose query carries a gate of the same width."""
        g, parts, n, heads = self.g, self.parts, self.micro.tokens, self.source.heads[block.layer]
        both = parts.linear(x, w, "attn_q")
        k = g.reshape(parts.linear(x, w, "attn_k"), heads.key, heads.key_value, n)
        v = g.reshape(parts.linear(x, w, "attn_v"), heads.value, heads.key_value, n)
        q = g.view("view", both, (heads.key, heads.query, n), packed=False)
        gate = g.op("cont", (heads.key * heads.query, n), g.view("view", both, (heads.key, heads.query, n), packed=False))
        y = parts.attend(self._ready(q, "q", w, block, home), self._ready(k, "k", w, block, home), v, heads, w, block.cache, output=False)
        return parts.linear(g.like("mul", y, g.like("unary", gate)), w, "attn_output")

    def _latent(self, x: Tensor, w: Weights, heads: Heads, device: int, home: int) -> Tensor:
        """Multi-head latent attention: the compressed row is key and value for all heads."""
        g, parts, n = self.g, self.parts, self.micro.tokens
        rank, rope = heads.value, heads.key - heads.value
        if w("attn_q_a.weight"):
            q = parts.norm(parts.linear(x, w, "attn_q_a"), w, "attn_q_a_norm", home)
            q = parts.linear(q, w, "attn_q_b")
        else:
            q = parts.linear(x, w, "attn_q")
        plain = int(q.ne[0]) // heads.query - rope
        q = g.reshape(q, plain + rope, heads.query, n)
        row = parts.linear(x, w, "attn_kv_a_mqa")
        compressed = g.view("view", row, (rank, n), packed=False)
        k_rope = parts.rotate(g.view("view", row, (rope, 1, n), packed=False))
        compressed = parts.norm(compressed, w, "attn_kv_a_norm", home)
        q_plain = g.view("permute", g.view("view", q, (plain, heads.query, n), packed=False), (plain, n, heads.query), packed=False)
        q_rope = parts.rotate(g.view("view", q, (rope, heads.query, n), packed=False))
        k_b, v_b = needed(w, "attn_k_b.weight"), needed(w, "attn_v_b.weight")
        absorbed = g.view("permute", g.mul_mat(k_b, q_plain), (rank, heads.query, n), packed=False)
        query = g.op("concat", (heads.key, heads.query, n), absorbed, q_rope)
        value = g.reshape(compressed, rank, 1, n)
        key = g.op("concat", (heads.key, 1, n), value, k_rope)
        for tensor in (query, value, key):
            g.expand(tensor)
        assert heads.cells is not None
        cache = parts.cache(heads, self.micro.kinds[0], heads.key, device)
        places = parts.input(f"k {heads.cells.name} places", n, item=8)
        g.expand(parts.store(cache, key, places))
        y = parts.scores(query, cache, cache, heads, w, decompress=v_b)
        return parts.linear(y, w, "attn_output")

    def _encoder_block(self, block: BlockAt, x: Tensor, w: Weights, home: int, *, last: bool) -> Tensor:
        """Attention within the micro-batch, norms after each part."""
        g, parts, heads = self.g, self.parts, self.source.heads[block.layer]
        q, k, v = parts.projected(x, w, heads)
        if self.traits.rotates:
            q, k = parts.rotate(q), parts.rotate(k)
        for tensor in (q, k, v):
            g.expand(tensor)
        y = parts.linear(parts.scores(q, k, v, heads, w), w, "attn_output")
        if last:
            y, x = self._picked(y), self._picked(x)
        y = parts.norm(g.like("add", y, x), w, "attn_output_norm", home)
        z = parts.feed_forward(y, w)
        return parts.norm(g.like("add", z, y), w, "layer_output_norm", home)

    def _head(self, x: Tensor, device: int) -> None:
        g, parts = self.g, self.parts
        if self.traits.encoder:
            x.output = True
            g.expand(x)
            return
        late = self.traits.late_outputs
        if late == "before norm":
            x.output = True
            x = self._picked(x)
        w = self._outer(device)
        x = parts.norm(x, w, self.traits.output_norm)
        x.output = True
        if late == "after norm":
            x = self._picked(x)
            x.output = True
        tables = [table for table in (w("output.weight"), w("token_embd.weight")) if table and len(table.ne) > 1]
        table = tables[0] if tables else g.stored(device, (self.width, self.model.vocabulary), (0, 0, 0), weight=True)
        x = g.mul_mat(table, x)
        x.output = True
        g.expand(x)

"""Layers that keep a state instead of a cache: Mamba, Mamba-2, gated delta-net, short convolution.

Source: llama.cpp 0.5.0-dev (0c1e57098), src/models/mamba-base.cpp, delta-net-base.cpp, qwen3next.cpp, qwen35.cpp, lfm2.cpp and
build_rs in src/llama-graph.cpp.
"""

from __future__ import annotations

from rigtui.engines.llamacpp.graph.parts import Parts, Weights, needed
from rigtui.engines.llamacpp.graph.tensors import Tensor
from rigtui.models.model import Recurrent

_SCAN_STATE = 16
"""State size for which ggml-cuda scans Mamba."""
_SCAN_STATES = (96, 128, 256)
"""State sizes for which ggml-cuda scans Mamba-2."""
_CONVOLUTION_STEP = 128
"""Channels that ggml-cuda's convolution works on together."""


class States:
    """The recurrent state of one layer."""

    def __init__(self, parts: Parts, state: Recurrent, device: int) -> None:
        self.parts = parts
        self.state = state
        self.slots = parts.micro.slots
        self.each = parts.tokens // self.slots
        """Tokens of one slot."""
        self.channels = state.inner_size + 2 * state.group_count * state.state_size
        self.kept = max(state.conv_kernel - 1, 0)
        self.convolved = self._stored(device, self.kept * self.channels)
        self.summed = self._stored(device, state.state_size * state.inner_size)

    def _stored(self, device: int, width: int) -> Tensor:
        return self.parts.g.stored(device, (width, self.slots), (4 * width * self.slots, 0, 0), weight=False)

    def load(self, stored: Tensor) -> Tensor:
        """The states of the slots of this micro-batch."""
        kept = self._cleared(stored)
        rows = self.parts.g.rows(kept, self.parts.input("slots", self.slots), stored.ne)
        return self._with_others(stored, kept, rows)

    def _cleared(self, stored: Tensor) -> Tensor:
        """All states, after one of none is set to zero."""
        g = self.parts.g
        kept = g.reshape(stored, *stored.ne)
        g.expand(g.into("clear", g.view("view", kept, (0,))))
        return kept

    def _with_others(self, stored: Tensor, kept: Tensor, result: Tensor) -> Tensor:
        """`result`, and then the states of slots that have no tokens moved to their new places: none, for which all are copied to where it
        is computed all the same.
        """
        g = self.parts.g
        g.expand(result)
        others = g.rows(kept, self.parts.input("slots of others", 0), (stored.ne[0], 0))
        g.expand(g.into("cpy", g.view("view", stored, others.ne), others))
        return result

    def store(self, stored: Tensor, part: Tensor) -> None:
        """Write the new states back: `part` is a view of what was computed."""
        g = self.parts.g
        g.expand(g.into("cpy", g.view("view", stored, stored.ne), part))

    def convolution_input(self, x: Tensor) -> Tensor:
        """The last tokens of before, then those of now, by channel; the last ones are kept."""
        g = self.parts.g
        before = g.reshape(self.load(self.convolved), self.kept, self.channels, self.slots)
        turned = g.view("permute", x, (self.each, self.channels, self.slots), packed=False)
        joined = g.op("concat", (self.kept + self.each, self.channels, self.slots), before, turned)
        self.store(self.convolved, g.view("view", joined, (self.kept, self.channels, self.slots), packed=False))
        return joined

    def convolve(self, joined: Tensor, kernel: Tensor) -> Tensor:
        """The convolution over time."""
        result = self.parts.g.op("ssm_conv", (self.channels, self.each, self.slots), joined, kernel)
        result.computed_on_gpu = self.channels % _CONVOLUTION_STEP == 0
        return result

    def scanned(self, x: Tensor, *more: Tensor, heads: int) -> Tensor:
        """Mamba's scan by heads: outputs, and the new states after them."""
        g, state = self.parts.g, self.state
        kept = self._cleared(self.summed)
        width = state.inner_size * self.parts.tokens + state.inner_size * state.state_size * self.slots
        ids = self.parts.input("slots", self.slots)
        result = g.op("ssm_scan", (width,), g.reshape(kept, *kept.ne), x, *more, ids)
        if heads == state.inner_size:
            result.computed_on_gpu = state.state_size == _SCAN_STATE and heads % _CONVOLUTION_STEP == 0
        else:
            result.computed_on_gpu = state.state_size in _SCAN_STATES and state.inner_size // heads % 16 == 0
        return self._with_others(self.summed, kept, result)


def mamba(parts: Parts, x: Tensor, w: Weights, state: Recurrent, device: int, home: int) -> Tensor:
    """Mamba: a head per channel; step, B and C are projected from the convolved input."""
    g, states = parts.g, States(parts, state, device)
    inner, size, rank, each, slots = state.inner_size, state.state_size, state.time_step_rank, states.each, states.slots
    before = g.reshape(states.load(states.convolved), states.kept, inner, slots)
    both = parts.linear(g.reshape(x, int(x.ne[0]), each, slots), w, "ssm_in")
    value, z = (g.view("view", both, (inner, each, slots), packed=False) for _ in range(2))
    turned = g.view("permute", value, (each, inner, slots), packed=False)
    joined = g.op("concat", (states.kept + each, inner, slots), before, turned)
    states.store(states.convolved, g.view("view", joined, (states.kept, inner, slots), packed=False))
    mixed = states.convolve(joined, needed(w, "ssm_conv1d.weight"))
    if bias := w("ssm_conv1d.bias"):
        mixed = g.like("add", mixed, bias)
    mixed = g.like("unary", mixed)
    found = parts.linear(mixed, w, "ssm_x")
    step = g.view("view", found, (rank, each, slots), packed=False)
    b, c = (g.view("view", found, (size, 1, each, slots), packed=False) for _ in range(2))
    if w("ssm_dt_norm.weight"):
        step, b, c = (parts.norm(one, w, f"ssm_{name}_norm", home) for one, name in ((step, "dt"), (b, "b"), (c, "c")))
    else:
        step = g.op("cont", step.ne, step)
    step = parts.linear(step, w, "ssm_dt")
    decay, skip = needed(w, "ssm_a"), needed(w, "ssm_d", 1)
    scanned = states.scanned(g.reshape(mixed, 1, inner, each, slots), step, decay, b, c, heads=inner)
    states.store(states.summed, g.view("view", scanned, (size * inner, slots)))
    y = g.view("view", scanned, (inner, each, slots))
    y = g.like("add", y, g.like("mul", mixed, skip))
    y = parts.linear(g.like("glu", g.op("cont", z.ne, z), y), w, "ssm_out")
    return g.reshape(y, int(y.ne[0]), parts.tokens)


def mamba2(parts: Parts, x: Tensor, w: Weights, state: Recurrent, device: int, home: int) -> Tensor:
    """Mamba-2."""
    g, states = parts.g, States(parts, state, device)
    inner, heads, each, slots = state.inner_size, state.time_step_rank, states.each, states.slots
    before = states.load(states.convolved)
    both = parts.linear(x, w, "ssm_in")
    both = g.reshape(both, int(both.ne[0]), each, slots)
    head = inner // heads
    z = g.view("view", both, (head, heads, each, slots), packed=False)
    mixed = g.view("view", both, (states.channels, each, slots), packed=False)
    dt = g.view("view", both, (heads, each, slots), packed=False)
    turned = g.view("permute", mixed, (each, states.channels, slots), packed=False)
    joined = g.op(
        "concat",
        (states.kept + each, states.channels, slots),
        g.reshape(before, states.kept, states.channels, slots),
        turned,
    )
    states.store(states.convolved, g.view("view", joined, (states.kept, states.channels, slots), packed=False))
    mixed = states.convolve(joined, needed(w, "ssm_conv1d.weight"))
    if bias := w("ssm_conv1d.bias"):
        mixed = g.like("add", mixed, bias)
    mixed = g.like("unary", mixed)
    value = g.view("view", mixed, (head, heads, each, slots), packed=False)
    b = g.view("view", mixed, (state.state_size, state.group_count, each, slots), packed=False)
    c = g.view("view", mixed, (state.state_size, state.group_count, each, slots), packed=False)
    step, decay, skip = (needed(w, name, 1) for name in ("ssm_dt.bias", "ssm_a", "ssm_d"))
    dt = g.like("add", g.op("cont", dt.ne, dt), step)
    scanned = states.scanned(value, dt, decay, b, c, heads=heads)
    states.store(states.summed, g.view("view", scanned, (state.state_size * inner, slots, 1)))
    y = g.view("view", scanned, (head, heads, each, slots))
    y = g.like("add", y, g.like("mul", value, skip))
    y = g.like("glu", g.op("cont", z.ne, z), y)
    if w("ssm_norm.weight"):
        y = parts.norm(g.reshape(y, inner // state.group_count, state.group_count, each, slots), w, "ssm_norm", home, layer_norm=False)
    return parts.linear(g.reshape(y, inner, parts.tokens), w, "ssm_out")


def delta_net(parts: Parts, x: Tensor, w: Weights, state: Recurrent, device: int, home: int) -> Tensor:
    """Gated delta-net (Qwen3-Next, Qwen3.5)."""
    g, states = parts.g, States(parts, state, device)
    each, slots, keys, values = states.each, states.slots, state.group_count, state.time_step_rank
    size, width = state.state_size, state.inner_size // state.time_step_rank
    mixed, z = _mixed(parts, x, w, states, keys, values, size, width)
    beta, gate = _gates(parts, x, w, states, keys, values)
    joined = states.convolution_input(mixed)
    summed = g.reshape(states.load(states.summed), width, width, values, slots)
    convolved = g.like("unary", states.convolve(joined, needed(w, "ssm_conv1d.weight")))
    q = _unit(parts, g.view("view", convolved, (size, keys, each, slots), packed=False))
    k = _unit(parts, g.view("view", convolved, (size, keys, each, slots), packed=False))
    v = g.view("view", convolved, (width, values, each, slots), packed=False)
    if w("ssm_ba.weight") and keys != values:
        q, k = (_repeated(parts, one, values // keys) for one in (q, k))
    computed = g.op("delta_net", (width * values, each * slots + width * slots), q, k, v, gate, beta, summed)
    out = g.view("view", computed, (width, values, each, slots))
    states.store(states.summed, g.view("view", computed, (width, width, values, slots)))
    normed = parts.norm(out, w, "ssm_norm", home, layer_norm=False)
    activated = g.like("unary", g.reshape(z, width, values, each, slots))
    y = g.like("mul", normed, activated)
    y = parts.linear(g.reshape(y, width * values, each, slots), w, "ssm_out")
    return g.reshape(y, int(y.ne[0]), parts.tokens)


def _mixed(parts: Parts, x: Tensor, w: Weights, states: States, keys: int, values: int, size: int, width: int) -> tuple[Tensor, Tensor]:
    """What is convolved (query, key, value), and the gate of the output."""
    g, each, slots = parts.g, states.each, states.slots
    if w("attn_qkv.weight"):
        mixed = parts.linear(x, w, "attn_qkv")
        return g.reshape(mixed, states.channels, each, slots), parts.linear(x, w, "attn_gate")
    both = parts.linear(x, w, "ssm_in")
    both = g.reshape(both, int(both.ne[0]) // keys, keys, each, slots)
    group = values // keys * width
    z = g.op("cont", (group, keys, each, slots), g.view("view", both, (group, keys, each, slots), packed=False))
    pieces = [
        g.op("cont", (wide * keys, each, slots), g.view("view", both, (wide, keys, each, slots), packed=False))
        for wide in (size, size, group)
    ]
    first = g.op("concat", (2 * size * keys, each, slots), pieces[0], pieces[1])
    return g.op("concat", (states.channels, each, slots), first, pieces[2]), z


def _gates(parts: Parts, x: Tensor, w: Weights, states: States, keys: int, values: int) -> tuple[Tensor, Tensor]:
    g, each, slots = parts.g, states.each, states.slots
    flat, by_head = (values, each, slots), (1, values, each, slots)
    if w("ssm_ba.weight"):
        both = parts.linear(x, w, "ssm_ba")
        shape = (values // keys, keys, each, slots)
        both = g.reshape(both, 2 * values // keys, keys, each, slots)
        beta = g.like("unary", g.op("cont", shape, g.view("view", both, shape, packed=False)))
        alpha = g.op("cont", flat, g.view("view", both, shape, packed=False))
        beta = g.reshape(beta, *by_head)
    else:
        beta = g.like("unary", g.reshape(parts.linear(x, w, "ssm_beta"), *by_head))
        alpha = g.reshape(parts.linear(x, w, "ssm_alpha"), *flat)
    step, decay = needed(w, "ssm_dt.bias", 1), needed(w, "ssm_a", 1)
    gate = g.like("mul", g.like("unary", g.like("add", alpha, step)), decay)
    return beta, g.reshape(gate, *by_head)


def _unit(parts: Parts, x: Tensor) -> Tensor:
    return parts.g.like("scale", parts.g.like("rms_norm", x))


def _repeated(parts: Parts, x: Tensor, times: int) -> Tensor:
    g = parts.g
    size, heads, each, slots = (int(dimension) for dimension in x.ne)
    shape = (size, times, heads, each * slots)
    return g.reshape(g.op("repeat", shape, g.reshape(x, size, 1, heads, each * slots)), size, heads * times, each, slots)


def short_convolution(parts: Parts, x: Tensor, w: Weights, state: Recurrent, device: int) -> Tensor:
    """LFM2's gated convolution over the last few tokens."""
    g, states = parts.g, States(parts, state, device)
    each, slots, width = states.each, states.slots, state.inner_size
    both = parts.linear(g.reshape(x, width, each, slots), w, "shortconv.in_proj")
    b, c, value = (g.view("view", both, (width, each, slots), packed=False) for _ in range(3))
    gated = g.view("permute", g.like("mul", b, value), (each, width, slots), packed=False)
    before = g.reshape(states.load(states.convolved), states.kept, width, slots)
    joined = g.op("concat", (states.kept + each, width, slots), before, gated)
    states.store(states.convolved, g.view("view", joined, (states.kept, width, slots), packed=False))
    y = g.like("mul", c, states.convolve(joined, needed(w, "shortconv.conv.weight")))
    y = parts.linear(y, w, "shortconv.out_proj")
    return g.reshape(y, width, parts.tokens)

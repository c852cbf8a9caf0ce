"""How fast a model can be made to run on a rig: pairs of both that a seed draws, and what a token costs wherever its layers lie.

A paced rig (virtual_rig.py) takes its time by the bytes that are read and the bandwidth they are read at. All bandwidths of a pair are
scaled down alike, so that a token takes so long that nothing else counts.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from msgspec.structs import replace

from engine.virtual_rig import Card
from rigtui.engines.llamacpp.arguments import read_command
from rigtui.engines.llamacpp.fit import Fitted, fit
from rigtui.engines.llamacpp.placement import HOST, Placement
from rigtui.engines.llamacpp.settings import Device
from rigtui.engines.llamacpp.weights import Override, is_moved, weight_table
from rigtui.intent.intent import Intent, Overrides
from rigtui.intent.use_cases import use_case
from rigtui.models.model import Model
from rigtui.planning.reserve import HEADROOM_DEDICATED, HEADROOM_DISPLAY
from rigtui.rig.cards import names, sold
from rigtui.text import MIB
from tools.make_gguf import model
from tools.specs import NAMES

TOKEN_SECONDS = 0.2
"""What a token would take if the fastest card read all of it."""
LEAST_CARD_MIB = 6144
ROOM = ((0.4, 0.95), (1.05, 1.4), (1.2, 2.0), (2.0, 4.0))
"""Free memory of the rig over the weights: layers in RAM, a close call, room for several ways, and room on one card perhaps."""
ALONE = 2.0
"""From this room on a card may hold the weights alone."""
RAM_GB_S = (45.0, 60.0, 85.0)
"""Two channels of DDR4, and of DDR5."""
KINDS = {
    "dense": (
        "llama-3.1-8b",
        "llama-3.3-70b",
        "qwen3-32b",
        "qwen2.5-7b",
        "qwen3-14b",
        "mistral-small-24b",
        "glm-4-9b",
        "command-r",
        "falcon-7b",
    ),
    "mixture": ("qwen3-30b-a3b", "deepseek-v2-lite", "glm-4.7-flash", "mixtral-8x7b", "glm-4.5-air", "qwen1.5-moe-a2.7b", "olmoe-1b-7b"),
    "sliding": ("gemma-3-27b", "gemma-2-9b", "command-r7b", "smallthinker-21b", "gpt-oss-20b"),
    "hybrid": ("qwen3-next-80b", "granite-4.0-h-tiny", "qwen3.5-9b", "qwen3.5-35b-a3b", "nemotron-h-8b"),
}
"""Models by what their layers are; the beginnings of names in tools.specs."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A model to be run on a rig, with what is wanted of it."""

    cards: tuple[Card, ...]
    """Bandwidths are scaled."""
    ram_gb_s: float
    model: str
    intent: Intent

    def __str__(self) -> str:
        fastest = max(card.bandwidth_gb_s for card in self.cards)
        cards = ", ".join(f"{c.name} {c.free_mib} MiB {c.bandwidth_gb_s / fastest:.2f}{' display' * c.display}" for c in self.cards)
        own = self.intent.overrides
        wanted = f"{own.context} tokens {own.kv_type[0]}" if own.context and own.kv_type else self.intent.use_case.name
        return f"{self.model}, {wanted}, on {cards}, RAM {self.ram_gb_s / fastest:.2f}"

    @property
    def headroom(self) -> tuple[int, ...]:
        """Bytes that stay free on each card in every way of running it."""
        return tuple(HEADROOM_DISPLAY if card.display else HEADROOM_DEDICATED for card in self.cards)


def pair(seed: int) -> Pair:
    """The same for the same seed: a kind of model, one of it, and two to four cards that are not all alike."""
    rng = random.Random(seed)
    start = rng.choice(KINDS[rng.choice(list(KINDS))])
    name = next(name for name in NAMES if name.rpartition("-")[0] == start)
    cards = _cards(rng, model(name).weights_bytes)
    fastest = max(card.bandwidth_gb_s for card in cards)
    scale = sum(map(sum, zip(*reads(model(name)), strict=True))) / 1e9 / TOKEN_SECONDS / fastest
    slowed = tuple(Card(**{**vars(card), "bandwidth_gb_s": round(card.bandwidth_gb_s * scale, 3)}) for card in cards)
    overrides = Overrides()
    if rng.random() < 0.6:
        overrides = Overrides(context=rng.choice((4096, 8192, 16384)), kv_type=rng.choice((("f16", "f16"), ("q8_0", "q8_0"))))
    intent = Intent(use_case=use_case(rng.choice(("chat", "coding", "benchmark"))), overrides=overrides)
    return Pair(slowed, round(rng.choice(RAM_GB_S) * scale, 3), name, intent)


def _cards(rng: random.Random, weights: int) -> tuple[Card, ...]:
    """Of some draws the first whose memory is in the wanted relation to the weights, else the last."""
    known = [
        (name, card) for name in names() for card in sold(name) if (card.memory_bytes or 0) >= LEAST_CARD_MIB * MIB and card.bandwidth_gb_s
    ]
    low, high = rng.choices(ROOM, (3, 3, 3, 1))[0]
    cards: tuple[Card, ...] = ()
    for _ in range(1000):
        drawn = [rng.choice(known) for _ in range(rng.choice((2, 2, 3, 3, 4)))]
        desktop = rng.randrange(len(drawn)) if rng.random() < 0.3 else None
        cards = tuple(
            Card(
                name=name,
                total_mib=(card.memory_bytes or 0) // MIB,
                free_mib=(card.memory_bytes or 0) // MIB - (rng.randrange(300, 1500) if index == desktop else rng.randrange(8, 300)),
                compute_capability=card.compute_capability or "8.6",
                bandwidth_gb_s=card.bandwidth_gb_s or 0,
                display=index == desktop,
            )
            for index, (name, card) in enumerate(drawn)
        )
        unlike = len({card.bandwidth_gb_s for card in cards}) > 1
        together = high > ALONE or max(card.free_mib for card in cards) * MIB < weights
        if unlike and together and low <= sum(card.free_mib for card in cards) * MIB / weights <= high:
            break
    return cards


@cache
def reads(one: Model) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Bytes of weights that a token reads, of every block and last of the head: those of experts, and all others.

    Matrices only: the pages of a vocabulary and of norms are not counted by a paced rig either.
    """
    share = one.experts.used / one.experts.count if one.experts else 1.0
    blocks = one.layers + one.mtp_layers
    sparse, dense = [0.0] * (blocks + 1), [0.0] * (blocks + 1)
    for tensor in one.tensors:
        layer = tensor.layer
        if layer is not None and layer < one.layers and len(tensor.shape) > 1:
            is_expert = "_exps" in tensor.name
            (sparse if is_expert else dense)[layer] += tensor.bytes * (share if is_expert else 1.0)
        elif tensor.name == "output.weight":
            dense[-1] = tensor.bytes
    tied = sum(tensor.bytes for tensor in one.tensors if tensor.name == "token_embd.weight")
    dense[-1] = dense[-1] or tied
    return tuple(sparse), tuple(dense)


@cache
def _part_read(one: Model, layer: int, part: int) -> float:
    """What of a block's reading goes with `part` (weights.Part) when it lies elsewhere."""
    share = one.experts.used / one.experts.count if one.experts else 1.0
    found = 0.0
    for tensor in one.tensors:
        if tensor.layer == layer and len(tensor.shape) > 1 and is_moved(part, tensor.name.split(".", 2)[-1]):
            found += tensor.bytes * (share if "_exps" in tensor.name else 1.0)
    return found


def seconds(one: Model, placement: Placement, bandwidths: Sequence[float], ram: float, pinned: Sequence[int] = ()) -> float:
    """What a token takes, one device after the other; 10^9 bytes per second. `pinned`: blocks whose experts lie in RAM.

    The cache, which is nearly empty while tokens are measured, is left out.
    """
    speeds = (*bandwidths, ram)  # the last is HOST
    sparse, dense = reads(one)
    total = 0.0
    for layer, home in enumerate(placement.home):
        total += dense[layer] / speeds[home] + sparse[layer] / speeds[HOST if layer in pinned else home]
        if layer in placement.moved and home != HOST:
            part, elsewhere = placement.moved[layer]
            away = _part_read(one, layer, part)
            total += away / speeds[elsewhere] - away / speeds[home]
    return total / 1e9


@dataclass(frozen=True)
class Way:
    """One way to run it, as far as it can be told without the engine."""

    arguments: tuple[str, ...]
    seconds: float
    """Per token."""
    short: int
    """Bytes of headroom that will be missing."""
    spread: tuple[tuple[int, int], ...]
    """Card and bytes on it: two ways with the same spread are one."""


def foreseen(one: Pair, arguments: Sequence[str]) -> Way:
    """What `llama-server` with these arguments (model and program left out) will do."""
    shape = model(one.model)
    asked = read_command(["llama-server", "-m", "x.gguf", *arguments])
    order = [int(name.removeprefix("CUDA")) for name in asked.devices] if asked.devices else list(range(len(one.cards)))
    order = order[:1] if asked.settings.split_mode == "none" else order
    pinned = [int(found[1]) for pattern, _ in asked.overrides if (found := re.match(r"blk\\\.(\d+)\\\.", pattern))]
    table = weight_table(shape, tuple(Override(pattern, HOST) for pattern, _ in asked.overrides))
    cards = [one.cards[index] for index in order]
    devices = [Device(name=card.name, free_bytes=(card.free_mib - card.context_mib) * MIB) for card in cards]
    settings = asked.settings if len(cards) > 1 else replace(asked.settings, split_mode="none")
    fitted: Fitted = fit(shape, table, devices, settings)
    used = [use.total for use in fitted.footprint.devices]
    left = [device.free_bytes - use for device, use in zip(devices, used, strict=True)]
    return Way(
        tuple(arguments),
        seconds(shape, fitted.placement, [card.bandwidth_gb_s for card in cards], one.ram_gb_s, pinned),
        max((one.headroom[index] - size for index, size in zip(order, left, strict=True)), default=0),
        tuple(sorted((index, size) for index, size in zip(order, used, strict=True) if size)),
    )

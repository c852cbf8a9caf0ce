"""Cases for the comparison of preview and engine: models, rigs and arguments, drawn by a seed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

from msgspec import Struct, json

from tools.make_gguf import model
from tools.specs import NAMES

CARDS = (
    ("NVIDIA GeForce GTX 1660 Ti", 6144, "7.5"),
    ("NVIDIA GeForce RTX 3070", 8192, "8.6"),
    ("NVIDIA GeForce RTX 3060", 12288, "8.6"),
    ("NVIDIA GeForce RTX 4060 Ti", 16380, "8.9"),
    ("Tesla P40", 24576, "6.1"),
    ("NVIDIA GeForce RTX 3090", 24576, "8.6"),
    ("NVIDIA GeForce RTX 4090", 24564, "8.9"),
    ("NVIDIA GeForce RTX 5090", 32607, "12.0"),
    ("NVIDIA RTX A6000", 49140, "8.6"),
)
"""Name, MiB and compute capability."""
ROOM = ((1.25, 9.0), (0.85, 1.25), (0.3, 0.85))
"""Free memory of the rig over the weights: everything fits, a close call, layers in RAM."""
_QUANTISED = (("q8_0", "q8_0"), ("q4_0", "q4_0"), ("q8_0", "q4_0"), ("q5_1", "f16"), ("f16", "q8_0"), ("bf16", "bf16"))


class Case(Struct, frozen=True):
    """One load."""

    model: str
    cards: tuple[tuple[str, int, int, str], ...]
    """Name, total and free MiB, compute capability."""
    arguments: tuple[str, ...]

    @property
    def key(self) -> str:
        """The same for the same case, whatever the seed."""
        return hashlib.sha256(json.encode(self)).hexdigest()[:16]

    def __str__(self) -> str:
        cards = ", ".join(f"{free} of {total}" for _, total, free, _ in self.cards)
        return f"{self.model} on {len(self.cards)} ({cards} MiB) {' '.join(self.arguments)}".rstrip()


def draw(seed: int, *, only: str = "") -> Iterator[Case]:
    """Cases without end; each round goes over all models whose name contains `only`."""
    rng = random.Random(seed)
    names = [name for name in NAMES if only in name]
    while True:
        for name in rng.sample(names, len(names)):
            yield Case(name, _cards(rng, name), _arguments(rng, name))


def _cards(rng: random.Random, name: str) -> tuple[tuple[str, int, int, str], ...]:
    """Of some draws the first whose memory is in the wanted relation to the weights, else the nearest."""
    weights = model(name).weights_bytes >> 20
    low, high = rng.choices(ROOM, (5, 2, 2))[0]
    best: tuple[float, tuple[tuple[str, int, int, str], ...]] = (float("inf"), ())
    for _ in range(40):
        count = rng.choices(range(1, 9), (8, 8, 4, 3, 1, 1, 1, 1))[0]
        kinds = [rng.choice(CARDS)] * count if rng.random() < 0.3 else rng.choices(CARDS, k=count)
        cards = tuple((card, total, round(total * rng.uniform(0.7, 0.98)), capability) for card, total, capability in kinds)
        room = sum(free for _, _, free, _ in cards) / weights
        off = max(low - room, room - high, 0)
        if off < best[0]:
            best = (off, cards)
    return best[1]


def _arguments(rng: random.Random, name: str) -> tuple[str, ...]:
    shape = model(name)
    words: list[str] = ["--embedding"] if shape.embedding_model else []
    contexts = [c for c in (512, 2048, 4096, 8192, 12000, 16384, 32768, 65536, 131072) if c <= shape.context_trained]
    if rng.random() < 0.65:
        words += ["-c", str(rng.choice(contexts))]
    if rng.random() < 0.3:
        micro = rng.choice((64, 128, 256, 1024, 2048))
        words += ["-ub", str(micro)] + (["-b", str(micro)] if micro > 2048 or rng.random() < 0.2 else [])
    if rng.random() < 0.35:
        words += ["-np", rng.choice("1248")] + (["-kvu"] if rng.random() < 0.3 else [])
    if not shape.embedding_model:
        draw_kv = rng.random()
        if draw_kv < 0.25:
            key, value = rng.choice(_QUANTISED)
            words += ["-ctk", key, "-ctv", value]
        elif draw_kv < 0.37:
            words += ["-fa", "off"]
    return tuple(words + _placing(rng, name))


def _placing(rng: random.Random, name: str) -> list[str]:
    """What decides where layers lie."""
    shape = model(name)
    kind = rng.random()
    if kind < 0.45:
        return []
    if kind < 0.6:
        return ["-fitt", rng.choice(("128", "512", "2048", "1024,256", "256,3000"))]
    if kind < 0.64:
        return ["-sm", "none"]
    if kind < 0.68 and shape.experts:
        return ["--fit", "off", "-ncmoe", str(rng.randrange(1, shape.layers))]
    if kind < 0.7:
        return ["-nkvo"]
    words = ["--fit", "off"]
    if kind < 0.8:
        words += ["-ngl", str(rng.randrange(0, shape.layers + 2))]
    elif kind < 0.9:
        words += ["-ts", rng.choice(("3,1", "1,2", "1,1,1,1", "5,0,3"))]
    return words

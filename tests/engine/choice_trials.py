"""Does real llama-server bear out what rigtui chooses? Rigs, models and use cases that a seed draws, and what the engine says of each plan.

A plan is borne out when it loads, leaves the wanted headroom on every card, and no natural arrangement of the same cards holds
noticeably more context in the same cache type with that headroom.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from engine.virtual_rig import Card, VirtualRig
from rigtui.engines.llamacpp.weights import plain_table
from rigtui.intent.intent import Intent
from rigtui.intent.use_cases import use_case
from rigtui.planning.choose import choose
from rigtui.planning.plan import Plan
from rigtui.planning.wants import wants
from rigtui.rig.cards import names, sold
from rigtui.rig.rigfile import load
from rigtui.text import MIB
from tools.make_gguf import model
from tools.specs import NAMES

USE_CASES = ("chat", "coding", "long", "long", "benchmark", "batch")
"""What asks for more than there is most often twice."""
LEAST_CARD_MIB = 6144
ROOM = ((1.15, 1.8), (1.8, 4.0), (0.5, 1.15))
"""Free memory of the rig over the weights: a close call, room for context, layers in RAM."""
NOTICED = 1.03
"""The context chosen must be at least 97 % of the largest: so much more must not be there."""
PAD = 256
"""llama.cpp rounds contexts up to this (GGML_PAD in src/llama-context.cpp)."""
IN_RAM_SLACK = 32 * MIB
"""How far headroom may be missed with layers in RAM, where the compute buffer is an upper estimate only."""


@dataclass(frozen=True)
class Trial:
    """One wish on one rig."""

    cards: tuple[Card, ...]
    model: str
    use_case: str

    def __str__(self) -> str:
        cards = ", ".join(f"{c.name} {c.free_mib} of {c.total_mib} -{c.context_mib}{' display' * c.display}" for c in self.cards)
        return f"{self.model} for {self.use_case} on {cards}"


@dataclass(frozen=True)
class Answer:
    """What the engine made of an arrangement; bytes."""

    ready: bool
    said: str
    """Its last words where it did not load."""
    left: tuple[int, ...] = ()
    """On every card of the rig."""
    weights: float = 0
    """On all cards together."""


def trial(seed: int) -> Trial:
    """The same for the same seed."""
    rng = random.Random(seed)
    known = [name for name in names() if any((card.memory_bytes or 0) >= LEAST_CARD_MIB * MIB for card in sold(name))]
    name = rng.choice(NAMES)
    cards = _cards(rng, known, model(name).weights_bytes)
    return Trial(cards, name, "embedding" if model(name).embedding_model else rng.choice(USE_CASES))


def _cards(rng: random.Random, known: Sequence[str], weights: int) -> tuple[Card, ...]:
    """Of some draws the first whose memory is in the wanted relation to the weights, else the last."""
    low, high = rng.choices(ROOM, (4, 2, 1))[0]
    cards: tuple[Card, ...] = ()
    for _ in range(60):
        cards = tuple(_card(rng, rng.choice(known)) for _ in range(rng.choice((1, 1, 2, 2, 3, 4))))
        if rng.random() < 0.5:
            shown = rng.randrange(len(cards))
            cards = tuple(_with_desktop(rng, card) if index == shown else card for index, card in enumerate(cards))
        if low <= sum(card.free_mib for card in cards) * MIB / weights <= high:
            break
    return cards


def _card(rng: random.Random, name: str) -> Card:
    one = rng.choice([card for card in sold(name) if (card.memory_bytes or 0) >= LEAST_CARD_MIB * MIB])
    total = (one.memory_bytes or 0) // MIB
    held = rng.randrange(8, 300) if rng.random() < 0.7 else rng.randrange(300, total // 3)  # the driver's, or another program's too
    return Card(
        name=name,
        total_mib=total,
        free_mib=total - held,
        compute_capability=one.compute_capability or "8.6",
        bandwidth_gb_s=one.bandwidth_gb_s or 0,
        context_mib=rng.choice((0, 250, 450, 600)),
    )


def _with_desktop(rng: random.Random, card: Card) -> Card:
    return Card(**{**vars(card), "display": True, "free_mib": card.free_mib - rng.randrange(100, 1500)})


def chosen(rig: VirtualRig, wish: Trial, path: Path) -> Plan:
    """What rigtui would do."""
    here = replace(model(wish.model), path=str(path), files=(str(path),))
    return choose(load(rig.rig_file), here, Intent(use_case=use_case(wish.use_case)), [])


def objections(rig: VirtualRig, wish: Trial, plan: Plan, path: Path) -> list[str]:
    """What real llama-server has against `plan`; empty: it is borne out."""
    if plan.status == "no_fit":
        return []
    answer = _ask(rig, path, plan.command[3:])
    if not answer.ready:
        return [f"does not load: {answer.said}"]
    found = []
    slack = IN_RAM_SLACK if plan.status == "offload" else 0
    for device in plan.devices:
        left = answer.left[_card_of(device.device)]
        if left < device.headroom_bytes - slack:
            found.append(f"leaves {left / MIB:.0f} MiB on {device.device}, wanted are {device.headroom_bytes // MIB}")
    if plan.status in ("fits", "tight") and plan.devices and answer.weights < _everything(wish, len(plan.devices)):
        found.append(f"is {plan.status}, but puts layers in RAM")
    return found + _more(rig, wish, plan, path)


def _more(rig: VirtualRig, wish: Trial, plan: Plan, path: Path) -> list[str]:
    """Arrangements that hold noticeably more, all of it on cards and with the headroom."""
    better = _better(wish, plan)
    if not better or not plan.devices:
        return []
    needed = {_card_of(device.device): device.headroom_bytes for device in plan.devices}
    everything = _everything(wish, len(needed))
    found = []
    for arrangement in _arrangements(rig, plan, needed):
        changes = better | arrangement
        answer = _ask(rig, path, [*plan.command[3:], *(word for change in changes.items() for word in change)])
        if answer.ready and answer.weights >= everything and all(answer.left[card] >= size for card, size in needed.items()):
            found.append(f"{plan.context} tokens are {plan.status}, but {' '.join(map(' '.join, changes.items()))} holds")
    return found


def _everything(wish: Trial, cards: int) -> int:
    """What all weights take on so many cards at least, as exactly as the log tells."""
    return plain_table(model(wish.model)).gpu_bytes - cards * MIB


def _better(wish: Trial, plan: Plan) -> dict[str, str]:
    """What would have been noticeably better: more context, or the least that is acceptable without RAM. Empty: nothing more is wanted."""
    want = wants(model(wish.model), Intent(use_case=use_case(wish.use_case)))
    if plan.status == "offload":
        key, value = want.kv_types[-1]
        return {"-c": str(want.context_least * want.slots), "-ctk": key, "-ctv": value}
    context = int(plan.context * NOTICED) + PAD
    return {"-c": str(context)} if context <= want.context * want.slots else {}


def _arrangements(rig: VirtualRig, plan: Plan, needed: dict[int, int]) -> list[dict[str, str]]:
    """The plan's own, and the same cards in natural orders with the headroom as target."""
    by_room = sorted(needed, key=lambda card: rig.cards[card].free_mib)
    orders = dict.fromkeys(map(tuple, (sorted(needed), sorted(needed, reverse=True), by_room, by_room[::-1])))
    found: list[dict[str, str]] = [{}]
    for order in orders:
        names = ",".join(f"CUDA{card}" for card in order)
        found.append({"--device": names, "--fit-target": ",".join(str(needed[card] // MIB) for card in order)})
    own = {"--device": ",".join(d.device for d in plan.devices), "--fit-target": ",".join(map(str, plan.fit_target_mib))}
    return [arrangement for arrangement in found if arrangement != own]


def _ask(rig: VirtualRig, path: Path, arguments: Sequence[str]) -> Answer:
    with rig.serve(path, *arguments, "--no-warmup") as server:
        try:
            _ = server.address
        except AssertionError as ended:
            return Answer(ready=False, said=str(ended))
        left = tuple(card.free_mib * MIB - rig.allocated(index) for index, card in enumerate(rig.cards))
        weights = sum(held.weights for device, held in server.buffers.items() if device.startswith("CUDA") and device != "CUDA_Host")
        return Answer(ready=True, said="", left=left, weights=weights)


def _card_of(device: str) -> int:
    return int(device.removeprefix("CUDA"))

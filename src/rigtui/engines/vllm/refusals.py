"""For which settings would vLLM not start on these cards, and which would pass? Known before the launch. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rigtui.engines.vllm.footprint import Demand, budget, graphs_beside_share, most_utilization, room
from rigtui.engines.vllm.releases import States
from rigtui.planning.plan import Reason
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import gib


def over_free(rig: Rig, cards: Sequence[Gpu], utilization: float) -> Reason | None:
    """Why vLLM would not start with this share: it compares its share of the total with what is free. The number that passes is named."""
    for card in cards:
        free = room(card, rig, len(cards))
        if budget(card, utilization) > free:
            wanted, most = gib(budget(card, utilization)), most_utilization(cards, rig, (0,) * len(cards))
            text = (
                f"--gpu-memory-utilization {utilization:g} asks for {wanted} of {card.name}, where {gib(free)} are free once vLLM's own "
                f"context is there: it would not start; {most:g} passes"
            )
            return Reason("util_over_free", text)
    return None


def graphs_over_free(rig: Rig, cards: Sequence[Gpu], needs: Demand, utilization: float) -> Reason | None:
    """Why vLLM would run out of memory while it captures CUDA graphs: releases that take them beside their share must find room there."""
    graphs = graphs_beside_share(needs.settings, -(-needs.model.layers // needs.settings.stages))
    for card in cards if graphs else ():
        left = room(card, rig, len(cards)) - budget(card, utilization)
        if left < graphs:
            most = most_utilization(cards, rig, (graphs,) * len(cards))
            text = (
                f"vLLM {needs.settings.release.label} takes CUDA graphs of about {gib(graphs)} beside its share, and "
                f"--gpu-memory-utilization {utilization:g} leaves {gib(left)} of {card.name}: it would run out of memory; {most:g} passes, "
                "and so does --enforce-eager"
            )
            return Reason("graphs_over_free", text)
    return None


CLOSE = 0.95
"""Of the blocks that are needed: an estimate of so many does not tell whether it starts."""
_OUTCOMES: dict[States, str] = {"refused": "does not start", "asserted": "fails while it captures them"}


def too_few_blocks(needs: Demand, blocks: int) -> Reason | None:
    """Why this release would not get through with CUDA graphs: each request of a model with recurrent layers holds a block then.

    Without graphs, or where a release captures smaller batches instead, there is nothing to say.
    """
    sequences, release = needs.settings.sequences, needs.settings.release
    outcome = _OUTCOMES.get(release.fewer_states)
    if outcome is None or needs.settings.eager or not 0 < blocks < sequences:
        return None
    if not any(group.kind == "state" for group in needs.cache.groups):
        return None
    text = (
        f"with CUDA graphs each of {sequences} requests at once needs a cache block for its state, and {blocks} fit: vLLM {release.label} "
        f"{outcome}; --max-num-seqs {blocks} passes, and so does --enforce-eager"
    )
    return Reason("state_blocks", text)


def close_call(needs: Demand, blocks: int) -> Reason | None:
    """The same where the number of blocks, an estimate, is too near to what is needed for a verdict."""
    sequences, release = needs.settings.sequences, needs.settings.release
    if too_few_blocks(needs, blocks) is None or blocks < CLOSE * sequences:
        return None
    text = (
        f"with CUDA graphs each of {sequences} requests at once needs a cache block for its state, and about {blocks} fit, too near to "
        f"tell: vLLM {release.label} may not start; --max-num-seqs {int(CLOSE * blocks)} is safe, and so is --enforce-eager"
    )
    return Reason("state_blocks", text)


def refusal(rig: Rig, cards: Sequence[Gpu], needs: Demand, utilization: float, blocks: int) -> Reason | None:
    """The first reason why vLLM would not get ready with this share of the cards and so many cache blocks, or None."""
    return over_free(rig, cards, utilization) or graphs_over_free(rig, cards, needs, utilization) or too_few_blocks(needs, blocks)

"""For which settings would vLLM not start on these cards, and which would pass? Known before the launch. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rigtui.engines.vllm.footprint import Demand, budget, most_utilization, room
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


def too_few_blocks(needs: Demand, blocks: int) -> Reason | None:
    """Why vLLM would not capture CUDA graphs: each request of a model with recurrent layers holds a block then.

    Source: vLLM 0.32, config/compilation.py:1519.
    """
    sequences = needs.settings.sequences
    if needs.settings.eager or not any(group.kind == "state" for group in needs.cache.groups) or not 0 < blocks < sequences:
        return None
    text = (
        f"with CUDA graphs each of {sequences} requests at once needs a cache block for its state, and {blocks} fit: vLLM would not start; "
        f"--max-num-seqs {blocks} passes, and so does --enforce-eager"
    )
    return Reason("state_blocks", text)

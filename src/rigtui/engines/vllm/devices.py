"""The parts of a plan that follow from a judged candidate alone. Pure."""

from __future__ import annotations

from typing import Literal

from rigtui.engines.vllm.derive import Candidate
from rigtui.engines.vllm.footprint import floor_bytes
from rigtui.engines.vllm.partition import firsts
from rigtui.engines.vllm.settings import Settings
from rigtui.planning.plan import EngineView, FitView, PlanDevice
from rigtui.rig.rig import Rig


def split_mode(settings: Settings) -> Literal["none", "tensor", "pipeline"]:
    """How the cards share the model."""
    if settings.workers == 1:
        return "none"
    return "tensor" if settings.stages == 1 else "pipeline"


def engine_view(candidate: Candidate) -> EngineView:
    """The candidate in vLLM's own terms; `tensor_split` are the layers of every stage."""
    settings = candidate.settings
    return EngineView(
        slots=settings.sequences,
        pipeline_parallel=settings.stages > 1,
        tensor_split=candidate.partition if settings.stages > 1 else None,
        kv_tokens=candidate.kv_tokens,
        utilization=candidate.utilization,
        eager=settings.eager,
        fit=FitView(status="failed" if candidate.status == "no_fit" else "ok"),
    )


def plan_devices(rig: Rig, candidate: Candidate, context: int) -> tuple[PlanDevice, ...]:
    """One row per card, in rank order. Of a plan that does not fit the KV of the least context is shown, so that the gap is seen."""
    needs, settings = candidate.demand, candidate.settings
    blocks = max(candidate.blocks, 0)
    if candidate.status == "no_fit":
        blocks = max(blocks, needs.cache.blocks(context) + 1)
    rows = []
    spread = zip(candidate.layout.stages, firsts(candidate.partition), candidate.partition, strict=True)
    for stage, (cards, first, count) in enumerate(spread):
        use = needs.use(first, count)
        kv = blocks * needs.cache.block_bytes(first, count)
        for rank, card in enumerate(cards):
            at = stage * settings.tensor_parallel + rank
            floor = floor_bytes(card, rig, settings.workers) + use.graphs
            used = use.weights + kv + use.compute + floor
            rows.append(
                PlanDevice(
                    device=f"CUDA{at}",
                    uuid=card.uuid,
                    name=card.name,
                    layers=count,
                    first_layer=first,
                    output=stage == len(candidate.partition) - 1,
                    weights_bytes=use.weights,
                    kv_bytes=kv,
                    compute_bytes=use.compute,
                    floor_bytes=floor,
                    used_bytes=used,
                    free_before_bytes=card.free_bytes or 0,
                    free_after_bytes=(card.free_bytes or 0) - used,
                    headroom_bytes=candidate.headroom[at],
                )
            )
    return tuple(rows)

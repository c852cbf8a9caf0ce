"""The parts of a plan that follow from a fitted placement alone. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rigtui.engines.llamacpp.fit import Fitted
from rigtui.engines.llamacpp.weights import Part
from rigtui.planning.plan import PlanDevice, PlanHost
from rigtui.rig.rig import Gpu

_PATTERNS = {
    Part.ATTENTION: "ffn_(gate|up|gate_up|down).*",
    Part.UP: "ffn_(gate|gate_up|down).*",
    Part.GATE: "ffn_down.*",
    Part.EXPERTS: "ffn_(up|down|gate_up|gate)_(ch|)exps",
}


def whole(shares: Sequence[float] | None) -> tuple[int, ...] | None:
    """The shares of `-ts` as numbers of layers."""
    return tuple(round(share) for share in shares) if shares else None


def plan_host(fitted: Fitted) -> PlanHost:
    """What lies in RAM."""
    taken = fitted.footprint
    return PlanHost(
        weights_bytes=taken.host.weights,
        kv_bytes=taken.host.kv,
        compute_bytes=taken.host.compute,
        offloaded_layers=taken.offloaded_layers,
    )


def plan_devices(
    gpus: Sequence[Gpu], names: Sequence[str], floor: Sequence[int], headroom: Sequence[int], fitted: Fitted, layers: int
) -> tuple[PlanDevice, ...]:
    """One row per GPU in use, in engine order; `floor` and `headroom` in bytes, `layers` the model's."""
    home = fitted.placement.home
    rows = []
    for index, (gpu, use) in enumerate(zip(gpus, fitted.footprint.devices, strict=True)):
        blocks = [block for block in range(layers) if home[block] == index]
        used = floor[index] + use.total
        rows.append(
            PlanDevice(
                device=names[index],
                uuid=gpu.uuid,
                name=gpu.name,
                layers=len(blocks),
                first_layer=blocks[0] if blocks else 0,
                output=home[-1] == index,
                weights_bytes=use.weights,
                kv_bytes=use.kv,
                compute_bytes=use.compute,
                floor_bytes=floor[index],
                used_bytes=used,
                free_before_bytes=gpu.free_bytes or 0,
                free_after_bytes=(gpu.free_bytes or 0) - used,
                headroom_bytes=headroom[index],
            )
        )
    return tuple(rows)


def overflow_patterns(fitted: Fitted, names: Sequence[str]) -> tuple[str, ...] | None:
    """What `--fit` writes as `-ot`, in its own patterns (common/fit.cpp)."""
    moved = sorted(fitted.placement.moved.items())
    return tuple(f"blk\\.{block}\\.{_PATTERNS[part]}={names[to] if to >= 0 else 'CPU'}" for block, (part, to) in moved) or None

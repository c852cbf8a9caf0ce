"""The plan: one answer to how a model runs on a rig. Its JSON form is the contract `rigtui.plan/1`.

Sizes are bytes except `fit_target_mib`. For every device: used = weights + kv + compute + floor and
free_after = free_before - used; both are fields so that a reader of the JSON need not compute them.
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from rigtui.models.model import Model

Status = Literal["fits", "tight", "offload", "no_fit"]
Basis = Literal["estimated", "verified", "remembered"]
"""Rigtui's own arithmetic, the engine's dry run, or an earlier run."""
PLAN_SCHEMA = "rigtui.plan/1"


class Reason(Struct, frozen=True):
    """Why the plan is as it is, or what the user should know: a stable code and one sentence."""

    code: str
    text: str


class PlanModel(Struct, frozen=True, kw_only=True):
    """The model as the plan names it."""

    name: str
    path: str
    architecture: str
    layers: int
    weights_bytes: int
    context_trained: int
    experts: int = 0


def plan_model(model: Model) -> PlanModel:
    """The model as a plan names it."""
    return PlanModel(
        name=model.name,
        path=model.path,
        architecture=model.architecture,
        layers=model.layers,
        weights_bytes=model.weights_bytes,
        context_trained=model.context_trained,
        experts=model.experts.count if model.experts else 0,
    )


class PlanDevice(Struct, frozen=True, kw_only=True):
    """One GPU in use, in engine order."""

    device: str
    kind: Literal["cuda", "vulkan", "rpc", "cpu"] = "cuda"
    endpoint: str | None = None
    uuid: str | None = None
    name: str
    layers: int
    first_layer: int
    output: bool = False
    """Holds the output head."""
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    floor_bytes: int
    used_bytes: int
    free_before_bytes: int
    free_after_bytes: int
    headroom_bytes: int
    """What is wanted free; the engine may be passed another number (`fit_target_mib`)."""


class PlanHost(Struct, frozen=True, kw_only=True):
    """What lies in system RAM. `offloaded_layers` counts layers that are in RAM in whole or in part."""

    weights_bytes: int = 0
    kv_bytes: int = 0
    compute_bytes: int = 0
    offloaded_layers: int = 0


class FitView(Struct, frozen=True, kw_only=True):
    """What the engine's own fit says: `ok`, `failed` or `off`, and its message."""

    status: str = ""
    message: str | None = None


class EngineView(Struct, frozen=True, kw_only=True):
    """The plan in the engine's own terms (llama.cpp: what `--fit` ends with). What only one engine has is left out for the others."""

    ngl: int | None = None
    tensor_split: tuple[int, ...] | None = None
    written: bool | UnsetType = UNSET
    """llama.cpp: rigtui writes the division itself, and `--fit` decides nothing."""
    override_tensor: tuple[str, ...] | None = None
    pipeline_parallel: bool | None = None
    flash_attention: bool | None = None
    slots: int | None = None
    kv_tokens: int | UnsetType = UNSET
    """vLLM: the size of its cache as it logs it."""
    utilization: float | UnsetType = UNSET
    """vLLM: the share of every card that it may take."""
    eager: bool | UnsetType = UNSET
    """vLLM: without CUDA graphs."""
    fit: FitView = FitView()


class Expected(Struct, frozen=True, kw_only=True):
    """Expected speed, tokens per second."""

    decode_tok_s: float | None = None
    prefill_tok_s: float | None = None
    basis: Literal["measured", "calibrated", "estimated"] = "estimated"
    estimated_tok_s: float | UnsetType | None = UNSET
    """Decode speed from bandwidths alone, where measurements have taken its place."""


class Alternative(Struct, frozen=True, kw_only=True):
    """Another way to run it."""

    engine: str
    summary: str
    status: Status
    context: int
    expected: Expected = Expected()


class Plan(Struct, frozen=True, kw_only=True):
    """How one model is run on one rig."""

    schema: str = PLAN_SCHEMA
    status: Status
    engine: str
    engine_build: str | None = None
    model: PlanModel
    use_case: str
    context: int
    """Total over all slots."""
    context_per_slot: int
    parallel: int
    kv_type: tuple[str, str]
    split_mode: Literal["layer", "none", "tensor", "pipeline"] = "layer"
    devices: tuple[PlanDevice, ...] = ()
    host: PlanHost = PlanHost()
    engine_view: EngineView = EngineView()
    basis: Basis = "estimated"
    fit_target_mib: tuple[int, ...] = ()
    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    expected: Expected = Expected()
    reasons: tuple[Reason, ...] = ()
    warnings: tuple[Reason, ...] = ()
    alternatives: tuple[Alternative, ...] = ()

    @property
    def decided_by(self) -> tuple[int, ...]:
        """The targets, MiB per device, by which the engine divides the layers; empty where it is told the division."""
        return () if self.engine_view.written is True else self.fit_target_mib

    @property
    def steered(self) -> bool:
        """More is passed to be kept free than is wanted: targets and order together say where the layers are to go."""
        return any(target > device.headroom_bytes >> 20 for target, device in zip(self.fit_target_mib, self.devices, strict=False))

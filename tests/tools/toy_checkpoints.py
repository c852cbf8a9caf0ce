"""Toy checkpoints and rigs for vLLM: a layer is 100 MiB, its KV 1 KiB per token."""

from __future__ import annotations

from rigtui.intent.intent import Intent, Overrides, UseCase
from rigtui.models.model import Model, Recurrent, Tensor, Transformers
from rigtui.planning.plan import Plan
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import GIB, MIB

LAYER = 100 * MIB
HEAD = 50 * MIB


def toy(
    layers: int = 10,
    *,
    head: int = HEAD,
    heads: int = 4,
    kv_heads: int = 1,
    method: str = "",
    tied: bool = False,
    states: bool = False,
    context: int = 65536,
) -> Model:
    """100 MiB a layer, embedding and head as large as asked; one KV head of 256, so 1 KiB per token and layer."""
    tensors = [Tensor("model.embed_tokens.weight", (1024, head // 2048), "bf16", head)]
    tensors += [] if tied else [Tensor("lm_head.weight", (1024, head // 2048), "bf16", head)]
    tensors += [Tensor(f"model.layers.{il}.mlp.up_proj.weight", (1024, LAYER // 2048), "bf16", LAYER) for il in range(layers)]
    keeps = tuple(states and (il + 1) % 4 != 0 for il in range(layers))
    return Model(
        name="toy",
        path="/models/toy",
        files=("/models/toy/model.safetensors",),
        format="safetensors",
        architecture="llama",
        layers=layers,
        context_trained=context,
        embedding_length=1024,
        vocabulary=1024,
        heads=(heads,) * layers,
        kv_heads=tuple(0 if keep else kv_heads for keep in keeps),
        key_length=256,
        value_length=256,
        recurrent=Recurrent(layers=keeps, conv_kernel=4, inner_size=1024, state_size=128, group_count=8) if states else None,
        tensors=tuple(tensors),
        weights_bytes=sum(t.bytes for t in tensors),
        fingerprint="toy",
        transformers=Transformers(quant_method=method, tied=tied),
    )


def gpu(
    index: int,
    total_mib: int,
    *,
    used_mib: int = 0,
    name: str | None = None,
    capability: str | None = "8.6",
    display: bool = False,
    bandwidth: float = 500.0,
) -> Gpu:
    """A card without a runtime, whose driver keeps nothing, so that sums stay simple."""
    return Gpu(
        index=index,
        name=name or f"Card {total_mib}",
        uuid=f"GPU-{index}",
        total_bytes=total_mib * MIB,
        free_bytes=(total_mib - used_mib) * MIB,
        reserved_bytes=0,
        runtime_bytes=0,
        display=display,
        compute_capability=capability,
        bandwidth_gb_s=bandwidth,
    )


def rig(*gpus: Gpu, driver: str | None = "590.10", ram_gib: int = 64) -> Rig:
    """A machine with these cards."""
    return Rig(name="toy", platform="linux", gpus=gpus, driver=driver, ram_total_bytes=ram_gib * GIB, ram_free_bytes=ram_gib * GIB)


def intent(
    context: int = 8192,
    least: int = 1024,
    *,
    name: str = "toy",
    parallel: int = 1,
    prefer: str = "context",
    engine: str = "vllm",
    **own: object,
) -> Intent:
    """A use case that wants `context`; `own` are the user's settings."""
    use_case = UseCase(name=name, context=context, context_least=least, kv_types=("f16",), parallel=parallel, prefer=prefer)  # type: ignore[arg-type]
    return Intent(use_case=use_case, overrides=Overrides(**own), engine=engine)  # type: ignore[arg-type]


def codes(plan: Plan) -> set[str]:
    """Codes of its reasons and warnings."""
    return {reason.code for reason in (*plan.reasons, *plan.warnings)}


def why(plan: Plan, code: str) -> str:
    """The sentence of a reason."""
    return next(reason.text for reason in (*plan.reasons, *plan.warnings) if reason.code == code)


def option(plan: Plan, name: str) -> str | None:
    """The value of an option in the plan's command."""
    return plan.command[plan.command.index(name) + 1] if name in plan.command else None

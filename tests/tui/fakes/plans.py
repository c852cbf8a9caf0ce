"""Plans that follow what was asked for in a way that a test can check."""

from __future__ import annotations

from rigtui.engines.engine import Build
from rigtui.errors import RigtuiError
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.plan import Alternative, Expected, Plan, PlanDevice, PlanHost, PlanModel, Reason
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import MIB


def device(
    index: int, name: str, layers: tuple[int, int], sizes: tuple[int, int, int, int], free: int, headroom: int, *, output: bool = False
) -> PlanDevice:
    """A card in a plan; sizes (weights, KV, compute, floor) and free in MiB."""
    used = sum(sizes) * MIB
    return PlanDevice(
        device=f"CUDA{index}",
        uuid=f"GPU-{index}",
        name=f"NVIDIA GeForce {name}",
        layers=layers[1] - layers[0] + 1,
        first_layer=layers[0],
        output=output,
        weights_bytes=sizes[0] * MIB,
        kv_bytes=sizes[1] * MIB,
        compute_bytes=sizes[2] * MIB,
        floor_bytes=sizes[3] * MIB,
        used_bytes=used,
        free_before_bytes=free * MIB,
        free_after_bytes=free * MIB - used,
        headroom_bytes=headroom * MIB,
    )


REASONS = (
    Reason("split", "The RTX 4090 alone is 1.9 GiB short of the wanted context, so the last layers go to the RTX 5070 Ti."),
    Reason("headroom", "GPU 1 drives a desktop that holds 2.8 GiB now; 1,024 MiB more are left for it."),
)
WARNINGS = (Reason("display", "A game or a browser with many tabs can need more than the headroom on GPU 1."),)
ALTERNATIVES = (
    Alternative(engine="llama.cpp", summary="RTX 4090 alone, KV q4_0", status="tight", context=40960, expected=Expected(decode_tok_s=46.0)),
    Alternative(engine="llama.cpp", summary="2 GPUs, KV f16", status="fits", context=32768, expected=Expected(decode_tok_s=37.0)),
)


def plan_for(rig: Rig, chosen: Model, intent: Intent, builds: tuple[Build, ...]) -> Plan:
    """A plan that follows the intent in a way a test can check: the context is the user's or the use case's, KV grows with it."""
    use_case, own = intent.use_case, intent.overrides
    slots = own.parallel or use_case.parallel
    context = own.context or min(use_case.context or chosen.context_trained, chosen.context_trained)
    if context > 1_000_000:
        raise RigtuiError("a context of more than a million tokens is more than this test's models can take")
    kv = own.kv_type or ("q8_0", "q8_0")
    kv_mib = context * slots // 32 * (1 if kv[0] == "q8_0" else 2) // 4
    devices = _divided([card for card in rig.usable_gpus if not own.gpus or card.uuid in own.gpus], chosen.weights_bytes // MIB, kv_mib)
    over = any(one.free_after_bytes < 0 for one in devices)
    in_ram = PlanHost(weights_bytes=chosen.weights_bytes, kv_bytes=kv_mib * MIB, offloaded_layers=chosen.layers)
    return Plan(
        status="no_fit" if over else "fits" if devices else "offload",
        engine="llama.cpp",
        engine_build=builds[0].version if builds else None,
        model=_named(chosen),
        use_case=use_case.name,
        context=context * slots,
        context_per_slot=context,
        parallel=slots,
        kv_type=kv,
        split_mode="layer" if len(devices) > 1 else "none",
        devices=devices,
        host=PlanHost(weights_bytes=600 * MIB) if devices else in_ram,
        fit_target_mib=tuple(one.headroom_bytes // MIB for one in devices),
        command=_command(chosen, context * slots, kv),
        expected=Expected(decode_tok_s=38.0 if devices else 4.2, basis="estimated"),
        reasons=REASONS,
        warnings=WARNINGS,
        alternatives=ALTERNATIVES,
    )


def _divided(usable: list[Gpu], weights: int, kv: int) -> tuple[PlanDevice, ...]:
    """`weights` and `kv` (MiB) on the one usable card, or on the two of `two_cards`; on none there is nothing to divide."""
    if len(usable) == 1:
        card = usable[0]
        name, free = card.name.removeprefix("NVIDIA GeForce "), (card.free_bytes or 0) // MIB
        return (device(card.index, name, (0, 47), (weights, kv, 600, 450), free, 1024, output=True),)
    if not usable:
        return ()
    first = (weights * 2 // 3, kv * 2 // 3, 660, 450)
    second = (weights - first[0], kv - first[1], 700, 450)
    return (
        device(0, "RTX 4090", (0, 31), first, 23700, 128),
        device(1, "RTX 5070 Ti", (32, 47), second, 12800, 1024, output=True),
    )


def _named(chosen: Model) -> PlanModel:
    return PlanModel(
        name=chosen.name,
        path=chosen.path,
        architecture=chosen.architecture,
        layers=chosen.layers,
        weights_bytes=chosen.weights_bytes,
        context_trained=chosen.context_trained,
        experts=chosen.experts.count if chosen.experts else 0,
    )


def _command(chosen: Model, context: int, kv: tuple[str, str]) -> tuple[str, ...]:
    sizes = ("--ctx-size", str(context), "--cache-type-k", kv[0], "--cache-type-v", kv[1])
    return ("llama-server", "--model", chosen.path, *sizes, "--fit-target", "128,1024", "--jinja")

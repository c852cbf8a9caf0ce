"""vLLM's candidates as plans: devices, command, environment, reasons and warnings. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.engine import Build
from rigtui.engines.vllm import explain, on_cpu, rules
from rigtui.engines.vllm.arguments import Own, read
from rigtui.engines.vllm.command import PARTITION, serve_command
from rigtui.engines.vllm.derive import Candidate, Derivation, derive
from rigtui.engines.vllm.devices import engine_view, plan_devices, split_mode
from rigtui.engines.vllm.learned import learned
from rigtui.engines.vllm.partition import even
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.constraints import Constraint
from rigtui.planning.known import NOTHING, Known
from rigtui.planning.plan import Alternative, Expected, Plan, Reason, plan_model
from rigtui.planning.wants import wants
from rigtui.rig.rig import Rig

ENGINE = "vllm"
DIVISION = ("tp_heads", "too_few_cards", "too_many_stages")
"""Refusals of the user's own division, beside which others are offered."""


class _Scene(Struct, frozen=True, kw_only=True):
    rig: Rig
    model: Model
    intent: Intent
    build: Build | None
    derivation: Derivation


def plans(
    rig: Rig,
    model: Model,
    intent: Intent,
    build: Build | None,
    *,
    here: bool = False,
    constraints: Sequence[Constraint] = (),
    known: Known = NOTHING,
) -> list[Plan]:
    """Every way to run `model` on `rig` with vLLM, unfit ones too; at least one.

    On a simulated rig the cards of its file are planned for, whatever this machine's build sees, and the command is one for that rig
    unless it is to be run `here`. `constraints` bound what the user did not set; what is `known` of earlier runs takes the place of
    estimates. Raises UsageError for settings that cannot be.
    """
    if rig.simulated and not here and build is not None and not build.gpu:
        build = None
    own = read(intent.overrides.engine_args)
    refused = rules.refused(model, build)
    if refused is not None:
        return [_none(model, intent, build, (Reason("unsupported_model", refused),))]
    if build is not None and not build.gpu and not (rig.simulated and rig.usable_gpus):
        return [on_cpu.plan(rig, model, intent, build, own, constraints)]
    found_out = learned(model, () if rig.simulated else known.workers, rig.gpus)
    rig = found_out.on(rig)
    derivation = derive(rig, model, intent, build, own, constraints=constraints, learned=found_out)
    if not derivation.candidates:
        return [_none(model, intent, build, _no_cards(rig, derivation))]
    scene = _Scene(rig=rig, model=model, intent=intent, build=build, derivation=derivation)
    found = [_plan(scene, candidate, own) for candidate in derivation.candidates]
    if all(candidate.refusal is not None and candidate.refusal.code in DIVISION for candidate in derivation.candidates):
        otherwise = derive(
            rig, model, intent, build, replace(own, tensor_parallel=None, stages=None), constraints=constraints, learned=found_out
        )
        fine = tuple(_alternative(c, "", derivation.wants.slots) for c in otherwise.candidates if c.status != "no_fit")
        found = [replace(plan, alternatives=fine) for plan in found]
    if build is None or build.gpu:
        return found
    return [on_cpu.launched_here(shown, model, intent, build, own) for shown in found]


def _no_cards(rig: Rig, derivation: Derivation) -> tuple[Reason, ...]:
    if not derivation.left_out:
        why = "this rig has no GPU that can be used" if not rig.usable_gpus else "no card is left to use"
        return (Reason("no_gpu", f"{why}: vLLM's usual builds need one; llama.cpp also runs on the CPU"),)
    return (*derivation.left_out, Reason("other_engine", "llama.cpp runs on these cards: get a GGUF file of the same model"))


def _none(model: Model, intent: Intent, build: Build | None, why: tuple[Reason, ...]) -> Plan:
    """A plan that says why there is none."""
    want = wants(model, intent)
    return Plan(
        status="no_fit",
        engine=ENGINE,
        engine_build=build.version if build else None,
        model=plan_model(model),
        use_case=intent.use_case.name,
        context=want.context * want.slots,
        context_per_slot=want.context,
        parallel=want.slots,
        kv_type=("bf16", "bf16"),
        split_mode="none",
        reasons=why,
    )


def _plan(scene: _Scene, candidate: Candidate, own: Own) -> Plan:
    model, want, settings = scene.model, scene.derivation.wants, candidate.settings
    context = settings.context if candidate.status != "no_fit" else want.context_least
    return Plan(
        status=candidate.status,
        engine=ENGINE,
        engine_build=scene.build.version if scene.build else None,
        model=plan_model(model),
        use_case=scene.intent.use_case.name,
        context=context * want.slots,
        context_per_slot=context,
        parallel=want.slots,
        kv_type=(settings.kv_type, settings.kv_type),
        split_mode=split_mode(settings),
        devices=plan_devices(scene.rig, candidate, context),
        engine_view=engine_view(candidate),
        command=serve_command(model, scene.intent, candidate, own, scene.build),
        env=_env(scene, candidate) | scene.intent.overrides.env,
        expected=_expected(candidate),
        reasons=explain.reasons(scene.rig, model, scene.derivation, candidate, scene.intent.engine),
        alternatives=_given_up(candidate, want.slots),
        warnings=_no_engine(scene) + explain.warnings(model, scene.intent, scene.derivation, candidate),
    )


def _given_up(candidate: Candidate, slots: int) -> tuple[Alternative, ...]:
    """The ways this one was preferred to, as far as they can be run."""
    graphs = ", without CUDA graphs", ", with CUDA graphs"
    return tuple(
        _alternative(other, graphs[not other.settings.eager] if other.layout == candidate.layout else "", slots)
        for other in candidate.given_up
        if other.status != "no_fit"
    )


def _alternative(candidate: Candidate, how: str, slots: int) -> Alternative:
    settings = candidate.settings
    where = f"{candidate.layout.cards[0].name} alone" if settings.workers == 1 else f"{settings.workers} GPUs"
    together = {
        "none": "",
        "tensor": f" in tensor parallel (TP {settings.tensor_parallel})",
        "pipeline": f" in a pipeline (PP {settings.stages})",
    }
    return Alternative(
        engine=ENGINE,
        summary=f"{where}{together[split_mode(settings)]}{how}, KV {settings.kv_type}",
        status=candidate.status,
        context=settings.context * slots,
        expected=_expected(candidate),
    )


def _expected(candidate: Candidate) -> Expected:
    return Expected(decode_tok_s=candidate.decode_tok_s, basis="estimated" if candidate.demand.model.experts else "calibrated")


def _no_engine(scene: _Scene) -> tuple[Reason, ...]:
    if scene.build is not None or scene.rig.simulated:
        return ()
    return (Reason("no_engine", "no vLLM is installed: `pip install vllm` into an environment of its own and put its `vllm` on PATH"),)


def _env(scene: _Scene, candidate: Candidate) -> dict[str, str]:
    """Which cards in which order, by UUID, and the layers of each stage where vLLM would divide them otherwise."""
    env = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    cards = candidate.layout.cards
    if scene.rig.simulated:
        # A rig file has no UUIDs; the order of its cards is the only name they have.
        if tuple(card.index for card in cards) != tuple(range(len(scene.rig.gpus))):
            env["CUDA_VISIBLE_DEVICES"] = ",".join(str(card.index) for card in cards)
    elif all(card.uuid for card in cards):
        env["CUDA_VISIBLE_DEVICES"] = ",".join(card.uuid or "" for card in cards)
    if candidate.settings.stages > 1 and candidate.partition != even(scene.model.layers, candidate.settings.stages):
        env[PARTITION] = ",".join(map(str, candidate.partition))
    return env

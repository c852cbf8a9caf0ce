"""Candidates as plans: devices, command, environment, reasons and warnings. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from msgspec import UNSET, Struct
from msgspec.structs import replace

from rigtui.engines.engine import Build
from rigtui.engines.llamacpp import explain
from rigtui.engines.llamacpp.arguments import Asked, keeps_to_cpu
from rigtui.engines.llamacpp.builds import build_id, device_names
from rigtui.engines.llamacpp.command import DEFAULT_CACHE_RAM_MIB, WRITTEN, offers, server_command, unknown_options
from rigtui.engines.llamacpp.derive import Derivation, Evidence, derive
from rigtui.engines.llamacpp.own import as_pinned, as_wished, pins_of, said_of
from rigtui.engines.llamacpp.plan_parts import overflow_patterns, plan_devices, plan_host, whole
from rigtui.engines.llamacpp.search import Candidate, Search
from rigtui.engines.llamacpp.shown import Shown
from rigtui.engines.llamacpp.weights import Override, weight_table
from rigtui.errors import MissingError
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.constraints import Constraint
from rigtui.planning.known import NOTHING, Known
from rigtui.planning.plan import EngineView, Expected, FitView, Plan, Reason, plan_model
from rigtui.planning.reserve import SYSTEM_RAM
from rigtui.rig.rig import Rig
from rigtui.text import MIB

ENGINE = "llama.cpp"


class _Scene(Struct, frozen=True, kw_only=True):
    rig: Rig
    model: Model
    intent: Intent
    build: Build | None
    derivation: Derivation
    asked: Asked | None
    """The user's own arguments."""
    seen: dict[int, str]
    """What the build calls each card it sees, by the card's index."""


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
    """Every way to run `model` on `rig` with llama.cpp, unfit ones too.

    On a simulated rig the cards of its file are planned for, whatever this machine's build sees, and the command is one for that rig
    unless it is to be run `here`. `constraints` bound what the user did not set; what is `known` of the model replaces the estimate.
    Raises MissingError for a model that llama.cpp cannot load.
    """
    if model.format != "gguf":
        raise MissingError(f"{model.name} is a safetensors folder; llama.cpp needs a GGUF file: get one of the same model")
    if rig.simulated and not here and build is not None and not build.gpu:
        build = None
    asked = said_of(intent.overrides.engine_args)
    intent = as_wished(intent, model, asked)
    own_cpu = keeps_to_cpu(intent.overrides.engine_args)
    sees_gpus = own_cpu is None and (rig.simulated or build is None or build.gpu)
    seen = seen_by(rig, build)
    rig = known.on(rig)
    evidence = Evidence(
        # What other cards than this rig's have shown is not about it.
        constraints=tuple(constraints),
        known=NOTHING if rig.simulated else known,
        build=build_id(build) if build else "",
        # Beside what the user pins nothing is written.
        offered=frozenset(option for option in WRITTEN if offers(build, option)) if not pins_of(asked) else frozenset(),
    )
    derivation = derive(
        replace(rig, gpus=tuple(gpu for gpu in rig.gpus if gpu.index in seen)),
        model,
        intent,
        sees_gpus=sees_gpus,
        own_cpu=own_cpu,
        evidence=evidence,
    )
    scene = _Scene(rig=rig, model=model, intent=intent, build=build, derivation=derivation, asked=asked, seen=seen)
    candidates = derivation.candidates
    if asked is not None and pins_of(asked) and own_cpu is None:
        candidates = as_pinned(candidates, asked, partial(_pinned_search, scene, evidence), lambda candidate: _devices(scene, candidate)[0])
    return [_plan(scene, candidate) for candidate in candidates]


def _pinned_search(scene: _Scene, evidence: Evidence, candidate: Candidate, moved: tuple[Override, ...]) -> Search:
    """The search that judges what the user pinned: whatever headroom is left beside it is left."""
    headrooms = {gpu.index: size for gpu, size in zip(candidate.gpus, candidate.headroom, strict=True)}
    shown = Shown(model=scene.model, known=evidence.known, build=evidence.build, own=scene.intent.overrides.engine_args)
    table = weight_table(scene.model, moved)
    return Search(scene.rig, scene.model, scene.derivation.wants, headrooms, shown, own_targets=True, table=table)


def seen_by(rig: Rig, build: Build | None) -> dict[int, str]:
    """The cards that the build sees, and what it calls them, by the card's index.

    On a rig that is only described, and for a build that lists no devices, every card is taken as seen and named as CUDA does.
    """
    if rig.simulated or build is None or not build.devices:
        return {gpu.index: f"CUDA{gpu.index}" for gpu in rig.gpus}
    return {gpu.index: name for gpu, name in zip(rig.gpus, device_names(build, rig.gpus), strict=True) if name is not None}


def _plan(scene: _Scene, candidate: Candidate) -> Plan:
    model, want = scene.model, scene.derivation.wants
    fitted, settings = candidate.fitted, candidate.settings
    names, env = _devices(scene, candidate)
    cache_ram = _cache_ram_mib(scene.rig, candidate)
    return Plan(
        status=candidate.status,
        engine=ENGINE,
        engine_build=scene.build.version if scene.build else None,
        model=plan_model(model),
        use_case=scene.intent.use_case.name,
        context=settings.context_allocated(fitted.context),
        context_per_slot=settings.context_per_slot(fitted.context),
        parallel=want.slots,
        kv_type=settings.kv_type,
        split_mode="none" if settings.split_mode == "none" else "layer",
        devices=plan_devices(candidate.gpus, names, candidate.floor, candidate.headroom, fitted, model.layers),
        host=plan_host(fitted),
        engine_view=EngineView(
            ngl=fitted.ngl,
            tensor_split=fitted.tensor_split or (whole(settings.tensor_split) if candidate.written else None),
            written=True if candidate.written else UNSET,
            override_tensor=overflow_patterns(fitted, names)
            or (scene.asked.written_overrides if scene.asked and candidate.pinned else None),
            pipeline_parallel=fitted.footprint.pipeline,
            flash_attention=fitted.footprint.flash,
            slots=settings.slots,
            fit=FitView(status=fitted.status, message=fitted.message),
        ),
        basis=candidate.basis,
        fit_target_mib=settings.fit_target_mib if candidate.gpus else (),
        command=server_command(model, scene.intent, candidate, scene.build, _device_flag(scene, names), cache_ram),
        env=env | scene.intent.overrides.env,
        expected=Expected(decode_tok_s=candidate.decode_tok_s),
        reasons=explain.reasons(scene.rig, model, scene.derivation, candidate),
        warnings=_unseen(scene) + _unknown(scene) + explain.warnings(scene.rig, model, scene.intent, scene.build, candidate, scene.asked),
    )


def _unseen(scene: _Scene) -> tuple[Reason, ...]:
    unseen = [gpu.name for gpu in scene.rig.usable_gpus if gpu.index not in scene.seen]
    if not unseen or scene.build is None or not scene.build.gpu:
        return ()
    return (Reason("unseen_gpu", f"{scene.build.label} does not see {', '.join(unseen)}: planned without"),)


def _unknown(scene: _Scene) -> tuple[Reason, ...]:
    # On a rig that is only described it is some other build that will run.
    return () if scene.rig.simulated else unknown_options(scene.asked, scene.build)


def _devices(scene: _Scene, candidate: Candidate) -> tuple[tuple[str, ...], dict[str, str]]:
    """What the engine will call the cards, and the environment that makes it so.

    With UUIDs in CUDA_VISIBLE_DEVICES a CUDA build sees these cards only, numbered in this order. Without UUIDs (a rig file, another
    backend) the names are those of the build's own list, which CUDA keeps when it orders by PCI bus.
    """
    names = tuple(scene.seen[gpu.index] for gpu in candidate.gpus)
    if not names or not names[0].startswith("CUDA"):
        return names, {}
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    if not _by_uuid(scene):
        return names, order
    uuids = ",".join(gpu.uuid or "" for gpu in candidate.gpus)
    return tuple(f"CUDA{index}" for index in range(len(names))), order | {"CUDA_VISIBLE_DEVICES": uuids}


def _by_uuid(scene: _Scene) -> bool:
    return not scene.rig.simulated and all(gpu.uuid for gpu in scene.derivation.cards)


def _device_flag(scene: _Scene, names: tuple[str, ...]) -> tuple[str, ...]:
    """`--device` only where it says something: cards left out, or another order than the engine's own."""
    if not names and scene.seen and scene.rig.usable_gpus and scene.derivation.own_cpu is None:
        return ("none",)
    if names and names[0].startswith("CUDA") and _by_uuid(scene):
        return ()
    return () if names == tuple(scene.seen.values()) else names


def _cache_ram_mib(rig: Rig, candidate: Candidate) -> int:
    """llama-server's prompt cache in RAM, reduced to what is left when RAM is tight."""
    if rig.ram_free_bytes is None:
        return DEFAULT_CACHE_RAM_MIB
    left = rig.ram_free_bytes - SYSTEM_RAM - candidate.host_bytes
    return min(DEFAULT_CACHE_RAM_MIB, max(left // MIB // 256 * 256, 0))

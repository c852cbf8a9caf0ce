"""What a llama-server command that somebody already has would do on a rig: nothing derived, nothing changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from rigtui.engines.llamacpp.arguments import NOT_COUNTED, Asked, RefusedError
from rigtui.engines.llamacpp.environment import visible
from rigtui.engines.llamacpp.fit import Fitted, fit
from rigtui.engines.llamacpp.kv import refusal
from rigtui.engines.llamacpp.own import overrides_of
from rigtui.engines.llamacpp.placement import HOST
from rigtui.engines.llamacpp.plan_parts import overflow_patterns, plan_devices, plan_host, whole
from rigtui.engines.llamacpp.settings import Device
from rigtui.engines.llamacpp.weights import weight_table
from rigtui.errors import UsageError
from rigtui.models.model import Model
from rigtui.planning.plan import EngineView, FitView, Plan, PlanDevice, Reason, Status, plan_model
from rigtui.planning.reserve import SYSTEM_RAM, runtime_bytes
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import MIB, clean, gib

NO_CONTEXT = "failed to create llama_context from model"
"""What `--fit` says where the context that it asks for is refused (llama.cpp 0.5.0-dev, common/fit.cpp)."""


def preview(rig: Rig, model: Model, asked: Asked, command: tuple[str, ...], env: Mapping[str, str] | None = None) -> Plan:
    """The plan that `command`, read as `asked`, amounts to with the variables `env`.

    Raises UsageError for what cannot be followed here, RefusedError for what llama.cpp refuses.
    """
    shown = visible(rig, env or {})
    cards = _cards(shown, asked)
    names, gpus = tuple(cards), tuple(cards.values())
    settings = asked.settings
    if settings.split_mode in ("row", "tensor"):
        raise UsageError(f"rigtui cannot preview --split-mode {settings.split_mode}; layer and none it can")
    refused = refusal(model, settings.kv_type, flash=settings.flash_attention)
    if refused:
        # No context can be made for `--fit` to look at: the server goes on with the arguments as they are.
        settings = replace(settings, fit=False)
    if asked.full_context:
        # Asked for in full: `--fit` must not reduce it. Without `--fit` it is that of one slot, to be divided.
        streams = settings.slots if settings.fit and not settings.unified_kv else 1
        settings = replace(settings, context=model.context_trained * streams)
    table = weight_table(model, overrides_of(asked, names))
    floor = [runtime_bytes(gpu, rig) for gpu in gpus]
    devices = [Device(name=gpu.name, free_bytes=max((gpu.free_bytes or 0) - size, 0)) for gpu, size in zip(gpus, floor, strict=True)]
    fitted = _loaded(fit(model, table, devices, settings), devices, refused)
    if refused and asked.settings.fit:
        fitted = replace(fitted, status="failed", message=NO_CONTEXT)
    headroom = [settings.target_mib(index) * MIB if settings.fit else 0 for index in range(len(gpus))]
    rows = plan_devices(gpus, names, floor, headroom, fitted, model.layers)
    return Plan(
        status=_status(rig, rows, fitted),
        engine="llama.cpp",
        model=plan_model(model),
        use_case="",
        context=settings.context_allocated(fitted.context),
        context_per_slot=settings.context_per_slot(fitted.context),
        parallel=settings.slots,
        kv_type=settings.kv_type,
        split_mode="none" if settings.split_mode == "none" else "layer",
        devices=rows,
        host=plan_host(fitted),
        engine_view=EngineView(
            ngl=fitted.ngl,
            tensor_split=fitted.tensor_split or whole(settings.tensor_split),
            override_tensor=overflow_patterns(fitted, names) or asked.written_overrides,
            pipeline_parallel=fitted.footprint.pipeline,
            flash_attention=fitted.footprint.flash,
            slots=settings.slots,
            fit=FitView(status=fitted.status, message=fitted.message),
        ),
        fit_target_mib=tuple(settings.target_mib(index) for index in range(len(gpus))) if fitted.status == "ok" else (),
        command=command,
        env=dict(env or {}),
        reasons=(Reason("preview", "what this command does as it stands; rigtui has derived nothing"),),
        warnings=(*_warnings(rig, model, asked, fitted, rows), *_refusals(refused)),
    )


def _loaded(fitted: Fitted, devices: Sequence[Device], refused: str | None) -> Fitted:
    """`fitted`, where the server comes as far as to load with it. Raises RefusedError where it does not, or makes no cache afterwards."""
    if fitted.status == "endless":
        raise RefusedError(
            f"--fit does not end here: {fitted.message}, since this mixture fits before the last but one of the devices; "
            "leave the last ones out (--device), change their order, or divide it yourself (-ngl and -ts)"
        )
    if refused and all(use.weights <= device.free_bytes for use, device in zip(fitted.footprint.devices, devices, strict=True)):
        # Weights are loaded before the cache is made: where they do not fit, the server never comes that far.
        raise RefusedError(refused)
    return fitted


def _cards(shown: Mapping[str, Gpu], asked: Asked) -> dict[str, Gpu]:
    """The cards the engine uses, by name, in its order: `--device`, else all it is shown; `--split-mode none` leaves one."""
    names = tuple(shown) if asked.devices is None else asked.devices
    if unknown := [name for name in names if name not in shown]:
        raise RefusedError(f"--device {clean(unknown[0])}: this rig has {', '.join(shown) or 'no GPU'}")
    if asked.settings.split_mode == "none" and names:
        if asked.main_gpu >= len(names):
            raise RefusedError(f"--main-gpu {asked.main_gpu}: there are only {len(names)} devices, counted from 0")
        names = (names[asked.main_gpu],)
    return {name: shown[name] for name in names}


def _status(rig: Rig, rows: tuple[PlanDevice, ...], fitted: Fitted) -> Status:
    if not rows:
        return "no_fit" if _lacks_ram(rig, fitted) else "offload" if rig.usable_gpus else "fits"
    if any(row.free_after_bytes < 0 for row in rows):
        return "no_fit"
    if rows and (fitted.footprint.offloaded_layers or fitted.footprint.host.kv or fitted.placement.home[-1] == HOST):
        return "offload"
    return "tight" if any(row.free_after_bytes < row.headroom_bytes for row in rows) else "fits"


def _lacks_ram(rig: Rig, fitted: Fitted) -> bool:
    return rig.ram_free_bytes is not None and fitted.footprint.host.total + SYSTEM_RAM > rig.ram_free_bytes


def _refusals(refused: str | None) -> list[Reason]:
    return [Reason("refused", f"with more memory it would end all the same: {refused}")] if refused else []


def _warnings(rig: Rig, model: Model, asked: Asked, fitted: Fitted, rows: tuple[PlanDevice, ...]) -> list[Reason]:
    found = []
    if _lacks_ram(rig, fitted):
        need, free = gib(fitted.footprint.host.total), gib(rig.ram_free_bytes)
        found.append(
            Reason("ram", f"{need} in RAM and {gib(SYSTEM_RAM)} for the system are more than the {free} free: it swaps, or is killed")
        )
    if asked.settings.context_per_slot(fitted.context) > model.context_trained:
        found.append(Reason("context_trained", f"the model was trained for {model.context_trained:,} tokens; beyond that it loses track"))
    if fitted.status == "failed":
        found.append(Reason("fit_off", f"--fit gives up ({fitted.message}), and the server goes on with the arguments as they are"))
    found += [
        Reason("no_fit", f"{row.name} lacks {round(-row.free_after_bytes / MIB):,} MiB: the load dies there")
        for row in rows
        if row.free_after_bytes < 0
    ]
    missing = [(what, option) for what, options in NOT_COUNTED.items() for option in options if option in asked.passed_over]
    found += [Reason("not_counted", f"{option} asks for {what}, which takes memory that is not counted here") for what, option in missing]
    beside = [option for option in dict.fromkeys(asked.passed_over) if option not in {given for _, given in missing}]
    if beside:
        found.append(Reason("passed_over", f"not looked at: {', '.join(beside)}"))
    return found

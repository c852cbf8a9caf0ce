"""Where a plan's layers go, in the words of a `models.conf`. Pure.

Which cards, by the numbers they have in the container, and what stays free on each.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from rigtui.export.arguments import take
from rigtui.export.exported import CannotSayError
from rigtui.intent.profile import Profile
from rigtui.planning.plan import Plan, PlanDevice
from rigtui.rig.rig import Gpu
from rigtui.text import clean

PLACING = ("device", "gpu_layers", "fit")
"""Options with which a user says where layers go."""
NO_GPU = "written on a rig without a GPU: the engine places the layers on the cards it finds"


class Card(Struct, frozen=True):
    """A device of the plan."""

    device: PlanDevice
    number: int
    """CUDA's number for it in the container."""
    at: int
    """Its place among the rig's cards."""
    target: str
    """FIT_TARGET, MiB."""


class Placed(Struct, frozen=True):
    """What a section says about placement."""

    values: dict[str, str]
    args: tuple[str, ...] = ()
    """For EXTRA_ARGS."""
    comments: tuple[str, ...] = ()


def fastest_first(gpus: Sequence[Gpu]) -> list[Gpu]:
    """The cards in the order CUDA gives them where nothing else is asked for (CUDA_DEVICE_ORDER=FASTEST_FIRST).

    The driver does not publish its measure. Memory bandwidth puts an RTX 4090 before an RTX 5070 Ti, as the driver does; equal cards
    stand in PCI order.
    """
    return sorted(gpus, key=lambda gpu: (-(gpu.bandwidth_gb_s or 0.0), gpu.index))


def cards(plan: Plan, gpus: Sequence[Gpu]) -> list[Card]:
    """The plan's devices in the plan's order; `gpus` are all of the rig, since the container sees all of them.

    Raises CannotSayError when a device of the plan is none of `gpus`.
    """
    targets = _targets(plan)
    left = list(enumerate(fastest_first([gpu for gpu in gpus if gpu.error is None])))
    if not gpus:
        return [Card(device, number, number, targets[number]) for number, device in enumerate(plan.devices)]
    found = []
    for device, target in zip(plan.devices, targets, strict=True):
        same = [item for item in left if device.uuid and item[1].uuid == device.uuid]
        same = same or [item for item in left if item[1].name == device.name and not (device.uuid and item[1].uuid)]
        if not same:
            raise CannotSayError(f"the plan is for {clean(device.name)}, which this rig does not have now")
        # Cards of one name without identity (a rig file) are told apart by what was free when the plan was made.
        best = min(same, key=lambda item: (abs((item[1].free_bytes or 0) - device.free_before_bytes), item[0]))
        left.remove(best)
        found.append(Card(device, best[0], best[1].index, target))
    return found


def _targets(plan: Plan) -> list[str]:
    """FIT_TARGET per device, in the plan's order; llama.cpp takes one value for all, and 1024 for those not named."""
    value, _ = take(list(plan.command), "fit_target")
    given = value.split(",") if value else [str(target) for target in plan.fit_target_mib]
    if len(given) == 1:
        return given * len(plan.devices)
    return (given + ["1024"] * len(plan.devices))[: len(plan.devices)]


def placed(profile: Profile, plan: Plan, gpus: Sequence[Gpu], args: list[str]) -> tuple[Placed, list[str]]:
    """What a section says about placement, and `args` without the options that say it.

    N_GPU_LAYERS and FIT are always stated: that tool's example file still switches fit off.
    """
    fit, args = take(args, "fit")
    layers, args = take(args, "gpu_layers")
    split, args = take(args, "split_mode")
    for name in ("fit_target", "device", "main_gpu"):
        _, args = take(args, name)
    if not plan.devices and not gpus and not any(take(list(profile.overrides.engine_args), name)[0] for name in PLACING):
        # Nobody chose the CPU: whoever has the file may have cards.
        return Placed({"N_GPU_LAYERS": "auto", "FIT": "on"}, comments=(NO_GPU,)), args
    if not plan.devices:
        # The CPU alone; with a GPU in the container llama.cpp would still use it for large batches.
        return Placed({"N_GPU_LAYERS": layers or "0", "FIT": fit or "off"}, ("--device", "none")), args
    found = cards(plan, gpus)
    written = plan.engine_view.written is True
    own = profile.overrides.gpus is not None
    # In another order the same targets are another placement: one that the plan chose is told like one of the user's.
    chose = plan.steered or [card.at for card in found] != sorted(card.at for card in found)
    wanted = (own or written or chose) and len(found) > 1
    if not wanted:
        found.sort(key=lambda card: card.number)
    extra: list[str] = []
    if split == "none" and len(found) == 1:
        extra += ["--split-mode", "none", "--main-gpu", str(found[0].number)]
    else:
        if split not in (None, "layer"):
            extra += ["--split-mode", split or ""]
        if [card.number for card in found] != list(range(len(gpus) or len(found))):
            extra += ["--device", ",".join(f"CUDA{card.number}" for card in found)]
    values = {"N_GPU_LAYERS": layers or "auto", "FIT": fit or "on", "FIT_TARGET": ",".join(card.target for card in found)}
    names = ", ".join(f"CUDA{card.number} {clean(card.device.name)}" for card in found)
    chosen = "the order of the division" if written else "the order you chose" if own else "the order of the plan"
    order = chosen if wanted else "the order CUDA has in the container (fastest first)"
    several = len(gpus) > 1 or len(found) > 1
    return Placed(values, tuple(extra), (f"FIT_TARGET in {order}: {names}",) if several else ()), args

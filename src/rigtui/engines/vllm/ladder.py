"""What may mend a failure of vLLM: constraints in the order they cost least. Pure.

A smaller share of the cards, as far as vLLM's own message allows; a context of the length that it names; no CUDA graphs; fewer requests at
once; one more stage; another engine. Failures that a smaller instance cannot mend (a file, an argument) have no steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from msgspec import UNSET, Struct

from rigtui.engines.ladder import Ladder, Setback, Step, halves
from rigtui.engines.vllm.arguments import Own, read
from rigtui.errors import UsageError
from rigtui.planning.constraints import Constraint, about
from rigtui.planning.plan import PlanDevice
from rigtui.rig.rig import Gpu

SHARE_STEP = 0.03
"""Of the cards, given up where vLLM does not say how much was short."""
SHARE_MARGIN = 0.01
SHARE_LEAST = 0.1
_MEMORY = frozenset({"out_of_vram", "no_fit", "context_too_long"})
_RAM = frozenset({"out_of_ram", "oom_killed"})
_CARD = frozenset({"gpu_lost", "driver"})


def ladder(setback: Setback) -> Ladder:
    """The steps for this failure, most promising first."""
    code = setback.failure.code
    if code in _MEMORY:
        kinds: tuple[_Kind, ...] = (_smaller_share, _shorter_context, _eager, _fewer_sequences, _more_stages, _other_engine)
    elif code in _RAM:
        kinds = (_smaller_share, _shorter_context, _fewer_sequences, _other_engine)
    elif code in _CARD:
        kinds = (_without_card, _other_engine)
    elif code == "unsupported_model":
        kinds = (_other_engine,)
    else:
        return Ladder()
    scene = _scene(setback)
    found = [kind(scene) for kind in kinds]
    steps = tuple(step for rungs in found for step in rungs.steps)
    return Ladder(steps=steps, in_the_way=tuple(dict.fromkeys(word for rungs in found for word in rungs.in_the_way)))


class _Scene(Struct, frozen=True, kw_only=True):
    setback: Setback
    own: Own
    device: PlanDevice | None
    """The card it failed on."""

    @property
    def happened(self) -> str:
        """The failure without what could be done about it."""
        return self.setback.failure.text.partition(";")[0]

    @property
    def gpu(self) -> Gpu | None:
        """The card as it is now."""
        if self.device is None:
            return None
        found = (gpu for gpu in self.setback.rig.gpus if (gpu.uuid, gpu.name) == (self.device.uuid or gpu.uuid, self.device.name))
        return next(found, None)


_Kind = Callable[[_Scene], Ladder]


def _scene(setback: Setback) -> _Scene:
    devices = setback.plan.devices
    named = [device for device in devices if device.device == setback.failure.device]
    try:
        own = read(setback.intent.overrides.engine_args)
    except UsageError:
        own = Own()
    return _Scene(setback=setback, own=own, device=named[0] if named else devices[0] if len(devices) == 1 else None)


def _one(text: str, *constraints: Constraint) -> Ladder:
    return Ladder(steps=(Step(text=text, constraints=constraints),))


def _smaller_share(scene: _Scene) -> Ladder:
    """To what the message allows; where memory ran out for real, by what was short."""
    failure, now = scene.setback.failure, scene.setback.plan.engine_view.utilization
    if failure.utilization is None and (failure.code != "out_of_vram" or failure.stage in ("weights", "kv")):
        # The share bounds the KV cache alone: weights that are too large stay so, and a cache that is too small would only shrink.
        return Ladder()
    if scene.own.utilization is not None:
        return Ladder(in_the_way=(f"--gpu-memory-utilization {scene.own.utilization:g}",))
    if now is UNSET:
        return Ladder()
    share = failure.utilization if failure.utilization is not None else now - _short(scene)
    share = math.floor(min(share, now) * 100 + 1e-6) / 100
    if share < SHARE_LEAST or share >= now:
        return Ladder()
    text = f"{scene.happened}: share of the cards {now:g} → {share:g}"
    return _one(text, Constraint(kind="utilization", value=share, text=text))


def _short(scene: _Scene) -> float:
    """The share of the card that was missing."""
    missing, gpu = scene.setback.failure.missing_bytes, scene.gpu
    if missing is None or gpu is None or not gpu.total_bytes:
        return SHARE_STEP
    return missing / gpu.total_bytes + SHARE_MARGIN


def _shorter_context(scene: _Scene) -> Ladder:
    setback, failure = scene.setback, scene.setback.failure
    now = setback.plan.context_per_slot
    if failure.context is None and failure.code not in _RAM:
        return Ladder()
    if setback.intent.overrides.context is not None:
        return Ladder(in_the_way=(f"--context {setback.intent.overrides.context}",))
    if scene.own.context is not None:
        return Ladder(in_the_way=(f"--max-model-len {scene.own.context}",))
    use_case = setback.intent.use_case
    least = min(use_case.context_least or now, setback.plan.model.context_trained or now)
    if failure.context is not None and failure.context < least:
        return Ladder(in_the_way=(f"--use-case {use_case.name} (it takes no less than {least:,} tokens of context)",))
    lengths: Iterator[int] = iter((failure.context,)) if failure.context is not None else halves(now, least)
    steps = []
    for context in lengths:
        text = f"{scene.happened}: context {now:,} → {context:,} tokens"
        steps.append(Step(text=text, constraints=(Constraint(kind="context", value=context, text=text),)))
    return Ladder(steps=tuple(steps))


def _over_model(scene: _Scene) -> bool:
    """More context was asked for than the model was made for: no memory would change that."""
    failure = scene.setback.failure
    return failure.code == "context_too_long" and failure.stage is None


def _needs_less(scene: _Scene) -> bool:
    """Whether an instance with smaller buffers could do: not where weights alone are too large."""
    return scene.setback.failure.stage != "weights" and not _over_model(scene)


def _eager(scene: _Scene) -> Ladder:
    if scene.setback.plan.engine_view.eager is not False or not _needs_less(scene):
        return Ladder()
    if scene.own.eager is False:
        return Ladder(in_the_way=("--no-enforce-eager",))
    text = f"{scene.happened}: without CUDA graphs"
    return _one(text, Constraint(kind="eager", text=text))


def _fewer_sequences(scene: _Scene) -> Ladder:
    now, own = scene.setback.plan.engine_view.slots, scene.setback.intent.overrides
    if now is None or now < 2 or not _needs_less(scene):
        return Ladder()
    if own.parallel is not None:
        return Ladder(in_the_way=(f"--parallel {own.parallel}",))
    if scene.own.sequences is not None:
        return Ladder(in_the_way=(f"--max-num-seqs {scene.own.sequences}",))
    fewer = min(scene.setback.failure.sequences or now // 2, now - 1)
    text = f"{scene.happened}: requests at once {now} → {fewer}"
    return _one(text, Constraint(kind="sequences", value=fewer, text=text))


def _more_stages(scene: _Scene) -> Ladder:
    setback, own = scene.setback, scene.own
    stages = len(setback.plan.engine_view.tensor_split or (0,))
    if _over_model(scene) or len(setback.rig.usable_gpus) <= max(stages, 1):
        return Ladder()
    if own.stages or own.tensor_parallel:
        return Ladder(
            in_the_way=(f"--pipeline-parallel-size {own.stages}" if own.stages else f"--tensor-parallel-size {own.tensor_parallel}",)
        )
    if setback.intent.overrides.gpus:
        return Ladder(in_the_way=(f"--gpus {','.join(setback.intent.overrides.gpus)}",))
    text = f"{scene.happened}: {stages + 1} stages"
    return _one(text, Constraint(kind="stages", value=stages + 1, text=text))


def _without_card(scene: _Scene) -> Ladder:
    gpu, own = scene.gpu, scene.setback.intent.overrides
    if gpu is None or len(scene.setback.rig.usable_gpus) < 2:
        return Ladder()
    if own.gpus:
        return Ladder(in_the_way=(f"--gpus {','.join(own.gpus)}",))
    text = f"{scene.happened}: without {gpu.name}"
    return _one(text, Constraint(kind="without_gpu", gpu=about(gpu), text=text))


def _other_engine(scene: _Scene) -> Ladder:
    if _over_model(scene):
        return Ladder()
    own = scene.setback.intent.overrides
    if scene.setback.intent.engine == "vllm":
        return Ladder(in_the_way=("--engine vllm",))
    if own.engine_args or own.env:
        # They speak this engine's language.
        return Ladder(in_the_way=(*(f"--engine-arg={word}" for word in own.engine_args), *own.env))
    text = f"{scene.happened}: another engine"
    return _one(text, Constraint(kind="engine", value="vllm", text=text))

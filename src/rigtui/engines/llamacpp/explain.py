"""Why a candidate is as it is, in sentences with the numbers that decided. Pure."""

from __future__ import annotations

from itertools import pairwise

from msgspec.structs import replace

from rigtui.engines.engine import Build
from rigtui.engines.llamacpp.arguments import Asked
from rigtui.engines.llamacpp.command import FIT_OFF, offers
from rigtui.engines.llamacpp.compute import alone, is_measured
from rigtui.engines.llamacpp.derive import Derivation
from rigtui.engines.llamacpp.fit import Fitted
from rigtui.engines.llamacpp.own import not_followed
from rigtui.engines.llamacpp.search import Candidate
from rigtui.engines.llamacpp.settings import Settings
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.plan import Reason
from rigtui.planning.reserve import SYSTEM_RAM, drives_display
from rigtui.rig.rig import Rig
from rigtui.text import counted, gib, mib

USUAL_UBATCH = 512


def reasons(rig: Rig, model: Model, derivation: Derivation, candidate: Candidate) -> tuple[Reason, ...]:
    """Why these cards, this split, this context, this headroom; of what fits nowhere, what is missing and what would help."""
    if candidate.status == "no_fit":
        return (Reason("no_fit", _shortfall(rig, derivation, candidate)), *_way_out(rig, model, derivation, candidate))
    return (*_cards(rig, derivation, candidate), *_context(model, derivation, candidate), *_headroom(candidate))


def _cards(rig: Rig, derivation: Derivation, candidate: Candidate) -> list[Reason]:
    if candidate.pinned:
        text = "your own arguments decide where things lie, or how; what is shown is what llama.cpp makes of them"
        return [Reason("own_arguments", text), *_ram(candidate)]
    if not candidate.gpus:
        why = "this rig has no GPU that can be used" if not rig.usable_gpus else "this build of the engine sees no GPU"
        why = f"your {derivation.own_cpu} leaves the GPUs out" if derivation.own_cpu else why
        return [Reason("cpu", f"{why}: the CPU computes and RAM holds all of it")]
    if len(candidate.gpus) == 1 and not candidate.in_vram:
        return [*_written(candidate), *_ram(candidate)]
    if len(candidate.gpus) == 1:
        text = f"all of it fits {candidate.gpus[0].name} with its headroom; one card alone spares every hand-over between cards"
        return [Reason("single_card", text)]
    found = [Reason("all_cards", _why_several(derivation, candidate))]
    if candidate.written:
        found += _written(candidate)
    elif candidate.steered:
        found.append(Reason("fast_first", _fast_first(candidate)))
    elif candidate.in_vram:
        way = "divides the layers by free memory" if candidate.fitted.fills is None else "fills card after card"
        found.append(Reason("fit_decides", f"llama.cpp's own --fit {way}; rigtui sets only what it must leave free"))
    return found + _ram(candidate)


def _why_several(derivation: Derivation, candidate: Candidate) -> str:
    if not candidate.in_vram:
        return f"even {len(candidate.gpus)} cards together do not hold it: all of them help, RAM takes the rest"
    alone = [c for c in derivation.candidates if len(c.gpus) == 1]
    if not alone:
        return f"{len(candidate.gpus)} cards, as you asked"
    serving = [c for c in alone if c.in_vram]
    if not serving:
        nearest = min(alone, key=lambda c: c.fitted.footprint.offloaded_layers)
        layers = nearest.fitted.footprint.offloaded_layers
        return f"no card alone holds it: on {nearest.gpus[0].name} {counted(layers, 'layer')} would lie in RAM"
    # Of a card that cannot hold it with one KV type, only another one may have been judged.
    alike = [c for c in serving if c.settings.kv_type == candidate.settings.kv_type]
    roomiest = max(alike or serving, key=lambda c: c.fitted.context)
    name, found = roomiest.gpus[0].name, f"{roomiest.fitted.context:,}"
    if not alike:
        coarser = "/".join(dict.fromkeys(roomiest.settings.kv_type))
        return f"no card alone holds it with this KV cache; {name} would hold {found} tokens with {coarser}"
    if roomiest.fitted.context < candidate.fitted.context:
        return f"no card alone holds {candidate.fitted.context:,} tokens of context; {name} would hold {found}"
    return f"{len(candidate.gpus)} cards together are faster than {name} alone"


def _fast_first(candidate: Candidate) -> str:
    fast = max(candidate.gpus, key=lambda gpu: gpu.bandwidth_gb_s or 0.0)
    targets = ",".join(map(str, candidate.settings.fit_target_mib))
    return f"{fast.name} is the fastest and is filled first: --fit-target {targets} asks for what the slower cards keep free anyway"


def _written(candidate: Candidate) -> list[Reason]:
    """Why `--fit` does not decide."""
    if not candidate.written:
        return []
    settings = candidate.settings
    shares = f"-ts {','.join(f'{share:g}' for share in settings.tensor_split)}" if settings.tensor_split else ""
    moved = f"-ncmoe {settings.experts_in_ram}" if settings.experts_in_ram else ""
    text = (
        "llama.cpp's --fit does not count this model's blocks for predicting further tokens and would leave its first block in RAM, so "
        f"rigtui writes the division itself ({' '.join(filter(None, (shares, moved)))}): the headroom is kept as planned, but should less "
        "memory be free by then, llama.cpp moves nothing by itself"
    )
    if settings.experts_in_ram and not candidate.fitted.footprint.offloaded_layers:
        text += "; -ncmoe moves nothing here, it spares the copies for pipeline parallelism, which do not fit"
    return [Reason("written", text)]


def _ram(candidate: Candidate) -> list[Reason]:
    taken = candidate.fitted.footprint
    if not taken.offloaded_layers:
        return []
    experts = any(part for part, _ in candidate.fitted.placement.moved.values())
    layers = counted(taken.offloaded_layers, "layer")
    what = f"{layers}, wholly or in part" if candidate.pinned else f"the experts of {layers}" if experts else layers
    cards = "the card" if len(candidate.gpus) == 1 else "the cards"
    why = "" if candidate.pinned else f", which {cards} cannot hold"
    return [Reason("offload", f"in RAM: {what} ({gib(taken.host.weights)} with the embedding){why}")]


def _shortfall(rig: Rig, derivation: Derivation, candidate: Candidate) -> str:
    short = [
        f"{gpu.name} lacks {mib(headroom - after)}"
        for gpu, headroom, after in zip(candidate.gpus, candidate.headroom, candidate.free_after, strict=True)
        if after < headroom
    ]
    ram = rig.ram_free_bytes
    if ram is not None and candidate.host_bytes + SYSTEM_RAM > ram:
        need = gib(candidate.host_bytes)
        short.append(f"RAM: {need} are needed besides {gib(SYSTEM_RAM)} for the system, {gib(ram)} are free")
    want = derivation.wants
    tokens = want.context * want.slots if want.context_fixed else candidate.fitted.context
    context = f"with {tokens:,} tokens of context"
    return f"it does not fit {context}: " + ("; ".join(short) if short else "layers would have to go to RAM")


def _way_out(rig: Rig, model: Model, derivation: Derivation, candidate: Candidate) -> list[Reason]:
    """What would fit instead, from what is missing."""
    over = sum(max(wanted - after, 0) for wanted, after in zip(candidate.headroom, candidate.free_after, strict=True))
    if rig.ram_free_bytes is not None:
        over += max(candidate.host_bytes + SYSTEM_RAM - rig.ram_free_bytes, 0)
    left = model.weights_bytes - over
    own_context, takes = derivation.wants.context_fixed, _context_bytes(candidate.fitted)
    found = []
    if over > 0 and left > 0:
        found.append(
            Reason(
                "smaller",
                f"a quantization of the same model of at most about {gib(left)} would fit; this one has {gib(model.weights_bytes)}",
            )
        )
    elif over and not (own_context and over <= takes):
        found.append(Reason("smaller", "a smaller model is needed: not even the context fits beside what is taken"))
    if own_context:
        much = f" and take {gib(takes)}" if over <= takes else ""
        found.append(Reason("own_context", f"the {derivation.wants.context:,} tokens of context are your own setting{much}; less may fit"))
    return found


def _context_bytes(fitted: Fitted) -> int:
    """What grows with the context: the cache, and the buffers it is computed in."""
    taken = fitted.footprint
    return sum(use.kv + use.compute for use in (*taken.devices, taken.host))


def _context(model: Model, derivation: Derivation, candidate: Candidate) -> list[Reason]:
    want, settings = derivation.wants, candidate.settings
    per_slot = settings.context_per_slot(candidate.fitted.context)
    found = []
    if want.context_fixed:
        found.append(Reason("context", f"{want.context:,} tokens of context, as you set"))
        if per_slot != want.context:
            found.append(Reason("context_rounded", f"llama.cpp rounds your {want.context:,} tokens of context up to {per_slot:,}"))
    elif per_slot < want.context and candidate.in_vram:
        found.append(Reason("context", f"{per_slot:,} tokens of context are the most that fit; {want.context:,} are wanted"))
    elif per_slot < want.context:
        found.append(
            Reason("context", f"{per_slot:,} tokens of context; the {want.context:,} wanted would cost more speed or RAM than there is")
        )
    elif want.context == model.context_trained:
        found.append(Reason("context", f"{per_slot:,} tokens of context: all the model was trained for"))
    else:
        found.append(Reason("context", f"{per_slot:,} tokens of context, as the use case wants"))
    if settings.kv_type != ("f16", "f16") and not want.kv_fixed:
        found.append(
            Reason("kv_type", f"KV cache as {'/'.join(dict.fromkeys(settings.kv_type))}: with f16 it would not all fit, or be slower")
        )
    return found


def _headroom(candidate: Candidate) -> list[Reason]:
    found = []
    for gpu, headroom, after in zip(candidate.gpus, candidate.headroom, candidate.free_after, strict=True):
        if after < headroom:
            found.append(Reason("headroom", f"{gpu.name} keeps {mib(after)} free, less than the {mib(headroom)} that are good"))
            continue
        why = "it drives the desktop, which grows" if drives_display(gpu) else "nothing else uses it"
        found.append(Reason("headroom", f"{gpu.name} keeps {mib(headroom)} free: {why}"))
    return found


def warnings(rig: Rig, model: Model, intent: Intent, build: Build | None, candidate: Candidate, asked: Asked | None) -> tuple[Reason, ...]:
    """What the user should know before launching; `asked` are the user's own arguments."""
    own = intent.overrides
    found: list[Reason] = []
    if build is None and not rig.simulated:
        found.append(Reason("no_engine", "no llama.cpp is installed: put llama-server on PATH, or `pip install 'rigtui[engine]'`"))
    elif build is not None and rig.usable_gpus and not build.gpu:
        found.append(Reason("cpu_build", _cpu_build(rig, build)))
    elif build is not None and candidate.gpus and not offers(build, "--fit-target"):
        found.append(Reason("old_build", f"{build.label} has no --fit-target: it cannot be told what to leave free; a newer build can"))
    if candidate.expected is not None:
        found.append(Reason("verify_differs", _difference(candidate, candidate.expected)))
    if candidate.gpus:
        found += _fit_switched_off(own.engine_args)
        found += [Reason("not_followed", f"the plan does not follow your {text}") for text in not_followed(asked)]
    if own.batch and own.ubatch and own.ubatch > own.batch:
        text = f"your micro-batch of {own.ubatch:,} counts as {own.batch:,}: llama.cpp takes no more than the batch at once"
        found.append(Reason("ubatch_over_batch", text))
    if candidate.settings.ubatch > USUAL_UBATCH:
        found.append(Reason("ubatch", _ubatch_cost(model, candidate)))
    if own.context and own.context > model.context_trained:
        found.append(Reason("context_trained", f"the model was trained for {model.context_trained:,} tokens; beyond that it loses track"))
    if model.embedding_model and not intent.use_case.embedding:
        found.append(Reason("embedding_model", f"{model.name} gives vectors, not text; the use case 'embedding' suits it"))
    if (intent.use_case.embedding or model.embedding_model) and candidate.settings.ubatch < candidate.settings.context_per_slot(
        candidate.fitted.context
    ):
        found.append(
            Reason("embedding_ubatch", f"inputs longer than {candidate.settings.ubatch} tokens are refused; --ubatch N raises that")
        )
    if candidate.gpus and not is_measured(model):
        found.append(Reason("compute_estimate", f"compute buffers of '{model.architecture}' models are an upper estimate"))
    if model.recurrent is not None and not model.recurrent.known:
        found.append(
            Reason("state_estimate", f"rigtui does not know the recurrent state of '{model.architecture}' models; its size is left out")
        )
    found += [Reason("model", note) for note in model.notes]
    return tuple(found)


def _difference(candidate: Candidate, expected: Fitted) -> str:
    """Where the engine's own answer and rigtui's expectation part."""

    def layers(fitted: Fitted) -> str:
        counts = [sum(1 for home in fitted.placement.home[:-1] if home == index) for index in range(len(candidate.gpus))]
        ram = fitted.footprint.offloaded_layers
        return ", ".join(map(str, counts)) + (f" and {ram} at least in part in RAM" if ram else "")

    return (
        f"the engine itself places the layers otherwise than expected: {layers(candidate.fitted)} on the cards in this order "
        f"instead of {layers(expected)}; its own figures are shown"
    )


def _cpu_build(rig: Rig, build: Build) -> str:
    if rig.simulated:
        return f"{build.label} sees no GPU: launched here, the engine runs on this machine's CPU"
    return (
        f"{build.label} sees no GPU, so everything runs on the CPU; install a llama-server with CUDA and put it on PATH "
        "(the xllamacpp wheels for CUDA: pip install xllamacpp --index-url https://xorbitsai.github.io/xllamacpp/whl/cu128)"
    )


def _fit_switched_off(arguments: tuple[str, ...]) -> list[Reason]:
    found = []
    for argument in arguments:
        option = argument.split("=", 1)[0]
        if option in FIT_OFF:
            found.append(
                Reason(
                    "fit_off", f"your {option} pins {FIT_OFF[option]}, and --fit changes nothing beside it; without it rigtui finds a place"
                )
            )
    if any(a in ("-fit", "--fit") and b == "off" for a, b in pairwise(arguments)):
        found.append(Reason("fit_off", "your --fit off leaves the split to free memory alone; without it rigtui finds a place"))
    return found


def _ubatch_cost(model: Model, candidate: Candidate) -> str:
    settings = candidate.settings
    context, pipeline = candidate.fitted.context, candidate.fitted.footprint.pipeline
    usual = alone(model, _with_ubatch(candidate, USUAL_UBATCH), context, pipeline=pipeline)
    cost = alone(model, settings, context, pipeline=pipeline) - usual
    each = "each card" if len(candidate.gpus) > 1 else "the compute buffer"
    return f"a micro-batch of {settings.ubatch} costs {mib(cost)} more on {each} than the usual {USUAL_UBATCH}"


def _with_ubatch(candidate: Candidate, ubatch: int) -> Settings:
    return replace(candidate.settings, ubatch=ubatch)

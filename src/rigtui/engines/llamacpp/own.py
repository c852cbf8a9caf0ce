"""The user's own llama-server arguments in a derivation: what they ask for is wanted, and what they pin is judged as they pin it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from rigtui.engines.llamacpp.arguments import Asked, RefusedError, read_command
from rigtui.engines.llamacpp.kv import refusal
from rigtui.engines.llamacpp.placement import HOST
from rigtui.engines.llamacpp.search import Candidate, Search
from rigtui.engines.llamacpp.settings import Settings
from rigtui.engines.llamacpp.weights import Override
from rigtui.errors import UsageError
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.text import clean

_PINS = {
    "gpu_layers": ("ngl",),
    "split": ("tensor_split",),
    "split_mode": ("split_mode",),
    "fit": ("fit",),
    "fit_context": ("fit_context_least",),
    "flash_attention": ("flash_attention", "flash_always"),
    "kv_in_ram": ("kv_offload",),
    "swa_full": ("swa_full",),
    "embedding": ("embedding",),
    "unified": ("unified_kv",),
}
"""What an argument of the user's decides besides the wishes that a profile has words for, and the settings it is."""
_MOVES = ("override", "cpu_experts", "all_cpu_experts", "cpu_dense")
_NOT_FOLLOWED = {"device": "--device; choose cards with --gpus", "main_gpu": "--main-gpu; choose the card with --gpus"}


def said_of(arguments: Sequence[str]) -> Asked | None:
    """The user's own arguments as llama-server reads them; None where there are none, or it refuses them and will say so itself."""
    if not arguments:
        return None
    try:
        return read_command(("llama-server", *arguments))
    except UsageError:
        return None


def as_wished(intent: Intent, model: Model, asked: Asked | None) -> Intent:
    """`intent` with the arguments as settings that have the same meaning there: they stand last in the command, so they win."""
    if asked is None:
        return intent
    own, settings, said = intent.overrides, asked.settings, asked.said
    slots = settings.slots if "parallel" in said else own.parallel or intent.use_case.parallel
    wished: dict[str, object] = {}
    if "parallel" in said:
        wished["parallel"] = slots
    if asked.full_context:
        wished["context"] = model.context_trained
    elif "context" in said and settings.context:
        wished["context"] = settings.context if settings.unified_kv else max(settings.context // slots, 1)
    if {"kv_k", "kv_v"} & said:
        before = own.kv_type or ("f16", "f16")
        wished["kv_type"] = tuple(
            now if name in said else then for name, now, then in zip(("kv_k", "kv_v"), settings.kv_type, before, strict=True)
        )
    if "batch" in said:
        wished["batch"] = settings.batch
    if "ubatch" in said:
        wished["ubatch"] = settings.ubatch
    if "fit_target" in said and min(settings.fit_target_mib) >= 0:
        wished["fit_target_mib"] = settings.fit_target_mib
    return replace(intent, overrides=replace(own, **wished))


def pins_of(asked: Asked | None) -> tuple[str, ...]:
    """Our names of the arguments that pin where things lie or how they are computed; empty where nothing is pinned."""
    if asked is None or asked.settings.split_mode in ("row", "tensor"):
        return ()
    return tuple(sorted(_decides(asked) & {*_PINS, *_MOVES}))


def not_followed(asked: Asked | None) -> tuple[str, ...]:
    """Arguments that decide memory in a way rigtui does not derive with, each with what to do instead."""
    if asked is None:
        return ()
    found = [text for name, text in _NOT_FOLLOWED.items() if name in asked.said and asked.devices != ()]
    mode = asked.settings.split_mode
    return (*found, f"--split-mode {mode}; with layer or none rigtui knows what llama.cpp does") if mode in ("row", "tensor") else (*found,)


def overrides_of(asked: Asked, names: Sequence[str]) -> tuple[Override, ...]:
    """The `-ot` of a command, its buffers as positions among the devices `names`. Raises RefusedError for what is no buffer or pattern."""
    places = {name: position for position, name in enumerate(names)} | {"CPU": HOST}
    found = []
    for pattern, buffer in asked.overrides:
        if buffer not in places:
            raise RefusedError(f"-ot …={clean(buffer)}: no such buffer here; there are {', '.join(places)}")
        try:
            re.compile(pattern)
        except re.error as error:
            raise RefusedError(f"-ot {clean(pattern)} is not a regular expression: {error}") from error
        found.append(Override(pattern, places[buffer]))
    return tuple(found)


def as_pinned(
    candidates: Iterable[Candidate],
    asked: Asked,
    search_with: Callable[[Candidate, tuple[Override, ...]], Search],
    names_of: Callable[[Candidate], Sequence[str]],
) -> tuple[Candidate, ...]:
    """Every set of cards and cache type among `candidates`, judged with what the user pinned.

    `search_with` gives the search that knows a candidate's headroom, with these overrides; `names_of` what the engine calls its cards.
    Raises UsageError where llama.cpp refuses what is pinned with every cache type that is allowed.
    """
    found: dict[object, Candidate] = {}
    refused: str | None = None
    for candidate in candidates:
        pinned = _with_pins(candidate.settings, asked)
        key = (tuple(gpu.index for gpu in candidate.gpus), pinned.kv_type)
        search = search_with(candidate, overrides_of(asked, names_of(candidate)))
        if problem := refusal(search.model, pinned.kv_type, flash=pinned.flash_attention):
            refused = problem
        elif key not in found:
            found[key] = _halved(search, candidate, pinned)
    if not found and refused:
        raise UsageError(f"llama.cpp refuses your arguments: {refused}")
    return tuple(found.values())


def _with_pins(settings: Settings, asked: Asked) -> Settings:
    fields = [field for name in _PINS.keys() & _decides(asked) for field in _PINS[name]]
    return replace(settings, **{field: getattr(asked.settings, field) for field in fields})


def _decides(asked: Asked) -> frozenset[str]:
    """What the arguments say; slots that share one cache, as automatic ones do, are said too."""
    return asked.said | {"unified"} if "parallel" in asked.said and asked.settings.unified_kv else asked.said


def _halved(search: Search, candidate: Candidate, settings: Settings) -> Candidate:
    """The wanted context, halved until it fits or is the least."""
    want = search.want
    context = want.context
    while True:
        total = context if settings.unified_kv else context * want.slots
        judged = search.judged(candidate.gpus, replace(settings, context=total))
        if judged.status != "no_fit" or want.context_fixed or context <= want.context_least:
            return search.rated(replace(judged, pinned=True))
        context = max(context // 2, want.context_least)

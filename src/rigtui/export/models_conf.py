"""Profiles and their plans as a `models.conf` (nerdpudding/llama_cpp). Pure.

That tool starts `llama-server` in a container from the keys of a section and the defaults of its docker-compose.yml, through a `.env`
file that docker compose interpolates and a shell that splits the arguments at blanks. Everything in which a plan differs from those
defaults is stated; what cannot pass that way is refused with the reason.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from msgspec import Struct

from rigtui.errors import RigtuiError
from rigtui.export.arguments import BARE, after_program, take
from rigtui.export.conf_file import KEYS, Section, render, valid_id
from rigtui.export.conf_placement import placed
from rigtui.export.conf_profiles import DEFAULT_KV, as_written, kept_values, own_description
from rigtui.export.exported import CannotSayError, Exported
from rigtui.intent.profile import Profile
from rigtui.planning.plan import Plan
from rigtui.rig.rig import Gpu
from rigtui.text import clean, slug

MODELS_DIR_COMMENT = "# MODEL is relative to"
HEADING = "# Written by `rigtui export --to models.conf`; `rigtui import` reads it back."

# What neither docker compose's .env nor the container's unquoted `exec llama-server ${ARGS}` passes on unchanged.
_UNSAYABLE = re.compile(r"[\s'\"`$\x00-\x1f\x7f-\x9f]")
# Set for every plan; the container numbers the cards by itself.
_OWN_ENV = {"CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES"}
# Where rigtui says the default all the same.
_LLAMA_DEFAULTS = {"batch": "2048", "ubatch": "512"}
_SPELLED = {"batch": "-b", "ubatch": "-ub", "parallel": "-np"}


class ConfOptions(Struct, frozen=True, kw_only=True):
    """How a file is written."""

    models_dir: str | None = None
    """The folder that the container mounts as /models, absolute. None: the one that all models lie in."""
    gpus: tuple[Gpu, ...] = ()
    """Every card of the rig, since the container sees all of them. Empty: those of the plan."""


def write(entries: Sequence[Exported], options: ConfOptions) -> str:
    """The text of a models.conf with one section per entry.

    Raises RigtuiError with the profile and the reason for what the format cannot say.
    """
    models_dir = options.models_dir or _models_dir(entries, options.gpus)
    sections: dict[str, Section] = {}
    for entry in entries:
        try:
            section = _section(entry, options, models_dir)
            if section.id in sections:
                raise CannotSayError(f"[{section.id}] is taken by another profile of this file; rename one")
        except CannotSayError as reason:
            raise RigtuiError(f"{clean(entry.profile.name)} cannot be written to a models.conf: {reason}") from None
        sections[section.id] = section
    heading = f"{HEADING}\n{MODELS_DIR_COMMENT} {clean(models_dir)}" if models_dir else HEADING
    return render(list(sections.values()), heading)


def _models_dir(entries: Sequence[Exported], gpus: Sequence[Gpu]) -> str | None:
    """The folder above every model that is written from its plan; where some come from an import, theirs."""
    for profile, _ in entries:
        if written := as_written(profile, gpus):
            return profile.model.removesuffix("/" + written.values["MODEL"]) or "/"
    folders = [posixpath.dirname(plan.model.path) for _, plan in entries if plan is not None and posixpath.isabs(plan.model.path)]
    return posixpath.commonpath(folders) if folders else None


def _section(entry: Exported, options: ConfOptions, models_dir: str | None) -> Section:
    profile, plan = entry
    identity = profile.name if valid_id(profile.name) else slug(profile.name)
    if written := as_written(profile, options.gpus):
        if options.models_dir is not None:
            written.values["MODEL"] = _model(profile.model, options.models_dir)
        return Section(id=identity, values=written.values)
    if plan is None:
        raise CannotSayError("it has no plan")
    _refuse(profile, plan)
    args = after_program(plan.command)
    for name in ("model", "host", "port", "alias", "verbosity", "load_mode"):
        _, args = take(args, name)
    context, args = take([arg for arg in args if arg not in BARE], "context")
    where, args = placed(profile, plan, options.gpus, args)
    values = {"MODEL": _model(plan.model.path, models_dir), "CTX_SIZE": context or str(plan.context), **where.values}
    extra = [*where.args, *_differing(args)]
    values["EXTRA_ARGS"] = " ".join(_sayable(arg, models_dir) for arg in extra)
    values |= _words(profile, plan)
    return Section(id=identity, values={key: value for key, value in values.items() if value}, comments=where.comments)


def _refuse(profile: Profile, plan: Plan) -> None:
    if plan.engine != "llama.cpp":
        raise CannotSayError(f"it runs with {plan.engine}, and models.conf starts llama-server only")
    if plan.status == "no_fit":
        raise CannotSayError("it does not fit this rig")
    if not plan.model.path.lower().endswith(".gguf"):
        raise CannotSayError(f"its model is no GGUF file ({clean(plan.model.path)})")
    if env := sorted({*profile.overrides.env, *plan.env} - _OWN_ENV):
        raise CannotSayError(f"models.conf has no key for the environment variable {clean(env[0])}; leave it out of the profile")
    if any(device.kind != "cuda" for device in plan.devices):
        raise CannotSayError("it uses devices other than the CUDA cards that the container sees")


def _differing(args: list[str]) -> list[str]:
    """The arguments that differ from the container's own: q8_0 for K and V, flash attention on, else llama-server's defaults."""
    stated: list[str] = []
    parallel, args = take(args, "parallel")
    if parallel is not None:
        stated += [_SPELLED["parallel"], parallel]
    for name, default in _LLAMA_DEFAULTS.items():
        value, args = take(args, name)
        if value not in (None, default):
            stated += [_SPELLED[name], value or ""]
    for name, flag in (("kv_k", "--cache-type-k"), ("kv_v", "--cache-type-v")):
        value, args = take(args, name)
        if (value or "f16") != DEFAULT_KV:
            stated += [flag, value or "f16"]
    flash, args = take(args, "flash_attention")
    if (flash or "auto") not in ("on", "1", "true", "enabled"):
        stated += ["--flash-attn", flash or "auto"]
    return stated + args


def _words(profile: Profile, plan: Plan) -> dict[str, str]:
    """The keys for people; of an imported profile also those that the tool does not know."""
    kept = kept_values(profile)
    words = {"NAME": kept.get("NAME") or clean(profile.name), "DESCRIPTION": own_description(profile), "SPEED": kept.get("SPEED", "")}
    if plan.expected.decode_tok_s and plan.expected.basis == "measured":
        words["SPEED"] = f"~{plan.expected.decode_tok_s:.0f} t/s"
    return words | {key: value for key, value in kept.items() if key not in KEYS}


def _model(path: str, models_dir: str | None) -> str:
    """MODEL: the path below the models folder."""
    if models_dir is None or not posixpath.isabs(path):
        raise CannotSayError(f"the path of its model, {clean(path)}, is not known from the root")
    relative = posixpath.relpath(path, models_dir)
    if relative == ".." or relative.startswith("../"):
        raise CannotSayError(f"its model {clean(path)} lies outside the models folder {clean(models_dir)}; name that with --models-dir")
    return _sayable(relative, None)


def _sayable(arg: str, models_dir: str | None) -> str:
    """An argument as it can stand in the file; a path below the models folder as the container sees it."""
    if not arg:
        raise CannotSayError("an empty argument cannot pass the container's shell")
    if arg.startswith("/"):
        if models_dir is None or not arg.startswith(models_dir.rstrip("/") + "/"):
            raise CannotSayError(f"the container does not see {clean(arg)}; move it below the models folder")
        arg = posixpath.join("/models", posixpath.relpath(arg, models_dir))
    if _UNSAYABLE.search(arg) or arg.startswith("#"):
        raise CannotSayError(
            f"`{clean(arg)}` has a blank, a quote, a dollar sign or a comment mark, which docker compose or the container's shell changes"
        )
    return arg

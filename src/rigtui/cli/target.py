"""What a command is about: options, model or profile, rig and build, brought together into one plan."""

from __future__ import annotations

import argparse
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from rigtui.cli.output import note
from rigtui.engines.engine import Build
from rigtui.errors import MissingError, RigtuiError, UsageError
from rigtui.intent.intent import Intent
from rigtui.intent.profile import Profile
from rigtui.models.model import Model
from rigtui.planning.constraints import Constraint
from rigtui.planning.outcomes import GivenUp
from rigtui.planning.plan import Plan
from rigtui.rig.rig import Rig
from rigtui.text import tokens


class Target(Struct, frozen=True, kw_only=True):
    """Everything a launch needs to know."""

    rig: Rig
    model: Model
    intent: Intent
    builds: tuple[Build, ...]
    plan: Plan
    served: Model
    """`model`, or another file of it where the engine of `model` was given up on an earlier run."""
    given_up: GivenUp | None = None
    constraints: tuple[Constraint, ...] = ()
    """What the plan respects beside the user's settings."""
    profile: str | None = None

    @property
    def build(self) -> Build | None:
        """The build the plan is for."""
        return next((build for build in self.builds if build.engine == self.plan.engine), None)


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """The options that `plan` and `run` share."""
    options = parser.add_argument_group("what you want (rigtui never changes what you set here)")
    options.add_argument("--engine", choices=("auto", "llama.cpp", "vllm", "ollama"), help="which engine (default: auto)")
    options.add_argument(
        "--use-case", metavar="U", help="chat, coding, long, benchmark, batch, embedding or one of your own (default: chat)"
    )
    options.add_argument("--context", type=_context, metavar="N|auto", help="tokens per request, such as 65536 or 64k")
    options.add_argument("--parallel", type=_number_or_auto, metavar="N|auto", help="requests at the same time")
    options.add_argument("--kv-type", type=_kv_type, metavar="T[,T]", help="KV cache type, one for both or K,V (f16, q8_0, q4_0 …)")
    options.add_argument("--gpus", type=_words, metavar="ID[,ID…]", help="only these cards, in this order: number, UUID or name")
    options.add_argument("--fit-target", type=_numbers, metavar="MIB[,MIB…]", help="MiB to leave free, for all cards or one for each")
    options.add_argument("--batch", type=_number, metavar="N", help="logical batch (-b)")
    options.add_argument("--ubatch", type=_number, metavar="N", help="micro-batch (-ub)")
    options.add_argument(
        "--engine-arg", action="append", default=[], metavar="ARG", help="passed to the engine as it is; repeatable (--engine-arg=-x)"
    )


def _number(text: str) -> int:
    try:
        number = int(text.replace(",", "").replace("_", ""))
    except ValueError:
        number = 0
    if not 0 < number < 1 << 31:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return number


def _context(text: str) -> int | str:
    if text == "auto":
        return text
    number = tokens(text) or 0
    if not 0 < number < 1 << 31:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number of tokens such as 65536 or 64k nor auto")
    return number


def _number_or_auto(text: str) -> int | str:
    return "auto" if text == "auto" else _number(text)


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(part) if part.strip().isdecimal() else -1 for part in text.split(","))
    if not all(0 <= number < 1 << 31 for number in numbers):
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of MiB such as 128,1024")
    return numbers


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _kv_type(text: str) -> tuple[str, str]:
    parts = _words(text)
    if len(parts) not in (1, 2) or not all(parts):
        raise argparse.ArgumentTypeError(f"'{text}' is not one type or two, such as q8_0 or f16,q8_0")
    return parts[0], parts[-1]


def target(args: argparse.Namespace, *, here: bool = False) -> Target:
    """Resolve the command line into a plan on a fresh reading of the rig; `here`: to be launched on this machine, whatever the rig.

    Raises RigtuiError and its kin, one sentence each; a plan with status `no_fit` is returned, not raised.
    """
    from rigtui.runs.builds import builds_for
    from rigtui.runs.memory import derive
    from rigtui.runs.reading import current_rig

    model, intent = wanted(args, far=not here)
    rig = current_rig(args, replace=getattr(args, "replace", False))
    builds = builds_for(model, intent, needed=here, say=note)
    derived = derive(rig, model, intent, builds, here=here)
    return Target(
        rig=rig,
        model=model,
        intent=intent,
        builds=builds,
        plan=derived.plan,
        served=derived.model,
        given_up=derived.given_up,
        constraints=derived.constraints,
        profile=intent.profile,
    )


def wanted(args: argparse.Namespace, *, far: bool = False) -> tuple[Model, Intent]:
    """The model and the intent: a profile's with the options on top, or the options alone; `far`: a model may be on the hub only."""
    from rigtui.intent.use_cases import load_use_cases, use_case

    profile = _profile(args.model, args)
    if profile is None:
        intent = Intent(use_case=use_case(args.use_case or "chat"))
        return _model(args.model, far=far), _with_options(intent, args)
    intent = profile.intent(load_use_cases())
    if args.use_case:
        intent = replace(intent, use_case=use_case(args.use_case))
    try:
        return _model(profile.model), _with_options(intent, args)
    except MissingError as missing:
        # A profile that came with rigtui must not hide a model of the same name that is here.
        try:
            return _model(args.model), _with_options(Intent(use_case=use_case(args.use_case or "chat")), args)
        except RigtuiError:
            if not far:
                raise missing from None
    return _model(profile.model, far=True), _with_options(intent, args)


def _with_options(intent: Intent, args: argparse.Namespace) -> Intent:
    own = {
        name: None if value == "auto" else value
        for name, value in {
            "context": args.context,
            "parallel": args.parallel,
            "kv_type": args.kv_type,
            "gpus": args.gpus,
            "fit_target_mib": args.fit_target,
            "batch": args.batch,
            "ubatch": args.ubatch,
        }.items()
        if value is not None
    }
    if args.engine_arg:
        own["engine_args"] = (*intent.overrides.engine_args, *args.engine_arg)
    return replace(
        intent,
        overrides=replace(intent.overrides, **own),
        engine=args.engine or intent.engine,
        host=getattr(args, "host", None) or intent.host,
        port=getattr(args, "port", None),
        api_key_file=getattr(args, "api_key_file", None),
    )


def _profile(name: str, args: argparse.Namespace) -> Profile | None:
    """The profile called `name`, or None when `name` can only be a model."""
    from rigtui.intent.profiles import all_profiles, directories, file_of, load

    if name.startswith(("hf:", "ollama:")) or "/" in name or name.endswith(".gguf") or Path(name).exists():
        return None
    dirs = directories(args.profiles_dir)
    for directory in dirs:
        path = file_of(name, directory)
        if path.is_file() and (profile := load(path)).name == name:
            return profile
    return next((entry.profile for entry in all_profiles(dirs).entries if entry.profile.name == name), None)


def _model(reference: str, *, far: bool = False) -> Model:
    from rigtui.intent.config import load_config
    from rigtui.models.resolve import resolve

    try:
        return resolve(reference, load_config().models.folders)
    except MissingError as error:
        if not far or not reference.startswith("hf:"):
            raise
        missing = error
    from rigtui.models.hub import fetch

    repository, _, name = reference.removeprefix("hf:").partition(":")
    note(f"{reference} is not on this machine: reading its header from the hub")
    try:
        return fetch(repository, name)
    except (MissingError, UsageError):
        raise
    except RigtuiError as error:
        raise MissingError(f"{missing}; {error}") from error

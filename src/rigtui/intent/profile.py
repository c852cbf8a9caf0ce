"""A profile, as a value and as the text of its TOML file: `[profile]` and `[overrides]`, nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from rigtui.errors import UsageError
from rigtui.files import as_text, convert, parse_toml
from rigtui.intent.intent import KV_TYPES, Count, EngineName, Intent, Overrides, Tokens, UseCase
from rigtui.intent.use_cases import choose
from rigtui.text import clean, nearest, tokens

MAX_NAME = 100

# Words that end a part of a name: HF_TOKEN, OPENAI_APIKEY, AWS_SECRET_ACCESS_KEY, but not TOKENIZERS_PARALLELISM.
_SECRET_NAME = re.compile(r"(TOKEN|KEY|SECRET|PASSWORD|PASSWD)S?(?=_|$)", re.IGNORECASE)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_ARGS = ("--api-key", "--hf-token", "-hft")


# Negative targets are used on WSL, where the engine sees less free memory than there is.
Mib = Annotated[int, Meta(ge=-(1 << 20), le=1 << 24)]


class ProfileOverrides(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """`[overrides]`: what the user set by hand. Left out or `auto`: rigtui decides."""

    context: Tokens | Literal["auto"] | None = None
    """Per request."""
    parallel: Count | Literal["auto"] | None = None
    kv_type: str | tuple[str, str] | None = None
    """One type for both, or K and V."""
    gpus: tuple[str | int, ...] | None = None
    fit_target_mib: Mib | tuple[Mib, ...] | None = None
    """MiB to leave free, one number for every card or one per card in engine order."""
    ubatch: Count | None = None
    engine_args: tuple[str, ...] = ()
    env: dict[str, str] = {}


class Profile(Struct, frozen=True, kw_only=True):
    """A named pair of model and use case."""

    name: str
    model: str
    """A path, `hf:owner/repo[:file or quant]`, `ollama:name[:tag]`, or the name of a model that is looked up where the profile is used."""
    use_case: str = "chat"
    engine: EngineName = "auto"
    description: str = ""
    overrides: ProfileOverrides = ProfileOverrides()

    @property
    def summary(self) -> str:
        """The first line of the description."""
        return self.description.partition("\n")[0]

    def intent(self, use_cases: dict[str, UseCase]) -> Intent:
        """What this profile asks for.

        Raises UsageError when its use case is not one of `use_cases`, with the nearest known name.
        """
        try:
            use_case = choose(self.use_case, use_cases)
        except UsageError as error:
            raise UsageError(f"profile {clean(self.name)}: {error}") from error
        return Intent(use_case=use_case, engine=self.engine, profile=self.name, overrides=self.own)

    @property
    def own(self) -> Overrides:
        """What the user set, in one spelling."""
        wanted = self.overrides
        kv_type, target = wanted.kv_type, wanted.fit_target_mib
        return Overrides(
            context=None if wanted.context == "auto" else wanted.context,
            parallel=None if wanted.parallel == "auto" else wanted.parallel,
            kv_type=(kv_type, kv_type) if isinstance(kv_type, str) else kv_type,
            gpus=None if wanted.gpus is None else tuple(str(gpu) for gpu in wanted.gpus),
            fit_target_mib=(target,) if isinstance(target, int) else target,
            ubatch=wanted.ubatch,
            engine_args=wanted.engine_args,
            env=dict(wanted.env),
        )


def profile_of(intent: Intent, name: str, model: str) -> Profile:
    """What `intent` asks for as a profile called `name`; `model` is what the user called the model, a path of files is made whole.

    Raises UsageError for a setting that a profile cannot hold.
    """
    own = intent.overrides
    if own.batch is not None:
        raise UsageError("a profile has no --batch; leave it out, or pass it as --engine-arg=-b --engine-arg=N")
    return Profile(
        name=name,
        model=str(Path(model).resolve()) if Path(model).exists() else model,
        use_case=intent.use_case.name,
        engine=intent.engine,
        overrides=ProfileOverrides(
            context=own.context,
            parallel=own.parallel,
            kv_type=own.kv_type,
            gpus=own.gpus,
            fit_target_mib=own.fit_target_mib,
            ubatch=own.ubatch,
            engine_args=own.engine_args,
            env=own.env,
        ),
    )


class _Head(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """`[profile]`."""

    name: str
    model: str
    use_case: str = "chat"
    engine: EngineName = "auto"
    description: str = ""


class _File(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    profile: _Head
    overrides: ProfileOverrides = ProfileOverrides()


class _Overrides(Struct, frozen=True):
    """What `check` looks at again, because a value made in code has not been held against its bounds."""

    overrides: ProfileOverrides


def parse(data: dict[str, Any], path: Path | str) -> Profile:
    """A profile from the content of its file.

    Raises UsageError with the file, the key and the nearest known one.
    """
    file = convert(_with_tokens(data, path), _File, path)
    head = file.profile
    profile = Profile(
        name=head.name,
        model=head.model,
        use_case=head.use_case,
        engine=head.engine,
        description=head.description,
        overrides=file.overrides,
    )
    check(profile, path)
    return profile


def _with_tokens(data: dict[str, Any], path: Path | str) -> dict[str, Any]:
    """`data` with a context that is written as `64k` as the number it means.

    Raises UsageError for a text that means no number of tokens.
    """
    wanted = data.get("overrides")
    context = wanted.get("context") if isinstance(wanted, dict) else None
    if not isinstance(wanted, dict) or not isinstance(context, str) or nearest(context, ["auto"]):
        return data
    number = tokens(context)
    if number is None:
        raise UsageError(f'{path}: `overrides.context` is a number of tokens such as 65536 or "64k", or "auto", not `{clean(context)}`')
    return data | {"overrides": wanted | {"context": number}}


def check(profile: Profile, where: Path | str) -> None:
    """Raise UsageError with one sentence, beginning with `where`, when a value cannot be used or must not be kept in a file."""
    wanted = convert({"overrides": msgspec.to_builtins(profile.overrides)}, _Overrides, where).overrides
    if not profile.name.strip() or profile.name != clean(profile.name) or len(profile.name) > MAX_NAME:
        raise UsageError(f"{where}: `profile.name` must be one line of at most {MAX_NAME} characters")
    if not profile.model.strip() or profile.model != clean(profile.model):
        raise UsageError(f"{where}: `profile.model` must name a file, a folder, hf:owner/repo or ollama:name")
    kv_types = (wanted.kv_type,) if isinstance(wanted.kv_type, str) else wanted.kv_type or ()
    for kv_type in kv_types:
        # vLLM has names of its own (fp8); its room refuses what it does not know.
        if kv_type not in KV_TYPES and profile.engine != "vllm":
            close = nearest(kv_type, KV_TYPES)
            hint = f"did you mean `{close}`?" if close else "known are " + ", ".join(KV_TYPES)
            raise UsageError(f"{where}: `overrides.kv_type` cannot be `{clean(kv_type)}`; {hint}")
    for key, value in (("gpus", wanted.gpus), ("fit_target_mib", wanted.fit_target_mib)):
        if value == ():
            raise UsageError(f"{where}: `overrides.{key}` is empty; leave it out and rigtui decides")
    refuse_secrets(wanted.env, wanted.engine_args, f"{where}: [overrides]")
    for variable, text in wanted.env.items():
        if not _ENV_NAME.fullmatch(variable) or "\0" in text:
            raise UsageError(f"{where}: `overrides.env` has `{clean(variable)}`, which is not a variable that can be set")
    for arg in wanted.engine_args:
        if "\0" in arg:
            raise UsageError(f"{where}: `overrides.engine_args` has a NUL character in `{clean(arg)}`, which no program can be given")


def refuse_secrets(env: Iterable[str], args: Iterable[str], where: str) -> None:
    """Raise UsageError, beginning with `where`, when a variable's name or an argument tells that a secret would be kept in a file."""
    for name in env:
        if _SECRET_NAME.search(name):
            raise UsageError(
                f"{where}: the variable {clean(name)} would be kept in a file that is shown and exported; "
                "set it in your shell, and give the server's key with --api-key-file"
            )
    for arg in args:
        flag = arg.partition("=")[0]
        if flag in _SECRET_ARGS:
            raise UsageError(f"{where}: {flag} would be kept in a file that is shown and exported; use --api-key-file when you run it")


def parse_text(text: bytes, where: str) -> Profile:
    """A profile from the text of its file.

    Raises UsageError with one sentence, beginning with `where`.
    """
    return parse(parse_toml(as_text(text, where), where), where)


def dump(profile: Profile) -> bytes:
    """The profile as the text of its file."""
    import tomli_w

    head = _Head(name=profile.name, model=profile.model, use_case=profile.use_case, engine=profile.engine, description=profile.description)
    data = msgspec.to_builtins(_File(profile=head, overrides=profile.overrides))
    # A person will read and edit it: a description of several lines stays several lines.
    return tomli_w.dumps(data, multiline_strings=True).encode("utf-8")

"""What the user wants, as values: a use case, overrides and the model they are for."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import asdict, replace

KV_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
"""Cache types llama-server accepts (llama.cpp 0.5.0-dev, common/arg.cpp:302)."""

EngineName = Literal["auto", "llama.cpp", "vllm", "ollama"]

Tokens = Annotated[int, Meta(ge=1, le=1 << 40)]
Count = Annotated[int, Meta(ge=1, le=1 << 20)]


class UseCase(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named preference. Contexts are tokens per request; None means the model's own trained context."""

    name: str
    description: str = ""
    context: Tokens | None = None
    """Wanted."""
    context_least: Tokens | None = None
    """Least that is acceptable; a plan below it says so."""
    parallel: Count = 1
    """Requests served at the same time (slots)."""
    kv_types: tuple[str, ...] = ("f16", "q8_0")
    """KV cache types allowed, best quality first; the first is used unless a later one is needed."""
    batch: Count = 2048
    ubatch: Count = 512
    prefer: Literal["speed", "context"] = "context"
    """Which counts more when both cannot be had: with `speed`, context is given up for it, down to the least."""
    embedding: bool = False


class Overrides(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the user set by hand: never changed, never softened. None: rigtui decides."""

    context: int | None = None
    """Per request."""
    parallel: int | None = None
    kv_type: tuple[str, str] | None = None
    gpus: tuple[str, ...] | None = None
    """UUIDs, PCI addresses, indices or (parts of) names; the order is kept."""
    fit_target_mib: tuple[int, ...] | None = None
    batch: int | None = None
    ubatch: int | None = None
    engine_args: tuple[str, ...] = ()
    env: dict[str, str] = {}


class Intent(Struct, frozen=True, kw_only=True):
    """One request for a plan."""

    use_case: UseCase
    overrides: Overrides = Overrides()
    engine: EngineName = "auto"
    profile: str | None = None
    """The profile's name when it came from one."""
    host: str = "127.0.0.1"
    port: int | None = None
    """None: the first free one at launch."""
    api_key_file: str | None = None


def with_settings(intent: Intent, settings: Overrides) -> Intent:
    """The intent with `settings` where the user set nothing."""
    own, plain = asdict(intent.overrides), asdict(Overrides())
    filled = {name: value for name, value in asdict(settings).items() if own[name] == plain[name]}
    return replace(intent, overrides=replace(intent.overrides, **filled))

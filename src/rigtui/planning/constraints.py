"""What a derivation must respect beside the user's own settings: learned from a failure, from earlier runs, or a step taken by hand. Pure.

A constraint only ever makes a plan more careful. What the user set is never softened: where a constraint and a user's setting collide, the
setting stands and whoever derives says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from rigtui.rig.rig import Gpu

Kind = Literal[
    "headroom",  # value: bytes to leave free at least on `gpu`
    "without_gpu",  # `gpu` is not used
    "kv_type",  # value: the finest KV cache type that is still allowed, such as "q8_0"
    "context",  # value: tokens per request at most
    "ubatch",  # value: micro-batch at most
    "engine",  # value: name of an engine that is not used
    "utilization",  # value: share of the card that vLLM may take at most
    "eager",  # no CUDA graphs
    "sequences",  # value: requests at the same time at most (vLLM's --max-num-seqs)
    "stages",  # value: pipeline stages at least
]


class Constraint(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One bound, with the reason for people."""

    kind: Kind
    text: str
    """Why, with the numbers: one sentence."""
    gpu: str | None = None
    """UUID of the card it is about, its name where there is none; None: no card in particular."""
    value: int | float | str | None = None
    origin: Literal["failure", "spill", "lesson", "hand"] = "failure"


def about(gpu: Gpu) -> str:
    """How a constraint names a card."""
    return gpu.uuid or gpu.name


def largest(constraints: Iterable[Constraint], kind: Kind, gpu: Gpu | None = None) -> int | float | None:
    """The strictest lower bound of a kind (headroom, stages), or None."""
    return max(_numbers(constraints, kind, gpu), default=None)


def smallest(constraints: Iterable[Constraint], kind: Kind, gpu: Gpu | None = None) -> int | float | None:
    """The strictest upper bound of a kind (context, ubatch, utilization, sequences), or None."""
    return min(_numbers(constraints, kind, gpu), default=None)


def unused_gpus(constraints: Iterable[Constraint]) -> frozenset[str]:
    """The cards that are not to be used, as `about` names them."""
    return frozenset(c.gpu for c in constraints if c.kind == "without_gpu" and c.gpu is not None)


def _numbers(constraints: Iterable[Constraint], kind: Kind, gpu: Gpu | None) -> list[int | float]:
    name = None if gpu is None else about(gpu)
    return [c.value for c in constraints if c.kind == kind and c.gpu in (None, name) and isinstance(c.value, int | float)]

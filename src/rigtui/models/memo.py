"""What follows from a model alone, worked out once: a derivation asks for it at every context it looks at. Pure in effect."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from rigtui.models.model import Model

T = TypeVar("T")
KEPT = 4


def per_model(function: Callable[[Model], T]) -> Callable[[Model], T]:
    """Remember the answer for the last few models. By identity: comparing or hashing a model reads all its tensors."""
    kept: tuple[tuple[Model, T], ...] = ()

    @wraps(function)
    def remembered(model: Model) -> T:
        nonlocal kept
        for known, answer in kept:
            if known is model:
                return answer
        answer = function(model)
        kept = ((model, answer), *kept[: KEPT - 1])  # replaced as a whole: threads see the old or the new one
        return answer

    return remembered

"""Cards by what a user calls them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rigtui.errors import UsageError
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import clean

_DIGITS = 10
"""More are no number of a card and no part of its name."""


def select(rig: Rig, names: Sequence[str]) -> tuple[Gpu, ...]:
    """The cards that `names` mean, in that order: index, UUID (or its beginning), PCI address, or a part of the card's name.

    Raises UsageError for a name that no card or several cards answer to, a card named twice, and a card that cannot be used.
    """
    chosen: list[Gpu] = []
    for name in names:
        if not name.strip():
            raise UsageError(f"a GPU without a name was asked for; there are: {_listing(rig.gpus)}")
        found = _matching(rig, name)
        if not found:
            raise UsageError(f"no GPU is called '{clean(name)}' here; there are: {_listing(rig.gpus)}")
        if len(found) > 1:
            raise UsageError(f"'{clean(name)}' means several GPUs ({_listing(found)}); use the number or the UUID")
        gpu = found[0]
        if gpu.error is not None or gpu.free_bytes is None:
            raise UsageError(f"GPU {gpu.index} ({gpu.name}) cannot be used: {gpu.error or 'its memory is unknown'}")
        if gpu in chosen:
            raise UsageError(f"GPU {gpu.index} ({gpu.name}) is named twice")
        chosen.append(gpu)
    return tuple(chosen)


def _matching(rig: Rig, name: str) -> list[Gpu]:
    wanted = name.strip().lower()
    if wanted.isdecimal() and len(wanted) < _DIGITS:
        numbered = [g for g in rig.gpus if g.index == int(wanted)]
        # Only a whole number of the name: a mistyped `3` must not mean the 3090.
        return numbered or [g for g in rig.gpus if wanted in re.findall(r"\d+", g.name)]
    exact = [g for g in rig.gpus if wanted in ((g.uuid or "").lower(), (g.pci or "").lower(), g.name.lower())]
    if exact or not wanted:
        return exact
    return [g for g in rig.gpus if (g.uuid or "").lower().startswith(wanted) or wanted in g.name.lower()]


def _listing(gpus: Sequence[Gpu]) -> str:
    return ", ".join(f"{g.index} {g.name}" for g in gpus) or "none"

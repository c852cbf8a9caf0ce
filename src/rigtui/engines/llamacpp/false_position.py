"""How `--fit` searches for a number of layers: by false position, since sizes are nearly linear."""

from __future__ import annotations

from collections.abc import Callable


def last_below(size: Callable[[int], int], low: int, high: int, most: int) -> int:
    """The last number from `low` on and before `high` whose size is not above `most`, if sizes grow with the number; else one of such.

    Step by step as common/fit.cpp of llama.cpp 0.5.0-dev does it, which ends at the same one of them. The size of `low` is taken.
    """
    low_size, high_size = size(low), size(high)
    while high - low > 1:
        grown = high_size - low_size
        step = (high - low) * (most - low_size) // grown if grown > 0 else high - low - 1
        middle = low + min(max(step, 1), high - low - 1)
        found = size(middle)
        if found <= most:
            low, low_size = middle, found
        else:
            high, high_size = middle, found
    return low

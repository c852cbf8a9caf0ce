"""What differs from one vLLM to the next, as far as its memory and its start depend on it? Pure.

Source: vLLM 0.17.0, 0.18, 0.19, 0.20.0 to 0.20.2, 0.21.0, 0.22.0, 0.24.0 to 0.30.0, 0.32.0 and 0.33.0, in the files named below.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

States = Literal["asserted", "capped", "refused"]


class Release(Struct, frozen=True):
    """A version by its numbers; tuples compare as versions do."""

    numbers: tuple[int, ...]

    @property
    def label(self) -> str:
        """As it is written."""
        return ".".join(map(str, self.numbers))

    @property
    def utilization(self) -> float:
        """`--gpu-memory-utilization` where it is not given (config/cache.py)."""
        return 0.92 if self.numbers >= (0, 20) else 0.90

    def keeps_prefixes(self, asked: bool | None, *, hybrid: bool) -> bool:
        """Whether prefixes are cached: as `asked`, else unless the model has recurrent layers (config/model.py), which changed in 0.26."""
        return asked if asked is not None else not hybrid or self.numbers >= (0, 26)

    @property
    def graphs_in_share(self) -> bool:
        """Whether CUDA graphs are taken off the share of the card before the cache is sized; earlier they came on top of it.

        Source: envs.py, the default of VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS.
        """
        return self.numbers >= (0, 20)

    @property
    def logs_whole_requests(self) -> bool:
        """Whether "GPU KV cache size" is the requests that fit at once times their length.

        Earlier it was the blocks that each group of layers gets, times the smallest block: of a hybrid model with three groups of states
        beside one of attention, a quarter of the blocks (v1/core/kv_cache_utils.py, `_report_kv_cache_config`).
        """
        return self.numbers >= (0, 20, 1)

    @property
    def fewer_states(self) -> States:
        """What becomes of graphs where the cache has fewer blocks than there may be requests, each of which needs one for its state.

        "asserted": the capture fails (`num_cache_lines >= batch`, vllm#34094); "capped": smaller batches are captured; "refused": it does
        not start (config/compilation.py:1436 in 0.20.0, :1519 in 0.32.0, :1526 in 0.33.0). None of them minds without graphs.
        """
        if self.numbers < (0, 18):
            return "asserted"
        return "capped" if self.numbers < (0, 20) else "refused"

    @property
    def images_on_every_stage(self) -> bool:
        """Whether every stage runs an image while memory is measured; the second model runner does so on the first (v1/worker/gpu)."""
        return self.numbers < (0, 29)


NEWEST = Release((0, 33))
"""Assumed where none is installed and none is named."""
_NUMBERS = re.compile(r"v?(\d+(?:\.\d+){1,2})")


def release(version: str) -> Release | None:
    """The release that `version` names, None where it names none ("0.19", "v0.19.1", "0.32.0+cpu")."""
    found = _NUMBERS.match(version)
    return Release(tuple(int(part) for part in found[1].split("."))) if found else None

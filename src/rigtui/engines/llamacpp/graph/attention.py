"""Which shapes of attention ggml-cuda computes in one piece (flash attention).

Source: llama.cpp 0.5.0-dev (0c1e57098), ggml/src/ggml-cuda/fattn.cu (ggml_cuda_get_best_fattn_kernel).
"""

from __future__ import annotations

_SIZES = frozenset({40, 64, 72, 80, 96, 112, 128, 256})
_GROUPED = {(192, 128): 8, (320, 256): 32, (512, 512): 1, (576, 512): 1}
"""Key and value sizes that work only where query heads share a KV head: by multiples of so many."""
_TYPES = frozenset({"f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0"})


def flash_on_gpu(key: int, value: int, group: int, kinds: tuple[str, str]) -> bool:
    """Whether a GPU computes attention with such heads, `group` query heads to one KV head, at once."""
    if not set(kinds) <= _TYPES:
        return False
    if key == value and key in _SIZES:
        return True
    multiple = _GROUPED.get((key, value))
    return multiple is not None and group >= 2 and group % multiple == 0

"""The llama-server arguments that decide where memory goes, as one value."""

from __future__ import annotations

from msgspec import Struct

PAD_CONTEXT = 256
"""Contexts are padded to this many cells (llama.cpp 0.5.0-dev, llama-context.cpp)."""


class Settings(Struct, frozen=True, kw_only=True):
    """What llama-server is told; None means that llama.cpp decides."""

    context: int | None = None
    """`-c`, total over all slots. None: the trained context, reduced by `--fit` when it must be."""
    slots: int = 1
    unified_kv: bool = False
    """One KV stream shared by all slots; llama-server's default only when `-np` is not given (4 slots)."""
    kv_type: tuple[str, str] = ("f16", "f16")
    batch: int = 2048
    ubatch: int = 512
    flash_attention: bool = True
    flash_always: bool = False
    """`-fa on`: not given up where the engine finds that another device would compute it than has the layer."""
    split_mode: str = "layer"
    fit: bool = True
    fit_target_mib: tuple[int, ...] = ()
    """Per device; those not named keep 1024 (`--fit-target`; a single value holds for all)."""
    fit_context_least: int = 4096
    """`--fit-ctx`."""
    ngl: int | None = None
    tensor_split: tuple[float, ...] | None = None
    experts_in_ram: int = 0
    """`-ncmoe` as rigtui writes it: of so many blocks, from the first on, the experts lie in RAM."""
    kv_offload: bool = True
    swa_full: bool = False
    embedding: bool = False

    def target_mib(self, index: int) -> int:
        """Free memory that `--fit` leaves on device `index`."""
        if len(self.fit_target_mib) == 1:
            return self.fit_target_mib[0]
        return self.fit_target_mib[index] if index < len(self.fit_target_mib) else 1024

    def context_allocated(self, context: int) -> int:
        """Cells in total for `-c context`: every stream is padded (llama-context.cpp:290)."""
        return self.context_per_slot(context) * (1 if self.unified_kv else self.slots)

    def context_per_slot(self, context: int) -> int:
        """Cells one slot can use when the context in total is `context`."""
        return padded(context) if self.unified_kv else padded(context // self.slots)


class Device(Struct, frozen=True, kw_only=True):
    """A GPU as the engine sees it, after its own runtime context exists."""

    name: str
    free_bytes: int
    beside_bytes: int = 0
    """What the engine is known to allocate here beyond rigtui's own estimate; less, where negative."""


def padded(cells: int) -> int:
    """`cells` rounded up to whole blocks of 256, at least one."""
    return max(-(-cells // PAD_CONTEXT), 1) * PAD_CONTEXT

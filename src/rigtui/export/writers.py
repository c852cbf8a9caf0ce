"""Which module writes which format."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rigtui.export import llama_preset, llama_swap, sh, systemd
from rigtui.export.exported import Exported

_WRITERS: dict[str, Callable[[Sequence[Exported]], str]] = {
    "sh": sh.write,
    "llama-swap": llama_swap.write,
    "llama-preset": llama_preset.write,
    "systemd": systemd.write,
}


def write(to: str, entries: Sequence[Exported]) -> str:
    """Profiles that have plans in any format but models.conf, which needs the rig as well. Raises RigtuiError."""
    return _WRITERS[to](entries)

"""Which module writes which format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from rigtui.export import compose, llama_preset, llama_swap, modelfile, sh, systemd
from rigtui.export.exported import Exported
from rigtui.export.mounts import mount_of

_WRITERS: dict[str, Callable[[Sequence[Exported]], str]] = {
    "sh": sh.write,
    "llama-swap": llama_swap.write,
    "llama-preset": llama_preset.write,
    "systemd": systemd.write,
    "modelfile": modelfile.write,
}


def write(to: str, entries: Sequence[Exported], models_dir: str | None = None) -> str:
    """Profiles that have plans in any format but models.conf, which needs the rig as well.

    `models_dir` is the folder that containers see; None: that of each model. Raises RigtuiError.
    """
    if to == "compose":
        return compose.write(entries, partial(mount_of, models_dir=models_dir))
    return _WRITERS[to](entries)

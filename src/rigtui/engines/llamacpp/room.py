"""llama.cpp's room, as `engines.rooms` opens it."""

from __future__ import annotations

from rigtui.engines.llamacpp.builds import learn, survey
from rigtui.engines.llamacpp.command import spawn
from rigtui.engines.llamacpp.diagnose import diagnose
from rigtui.engines.llamacpp.ladder import ladder
from rigtui.engines.llamacpp.live import sample as live_sample
from rigtui.engines.llamacpp.loglines import readable
from rigtui.engines.llamacpp.reader import Reader as reader  # noqa: N813 the room's function that makes one

__all__ = ["diagnose", "ladder", "learn", "live_sample", "readable", "reader", "spawn", "survey"]

"""vLLM's room, as `engines.rooms` opens it."""

from __future__ import annotations

from rigtui.engines.vllm.builds import learn, survey
from rigtui.engines.vllm.diagnose import diagnose
from rigtui.engines.vllm.ladder import ladder
from rigtui.engines.vllm.live import sample as live_sample
from rigtui.engines.vllm.loglines import readable
from rigtui.engines.vllm.reader import Reader as reader  # noqa: N813 the room's function that makes one
from rigtui.engines.vllm.spawn import spawn

__all__ = ["diagnose", "ladder", "learn", "live_sample", "readable", "reader", "spawn", "survey"]

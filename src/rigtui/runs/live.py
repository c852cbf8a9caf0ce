"""Asks a ready engine how it works right now: two small pages on the loopback, each with a bounded time and size."""

from __future__ import annotations

import http.client
import re
import time
from collections import deque
from collections.abc import Callable

from rigtui.engines.live import Live, Sample, live
from rigtui.engines.rooms import room
from rigtui.errors import RigtuiError
from rigtui.runs.measure import Endpoint
from rigtui.runs.state import RunState

ASK_S = 1.0
"""An engine in the middle of a long prompt answers late; that look is then left out."""
WINDOW = 4
"""Looks that a speed is taken over."""
MISSES = 5
"""Looks without an answer after which the figures are old."""
_MAX_BYTES = 1 << 20
# llama-server (b10700) says so after every question that is no completion; vLLM's web server names every page that is asked for.
_ECHO = re.compile(r"update_slots: all slots are idle|\bGET /(?:metrics|slots|health)\b")


def left_by_asking(line: str) -> bool:
    """Whether a log line is there only because somebody asked how the engine works."""
    return _ECHO.search(line) is not None


class LiveReader:
    """The figures of one run, over the last few looks."""

    def __init__(self, run: RunState, api_key: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._run, self._clock = run, clock
        self._endpoint = Endpoint(run.host, run.port, api_key)
        self._samples: deque[Sample] = deque(maxlen=WINDOW)
        self._misses = 0

    def read(self) -> Live | None:
        """How it works now; None where it does not say, or has not for a while. Takes at most about two seconds, raises nothing."""
        sample = self._sample()
        if sample is None:
            self._misses += 1
            if self._misses >= MISSES:
                self._samples.clear()
        else:
            self._misses = 0
            self._samples.append(sample)
        return live(tuple(self._samples), self._run.context) if self._samples else None

    def _sample(self) -> Sample | None:
        try:
            return room(self._run.engine).live_sample(self._fetch, self._clock())
        except RigtuiError:
            return None

    def _fetch(self, path: str) -> bytes | None:
        try:
            return self._endpoint.page(path, ASK_S, _MAX_BYTES)
        except (OSError, http.client.HTTPException):
            return None

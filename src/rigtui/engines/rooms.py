"""The engines rigtui knows, each behind the same functions. A room is loaded when it is asked for, so that starting stays cheap."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, cast

from rigtui.engines.engine import Build, Event, Failure, Found, Spawn
from rigtui.engines.ladder import Ladder, Setback
from rigtui.engines.live import Sample
from rigtui.errors import MissingError
from rigtui.planning.plan import Plan

MODULES = {"llama.cpp": "rigtui.engines.llamacpp.room", "vllm": "rigtui.engines.vllm.room"}
"""Where each engine's room lies, in the order they are preferred when several would do."""


HOW_TO_GET = {
    "llama.cpp": "no engine is installed; `pip install 'rigtui[engine]'` brings one (CPU only), or put llama-server on the PATH for your "
    "GPUs",
    "vllm": "no vLLM is installed; `pip install vllm` into an environment of its own, then put its `vllm` on the PATH or name it in "
    'config.toml: [engines] vllm = "/path/to/the/environment"',
}
"""What to do where an engine is wanted and no build of it is there."""


class Reader(Protocol):
    """Reads one attempt's log."""

    def feed(self, line: str) -> list[Event]:
        """The events of one line of output, mostly none. Never raises."""


class Room(Protocol):
    """What every engine room offers. Plans are derived by `planning.choose`, which asks the rooms' pure `plans` directly."""

    def survey(self, named: str | None) -> Found:
        """The builds installed here, the one the user `named` in config.toml first, and one sentence for each that cannot be used.

        Raises MissingError when what was named is not there, RigtuiError when it is there but does not work.
        """

    def learn(self, build: Build) -> Build:
        """`build` with all that it can do: some are too slow to be asked before it matters. Raises RigtuiError when it does not work."""

    def spawn(self, plan: Plan, build: Build, host: str, port: int, api_key_file: str | None) -> Spawn:
        """The process to start for `plan`."""

    def reader(self, build: Build) -> Reader:
        """A fresh reader for the output of `build`."""

    def readable(self, line: str) -> list[tuple[str | None, str]]:
        """One line of output as people read it, with its level (`debug`, `info`, `warn`, `error`; None: it does not say).

        Several where the line holds several, none where it holds nothing to read. Never raises.
        """

    def diagnose(
        self, events: Iterable[Event], tail_lines: Sequence[str], exit_code: int | None, signal: int | None, asked_to_stop: bool
    ) -> Failure:
        """Why the engine ended."""

    def live_sample(self, fetch: Callable[[str], bytes | None], at: float) -> Sample | None:
        """How the engine works at the time `at`, from what `fetch` gives for its paths (None: no answer); None where it does not say."""

    def ladder(self, setback: Setback) -> Ladder:
        """What may mend a failure, most promising first. Pure."""


def room(engine: str) -> Room:
    """The room of an engine. Raises MissingError for one that rigtui cannot launch."""
    if engine not in MODULES:
        raise MissingError(f"rigtui cannot launch {engine} yet; use --engine {' or '.join(MODULES)}")
    return cast("Room", importlib.import_module(MODULES[engine]))

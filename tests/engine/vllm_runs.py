"""Runs of the real vLLM on the CPU, launched as the command line launches them."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rigtui.engines.engine import Build, Spawn
from rigtui.engines.vllm.spawn import spawn
from rigtui.intent.intent import Intent, Overrides, UseCase
from rigtui.models.safetensors import read_safetensors
from rigtui.planning.choose import choose
from rigtui.rig.sampler import read_rig
from rigtui.runs import launch
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.state import LaunchRequest, RunState
from runs.support import Runs

PATIENCE_S = 900
"""An idle machine needs 30 seconds for a start."""
USE_CASE = UseCase(name="test", context=2048, context_least=256, kv_types=("f16",))
SMALL_CACHE = "--kv-cache-memory-bytes=33554432"


class VllmRuns:
    """Launches runs and waits for what becomes of them."""

    def __init__(self, runs: Runs, build: Build) -> None:
        self._runs = runs
        self._build = build

    def launch(
        self, folder: Path, *engine_args: str, env: dict[str, str] | None = None, taken: int | None = None, engine: str = "vllm"
    ) -> RunDirectory:
        """A run of the model in `folder`; its first attempt gets the port `taken`, as if that had been free a moment before."""

        def on_taken(asked: LaunchRequest, _port: int) -> Spawn:
            assert taken is not None
            return spawn(asked.plan, asked.build, asked.host, taken)

        model = read_safetensors(folder)
        intent = Intent(use_case=USE_CASE, overrides=Overrides(engine_args=engine_args, env=env or {}), engine=engine)
        plan = choose(read_rig(), model, intent, [self._build])
        assert plan.status != "no_fit", plan.reasons
        asked = LaunchRequest(plan=plan, intent=intent, build=self._build, model=model.name, fingerprint=model.fingerprint)
        found = launch.launch(asked, None if taken is None else on_taken)
        self._runs.note(found.state)
        return RunDirectory(found.directory)

    def until(self, directory: RunDirectory, true: Callable[[RunState], bool], what: str) -> RunState:
        """The state in which something is true; what it came to instead, where that can be no more."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            state = directory.view()
            self._runs.note(state)
            if state is not None and true(state):
                return state
            if time.monotonic() > deadline or (state is not None and not state.live):
                tail = directory.engine_log.read_text(errors="replace").splitlines()[-30:]
                raise AssertionError("\n".join([f"never {what}: {state}", *tail]))
            time.sleep(0.2)

    def ready(self, directory: RunDirectory) -> RunState:
        """Once it serves and is measured."""
        return self.until(directory, lambda state: state.phase == "ready" and not state.measuring, "ready")

    def ended(self, directory: RunDirectory) -> RunState:
        """Once it has ended, one way or the other."""
        return self.until(directory, lambda state: not state.live, "over")


def ask(url: str, body: dict[str, Any] | None = None, key: str | None = None) -> tuple[int, Any]:
    """Status and content of a request to a server; the content of an error is None."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, None


def processes_of(group: int) -> dict[int, str]:
    """The processes of a group that are alive, by pid, with the names they gave themselves."""
    found = {}
    for path in Path("/proc").iterdir():
        if not path.name.isdigit():
            continue
        try:
            state = (path / "stat").read_text().rsplit(")", 1)[1].split()
            if os.getpgid(int(path.name)) == group and state[0] != "Z":
                found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except (OSError, IndexError):
            continue
    return found

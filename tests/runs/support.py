"""Runs with an engine whose every step the test decides, and the proof that none of their processes is left."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from rigtui.engines.engine import Build, Spawn
from rigtui.intent.intent import Intent, UseCase
from rigtui.planning.plan import Plan, PlanDevice, PlanModel
from rigtui.runs import identity, launch, rundir
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.state import LaunchRequest, RunState

LOGS = Path(__file__).parents[1] / "logs" / "llamacpp"
FAKE = Path(__file__).with_name("fake_engine.py")
BUILD = Build(engine="llama.cpp", label="fake", version="1", argv=(sys.executable, str(FAKE)))
CARD_0, CARD_1 = "GPU-11111111-aaaa-bbbb-cccc-000000000001", "GPU-22222222-aaaa-bbbb-cccc-000000000002"
T = TypeVar("T")


def wait_until(look: Callable[[], T | None], what: str, seconds: float = 180) -> T:
    """The first true thing `look` gives; fails with `what` after a deadline that only a broken program reaches."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"never: {what}")


def first_port() -> int:
    """Where this test process looks for ports: away from those of others that run at the same time, and from those the kernel gives out."""
    return 15_000 + 400 * (os.getpid() % 40)


def a_device(device: str, uuid: str, name: str) -> PlanDevice:
    return PlanDevice(
        device=device,
        uuid=uuid,
        name=name,
        layers=16,
        first_layer=0,
        weights_bytes=3 << 30,
        kv_bytes=2 << 30,
        compute_bytes=1 << 29,
        floor_bytes=450 << 20,
        used_bytes=6 << 30,
        free_before_bytes=20 << 30,
        free_after_bytes=14 << 30,
        headroom_bytes=1 << 30,
    )


def a_plan(name: str = "tiny", **changes: Any) -> Plan:
    fields: dict[str, Any] = {
        "status": "fits",
        "engine": "llama.cpp",
        "model": PlanModel(
            name=name, path=f"/models/{name}.gguf", architecture="llama", layers=32, weights_bytes=1 << 30, context_trained=131072
        ),
        "use_case": "chat",
        "context": 8192,
        "context_per_slot": 8192,
        "parallel": 1,
        "kv_type": ("f16", "f16"),
        "devices": (a_device("CUDA0", CARD_0, "NVIDIA GeForce RTX 4090"), a_device("CUDA1", CARD_1, "NVIDIA GeForce RTX 5070 Ti")),
        "fit_target_mib": (128, 1024),
        "command": ("llama-server", "-m", f"/models/{name}.gguf"),
    }
    return Plan(**{**fields, **changes})


def a_request(name: str = "tiny", **changes: Any) -> LaunchRequest:
    fields: dict[str, Any] = {
        "plan": a_plan(name),
        "intent": Intent(use_case=UseCase(name="chat")),
        "build": BUILD,
        "model": name,
        "fingerprint": "abc",
    }
    return LaunchRequest(**{**fields, **changes})


class Runs:
    """Launches runs with the fake engine, and ends what is left of them."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self._processes: set[tuple[int, int]] = set()

    def launch(self, *engine_args: str | Path, argv: tuple[str, ...] | None = None, **request: Any) -> RunDirectory:
        """A run whose engine gets `engine_args`; returns its directory."""
        return RunDirectory(self.launched(*engine_args, argv=argv, **request).directory)

    def launched(self, *engine_args: str | Path, argv: tuple[str, ...] | None = None, **request: Any) -> launch.Launched:
        def make_spawn(asked: LaunchRequest, port: int) -> Spawn:
            address = ("--host", asked.host, "--port", str(port))
            key = ("--api-key-file", asked.api_key_file) if asked.api_key_file else ()
            command = argv if argv is not None else (*BUILD.argv, *address, *key, *map(str, engine_args))
            return Spawn(argv=command, env={}, host=asked.host, port=port, model_name=asked.plan.model.name, weights_bytes=1 << 30)

        started = launch.launch(a_request(**request), make_spawn)
        self.note(started.state)
        return started

    def launch_program(self, code: str, **spawn: Any) -> RunDirectory:
        """A run whose engine is the Python program `code`, started as `spawn` says."""

        def make_spawn(asked: LaunchRequest, port: int) -> Spawn:
            argv = (sys.executable, "-c", code)
            return Spawn(argv=argv, host=asked.host, port=port, model_name=asked.plan.model.name, weights_bytes=1 << 30, **spawn)

        started = launch.launch(a_request(), make_spawn)
        self.note(started.state)
        return RunDirectory(started.directory)

    def note(self, state: RunState | None) -> None:
        """Remember the run's processes for the end of the test."""
        if state is not None:
            pairs = ((state.supervisor_pid, state.supervisor_started), (state.pid, state.pid_started))
            self._processes |= {(pid, started) for pid, started in pairs if pid not in (None, os.getpid()) and started is not None}

    def wait(self, directory: RunDirectory, *phases: str, measured: bool = False) -> RunState:
        """The state once the run is in one of the phases (and measured)."""

        def look() -> RunState | None:
            state = directory.view()
            self.note(state)
            if state is not None and state.phase in phases and not (measured and state.measuring):
                return state
            if state is not None and not state.live and state.phase not in phases:
                raise AssertionError(f"ended as {state.phase}: {state.failure}, {state.notes}")
            return None

        try:
            return wait_until(look, f"a run that is {' or '.join(phases)}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {directory.view()}") from None

    def loading_log(self, name: str = "real_llama8b_default") -> Path:
        """What a real llama-server said up to the moment before it was ready."""
        lines = (LOGS / f"{name}.stderr").read_text().splitlines(keepends=True)
        end = next(i for i, line in enumerate(lines) if "llama_server: model loaded" in line)
        path = self.tmp_path / f"{name}.log"
        path.write_text("".join(lines[:end]))
        return path

    def running(self) -> set[tuple[int, int]]:
        for directory in rundir.all_directories():
            self.note(directory.read_state())
        return {(pid, started) for pid, started in self._processes if identity.is_running(pid, started)}

    def end(self) -> None:
        """Ask, then kill; every process of every run is gone after this."""
        for pid, _ in self.running():
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid, _ in self.running():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.running(), "no process of a run is left")

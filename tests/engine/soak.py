"""Run after run on small virtual cards, each with a fault drawn by chance: what must hold after every one of them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

from engine.virtual_rig import Card, VirtualRig, describe, uuid
from rigtui.engines.llamacpp.builds import find
from rigtui.errors import RigtuiError
from rigtui.intent.intent import Intent, Overrides, UseCase
from rigtui.models.gguf import read_gguf
from rigtui.planning.choose import choose
from rigtui.planning.plan import Plan
from rigtui.rig.sampler import read_rig
from rigtui.runs import identity, launch, lost, watch
from rigtui.runs.results import load_results
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.state import LaunchRequest, RunState
from rigtui.text import MIB
from tools.make_gguf import tiny_llama

NAMED = frozenset(
    {"out_of_vram", "no_fit", "context_too_long", "out_of_ram", "spill", "port_in_use", "model_bad", "gpu_lost", "timeout", "killed"}
    | {"crash"}
)
"""Failures that the faults drawn here may lead to; `crash` counts only with the engine's own line or signal."""
PATIENCE_S = 240.0


@dataclass
class Drawn:
    """One run to be: what is launched on what, and what happens to it meanwhile."""

    fault: str
    cards: list[Card]
    overrides: Overrides
    context: int
    prefer: str
    beyond_mib: int
    """What a rival program or the engine's own pool takes beyond what the engine leaves free."""
    share: float
    """Of what the engine takes: when the rival takes it, and what the engine may take at most."""
    delay_s: float
    """When something is done to the run from outside."""


FAULTS = (
    *("none", "rival", "rival", "rival", "pool", "limit", "dies", "kill engine", "kill supervisor"),
    *("stop", "stop now", "bad file", "port", "noise"),
)


def draw(chance: random.Random) -> Drawn:
    """A run and its fault."""
    cards = [
        Card(
            name=f"Card {index}",
            total_mib=2048,
            free_mib=chance.randrange(800, 2000),
            bandwidth_gb_s=chance.choice((200, 400, 900)),
            context_mib=chance.choice((0, 120, 300)),
        )
        for index in range(chance.choice((1, 1, 2)))
    ]
    fault, first = chance.choice(FAULTS), chance.randrange(len(cards))
    if fault == "dies":
        cards[first] = replace(cards[first], fail_at=chance.randrange(1, 12))
    own = chance.choice(({}, {}, {}, {"context": 16384}, {"kv_type": ("f16", "f16")}, {"fit_target_mib": (64,)}))
    return Drawn(
        fault=fault,
        cards=cards,
        overrides=Overrides(**own),
        context=chance.choice((8192, 32768)),
        prefer=chance.choice(("context", "speed")),
        beyond_mib=chance.randrange(-100, 600),
        share=chance.uniform(0.1, 1.1),
        delay_s=chance.uniform(0, 1.5),
    )


@contextlib.contextmanager
def _port_in_use() -> Iterator[None]:
    """The engine finds its port taken, though it was free when it was chosen."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        with mock.patch.object(launch, "choose_port", lambda *_: server.getsockname()[1]):
            yield


class Soak:
    """Runs on one virtual rig whose cards change from run to run."""

    def __init__(self, rig: VirtualRig, folder: Path, note: Callable[[RunState | None], None]) -> None:
        self._rig = rig
        self._note = note
        self._model = tiny_llama(folder / "soak.gguf", layers=12, embedding=512, heads=8, kv_heads=4, feed_forward=512)
        self._broken = folder / "broken.gguf"
        self._broken.write_bytes(self._model.read_bytes()[:-100_000])
        self._pids: set[tuple[int, int]] = set()

    def run(self, drawn: Drawn) -> RunState | None:
        """One run from launch to end, checked; None: it did not fit to begin with."""
        for card in range(2):
            self._rig.take(card, 0)
        self._rig.stub.write(describe(drawn.cards, compute=False, paced=False, ram_gb_s=0))
        asked = self._request(drawn)
        if asked is None:
            return None
        self._aim(drawn, asked.plan)
        if drawn.fault == "bad file":
            asked = self._with_broken_file(asked)
        with contextlib.ExitStack() as held:
            if drawn.fault == "port":
                held.enter_context(_port_in_use())
            directory = RunDirectory(launch.launch(asked).directory)
            state = self._to_the_end(directory, drawn)
        self._check(directory, state, drawn)
        return state

    def _aim(self, drawn: Drawn, plan: Plan) -> None:
        """Let what was drawn of memory hit the first card of the plan."""
        device = next(iter(plan.devices), None)
        if device is None or drawn.fault not in ("rival", "pool", "limit"):
            return
        card = next(number for number in range(len(drawn.cards)) if uuid(number) == device.uuid)
        # What the engine really takes: its runtime is the card's, not the plan's estimate of it.
        takes_mib = (device.used_bytes - device.floor_bytes) // MIB + drawn.cards[card].context_mib
        more_mib, part_mib = max(device.free_before_bytes // MIB - takes_mib + drawn.beyond_mib, 1), int(drawn.share * takes_mib)
        if drawn.fault == "rival":
            self._rig.take_later(card, more_mib, after_mib=part_mib)
            return
        cards = list(drawn.cards)
        cards[card] = replace(cards[card], **({"pool_mib": more_mib} if drawn.fault == "pool" else {"limit_mib": part_mib}))
        self._rig.stub.write(describe(cards, compute=False, paced=False, ram_gb_s=0))

    def _request(self, drawn: Drawn) -> LaunchRequest | None:
        model, build = read_gguf(self._model), find()[0]
        use_case = UseCase(name="soak", context=drawn.context, context_least=1024, kv_types=("f16", "q8_0"), prefer=drawn.prefer)  # type: ignore[arg-type]
        intent = Intent(use_case=use_case, overrides=drawn.overrides)
        plan = choose(read_rig(), model, intent, [build])
        if plan.status == "no_fit":
            return None
        return LaunchRequest(plan=plan, intent=intent, build=build, model="soak", profile="soak", stop_grace_s=5.0, stuck_s=60.0)

    def _with_broken_file(self, asked: LaunchRequest) -> LaunchRequest:
        from msgspec import structs

        command = tuple(str(self._broken) if word == str(self._model) else word for word in asked.plan.command)
        return structs.replace(asked, plan=structs.replace(asked.plan, command=command))

    def _to_the_end(self, directory: RunDirectory, drawn: Drawn) -> RunState:
        """Do to the run what was drawn; its final state."""
        began, done = time.monotonic(), False
        while True:
            state = directory.view()
            assert state is not None
            self._remember(state)
            if not state.live:
                return state
            assert time.monotonic() - began < PATIENCE_S, f"{drawn}: never ended: {state}"
            if not done and time.monotonic() - began >= drawn.delay_s:
                done = self._interfere(directory, state, drawn)
            if state.phase == "ready" and not state.measuring and (done or drawn.fault not in ("kill engine", "kill supervisor")):
                watch.request_stop(state)
            time.sleep(0.05)

    def _interfere(self, directory: RunDirectory, state: RunState, drawn: Drawn) -> bool:
        """What happens to it from outside; False: try again."""
        if drawn.fault == "kill engine":
            if state.pid is None or not identity.is_running(state.pid, state.pid_started):
                return False
            os.kill(state.pid, signal.SIGKILL)
        elif drawn.fault == "kill supervisor":
            assert state.supervisor_pid is not None
            os.kill(state.supervisor_pid, signal.SIGKILL)
        elif drawn.fault in ("stop", "stop now"):
            watch.request_stop(state, now=drawn.fault == "stop now")
        elif drawn.fault == "noise":
            (directory.path / "requests" / "0.json").write_bytes(b"\xff{")
            (directory.path / "requests" / "1.json").write_text('{"action": "take", "step": 99}')
        return True

    def _remember(self, state: RunState) -> None:
        self._note(state)
        for pid, started in ((state.supervisor_pid, state.supervisor_started), (state.pid, state.pid_started)):
            if pid is not None and started is not None:
                self._pids.add((pid, started))

    def _check(self, directory: RunDirectory, state: RunState, drawn: Drawn) -> None:
        """What must hold after every run."""
        why = f"{drawn} ended as {state}"
        assert state.phase in ("stopped", "failed"), why
        if state.failure is not None:
            assert state.failure.code in NAMED, why
            assert "please report" not in state.failure.text, why
            assert state.failure.text, why
        for attempt in state.attempts[:-1]:
            assert attempt.outcome is not None, why
        self._nothing_left(directory, why)
        lost.keep(watch.all_runs())
        assert load_results("soak")[-1].run == state.run, why
        for result in load_results("soak"):
            assert result.attempt, why
            assert result.outcome in ("ready", "failed", "stopped"), why

    def _nothing_left(self, directory: RunDirectory, why: str) -> None:
        deadline = time.monotonic() + 30
        while left := {(pid, started) for pid, started in self._pids if identity.is_running(pid, started)}:
            assert time.monotonic() < deadline, f"{left} is left: {why}"
            time.sleep(0.02)
        self._pids.clear()
        assert watch.live_runs() == [], why
        for card in range(len(self._rig.cards)):
            assert self._rig.allocated(card) == 0 or not self._alive(card), why
        with contextlib.suppress(RigtuiError):
            assert directory.read_request().plan.status != "no_fit", why

    def _alive(self, card: int) -> bool:
        return any(identity.start_time(pid) is not None for pid in self._rig.holders(card))

"""A rig of virtual GPUs for real llama.cpp, and the server running on it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nvml_stub import DRIVER, StubRig
from rigtui import files
from rigtui.rig import rigfile
from rigtui.text import MIB
from runs.support import wait_until

PROGRAMS = ("llama-server", "llama-fit-params")
_SIZE = re.compile(r"(\S+)\s+(model|KV|RS|compute) buffer size =\s+([\d.]+) MiB")
_ADDRESS = re.compile(r"listening on (http://127\.0\.0\.1:\d+)")
_WRITES_OR_FORKS = threading.Lock()
"""A child of one thread has what another one is writing open until it is another program: that cannot be executed yet (ETXTBSY)."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """A virtual GPU; sizes in MiB, bandwidths in 10^9 bytes per second."""

    name: str
    total_mib: int
    free_mib: int
    compute_capability: str = "8.6"
    bandwidth_gb_s: float = 0
    """What the driver tells of the card, and the speed at which it computes on a paced rig."""
    link_gb_s: float = 0
    """Of copies to the card; 0: as fast as it goes."""
    context_mib: int = 0
    """What a process takes when it first uses the card."""
    pool_mib: int = 0
    """What it takes with its first computation."""
    limit_mib: int | None = None
    """The most that one process may take."""
    fail_at: int = 0
    """The process dies at this computation on the card; 0: never."""
    display: bool = False
    """Drives a desktop."""


def cards_of(rig_file: Path) -> list[Card]:
    """The cards of a rig file."""
    return [
        Card(
            name=gpu.name,
            total_mib=(gpu.total_bytes or 0) // MIB,
            free_mib=(gpu.free_bytes or 0) // MIB,
            compute_capability=gpu.compute_capability or "8.6",
            bandwidth_gb_s=gpu.bandwidth_gb_s or 0,
        )
        for gpu in rigfile.load(rig_file).gpus
    ]


def describe(cards: Sequence[Card], *, compute: bool, paced: bool, ram_gb_s: float) -> str:
    """The text of rig.txt (tests/nvml_stub/rig_state.h)."""
    lines = [DRIVER.rstrip(), f"compute {int(compute)}", f"ram_gb_s {ram_gb_s if paced else 0}"]
    for index, card in enumerate(cards):
        lines += [
            f"card {card.name}",
            f"uuid {uuid(index)}",
            f"pci 00000000:{index + 1:02X}:00.0",
            f"cc {card.compute_capability}",
            f"total_mib {card.total_mib}",
            f"held_mib {card.total_mib - card.free_mib}",
            f"display {int(card.display)}",
            f"memory_clock {round(card.bandwidth_gb_s * 8000 / 2 / 256)}",  # what NVML is asked for instead of a bandwidth
            "bus_width 256",
            f"gb_s {card.bandwidth_gb_s if paced else 0}",
            f"link_gb_s {card.link_gb_s if paced else 0}",
            f"context_mib {card.context_mib}",
            f"pool_mib {card.pool_mib}",
            f"fail_at {card.fail_at}",
        ]
        lines += [] if card.limit_mib is None else [f"limit_mib {card.limit_mib}"]
    return "\n".join(lines) + "\n"


def rig_table(cards: Sequence[Card], ram_total_mib: int) -> dict[str, object]:
    """The cards as the table of a rig file."""
    keys = ("name", "compute_capability", "total_mib", "free_mib")
    gpus = [
        {key: getattr(card, key) for key in keys}
        | {"runtime_mib": card.context_mib}
        | ({"bandwidth_gb_s": card.bandwidth_gb_s} if card.bandwidth_gb_s else {})
        | ({"display": True} if card.display else {})
        for card in cards
    ]
    return {"rig": {"name": "virtual", "ram_total_mib": ram_total_mib, "ram_free_mib": ram_total_mib}, "gpu": gpus}


def uuid(index: int) -> str:
    """Of the card with this index."""
    return f"GPU-{index:08x}-0000-4000-8000-000000000000"


class VirtualRig:
    """Cards that programs see, what programs hold on them, and llama.cpp to run there.

    What the programs in `folder` and NVML (in the environment `env`) see of each other lies in the directory of `stub`.
    """

    def __init__(self, folder: Path, home: Path, library: Path, stub: StubRig, cards: Sequence[Card], ram_total_mib: int) -> None:
        self.cards = tuple(cards)
        self.stub = stub
        self.programs = folder / "bin"
        self.rig_file = folder / "virtual.toml"
        self._others: dict[int, subprocess.Popen[bytes]] = {}
        self.programs.mkdir(parents=True)
        for name in PROGRAMS:
            # The engine alone preloads the cards, not every program that starts it.
            script = self.programs / name
            with _WRITES_OR_FORKS:
                script.write_text(
                    f"#!/bin/sh\nRIGTUI_NVML_STUB='{stub.directory}' LD_PRELOAD='{library}' exec '{home / 'bin' / name}' \"$@\"\n"
                )
            script.chmod(0o755)
        self.rig_file.write_bytes(files.dump_toml(rig_table(cards, ram_total_mib)))

    @property
    def llama_server(self) -> Path:
        """Real llama-server, which sees these cards whatever its environment."""
        return self.programs / "llama-server"

    @property
    def env(self) -> dict[str, str]:
        """For programs that shall find the engine on PATH and read the cards through NVML."""
        return self.stub.env | {"PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}"}

    def take(self, card: int, mib: int) -> int:
        """From now on another program, a live process whose pid comes back, holds `mib` of `card`."""
        pid = self._other(card)
        self.stub.hold(pid, card, mib)
        return pid

    def take_later(self, card: int, mib: int, *, after_mib: int) -> int:
        """Another program, whose pid comes back, takes `mib` of `card` when an engine is about to hold more than `after_mib` there."""
        pid = self._other(card)
        text = (self.stub.directory / "rig.txt").read_text()
        before, _, after = text.partition(f"uuid {uuid(card)}\n")
        self.stub.write(f"{before}uuid {uuid(card)}\nrival {pid} {after_mib} {mib}\n{after}")
        return pid

    def _other(self, card: int) -> int:
        if card not in self._others:
            self._others[card] = subprocess.Popen(["sleep", "3600"])
        return self._others[card].pid

    def holders(self, card: int) -> dict[int, int]:
        """Bytes that engines hold on `card`, by pid."""
        held: dict[int, int] = defaultdict(int)
        others = {process.pid for process in self._others.values()}
        for path in (self.stub.directory / "processes").iterdir():
            if path.name.isdigit() and int(path.name) not in others:
                for line in path.read_text().splitlines():
                    index, _, amount, *_ = line.split()
                    held[int(path.name)] += int(amount) if int(index) == card else 0
        return {pid: amount for pid, amount in held.items() if amount}

    def allocated(self, card: int) -> int:
        """Bytes that engines hold on `card`."""
        return sum(self.holders(card).values())

    def serve(self, model: Path, *arguments: str, environment: dict[str, str] | None = None) -> LlamaServer:
        """Start llama-server on a free port."""
        log = self.programs.parent / f"server-{len(list(self.programs.parent.glob('server-*.log')))}.log"
        return LlamaServer([str(self.llama_server), "-m", str(model), *arguments], log, environment or {})

    def end(self) -> None:
        """No other program runs any more."""
        for process in self._others.values():
            process.kill()
            process.wait()


@dataclass
class Buffers:
    """What a device holds by the engine's own words, bytes (rounded to 0.01 MiB)."""

    weights: float = 0
    kv: float = 0
    """With recurrent state."""
    compute: float = 0

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.kv + self.compute

    def add(self, kind: str, mib: float) -> None:
        """One line of the log."""
        if kind == "model":
            self.weights += mib * MIB
        elif kind == "compute":
            self.compute = mib * MIB  # tried twice sometimes: the last one counts
        else:
            self.kv += mib * MIB


def buffers_of(log: str) -> dict[str, Buffers]:
    """By device, as a log says."""
    found: dict[str, Buffers] = defaultdict(Buffers)
    for device, kind, mib in _SIZE.findall(log):
        found[device].add(kind, float(mib))
    return found


class LlamaServer:
    """A llama-server that runs until `stop`; a context manager that stops it."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str], verbosity: int = 4) -> None:
        self._log = log
        argv = [*command, "--port", "0", "--offline", "-lv", str(verbosity)]
        with log.open("wb") as stream, _WRITES_OR_FORKS:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, env={**os.environ, **environment}
            )

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def address(self) -> str:
        """Where it listens; waits until it does. Fails with its last lines when it ends instead."""
        found = wait_until(lambda: _ADDRESS.search(self.log) or self.process.poll() is not None, "the server is ready", 120)
        assert isinstance(found, re.Match), f"ended with {self.process.returncode}:\n" + "\n".join(self.log.splitlines()[-15:])
        return str(found[1])

    @property
    def buffers(self) -> dict[str, Buffers]:
        """By device, as it has said."""
        return buffers_of(self.log)

    def ended(self) -> int:
        """Its exit code, waited for."""
        return self.process.wait(120)

    def stop(self) -> int:
        """Stop it as a user would; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def __enter__(self) -> LlamaServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

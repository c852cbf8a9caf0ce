"""How well rigtui's preview agrees with what real llama-server decides and allocates. Run by `make bench-preview`; README.md says more.

Exits with 1 when a figure is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.preview_cases import Case, draw
from bench.preview_load import ENDLESS, BeyondThisMachineError, Load, Loads
from engine.virtual_rig import Card, rig_table
from rigtui import files
from rigtui.engines.llamacpp.arguments import RefusedError, read_command
from rigtui.engines.llamacpp.preview import preview
from rigtui.errors import UsageError
from rigtui.planning.plan import Plan
from rigtui.rig import rigfile
from rigtui.text import MIB
from tools.make_gguf import model

CLOSE = 1.01
"""MiB: the engine rounds to 0.01."""


@dataclass
class Figure:
    """One property over all rows it can be asked of."""

    name: str
    wanted: float
    """Share of rows that must be within."""
    limit: float
    """What every row must be within; infinite: no such limit."""
    rows: int = 0
    good: int = 0
    worst: float = 0
    where: str = ""
    missed: list[tuple[float, str]] = field(default_factory=list)

    def add(self, off: float, good: bool, where: str) -> None:
        """One row: how far off, whether that is within, and what it is."""
        self.rows += 1
        self.good += good
        if not good:
            self.missed.append((off, where))
        if off > self.worst:
            self.worst, self.where = off, where

    @property
    def reached(self) -> bool:
        """Whether the figure is reached."""
        return self.good >= self.wanted * self.rows and self.worst <= self.limit

    def __str__(self) -> str:
        share = f"{100 * self.good / self.rows:5.1f} %" if self.rows else "  none "
        text = f"{'ok  ' if self.reached else 'MISS'} {share} of {self.rows:4} {self.name}; worst {self.worst:.1f}"
        return text + (f": {self.where}" if self.where else "")


class Figures:
    """What the comparison is about; sizes in MiB."""

    def __init__(self) -> None:
        endless = float("inf")
        self.weights = Figure("device rows: weights within 1 MiB", 1, endless)
        self.kv = Figure("device rows: KV and recurrent state within 1 MiB", 1, endless)
        self.compute = Figure("device rows, neither layers nor KV in RAM: compute within 1 MiB", 0.9, 48)
        self.first = Figure("first GPUs with layers or KV in RAM: compute within 256 MiB or 25 %", 1, endless)
        self.others = Figure("other GPUs with layers or KV in RAM: compute within 64 MiB", 1, endless)
        self.low = Figure("device rows: compute at most 32 MiB below the engine's", 1, 32)
        self.host = Figure("host compute buffers: at most 32 MiB below the engine's", 1, endless)
        self.exact = Figure("decisions: same context, same layers on every device", 0.95, endless)
        self.near = Figure("decisions: within 2 layers and 5 % of context", 1, endless)
        self.reason = Figure("--fit gives up where the preview says so, for the same reason", 1, endless)
        self.pipeline = Figure("pipeline parallelism as previewed", 1, endless)
        self.loads = Figure("plans that fit load", 1, endless)
        self.all = [value for value in vars(self).values() if isinstance(value, Figure)]

    def compare(self, case: Case, plan: Plan, load: Load) -> None:
        """Add one case."""
        fits = plan.status in ("fits", "tight", "offload")
        if fits:
            self.loads.add(0 if load.ready else 1, load.ready, f"{case} [{load.error}]")
        if not load.layers:
            return
        message = plan.engine_view.fit.message or ""
        self.reason.add(0, load.gave_up == message, f"{case} [engine: {load.gave_up or 'ok'}; preview: {message or 'ok'}]")
        same = self._decision(case, plan, load)
        if not load.ready or load.retried or not same:
            return
        self.pipeline.add(0, plan.engine_view.pipeline_parallel == load.pipeline, str(case))
        for index in range(len(plan.devices)):
            self._device(case, plan, load, index)
        host = sum(compute for name, (_, _, compute) in load.buffers.items() if not name.startswith("CUDA") or name == "CUDA_Host")
        low = host - plan.host.compute_bytes / MIB
        self.host.add(max(low, 0), low <= 32, f"{case} [host: {host:.1f}, {plan.host.compute_bytes / MIB:.1f} previewed]")

    def _decision(self, case: Case, plan: Plan, load: Load) -> bool:
        """True when both place the same bytes on every device."""
        unloaded = model(case.model).mtp_layers  # the engine assigns them as well; they lie beside the head
        off = [abs(d.layers + d.output * (1 + unloaded) - load.layers.get(d.device, 0)) for d in plan.devices]
        context = abs(plan.context / load.context - 1) if load.context else 0
        mine = [d.layers + d.output for d in plan.devices]
        where = f"{case} [context {load.context}, {plan.context} previewed; layers {dict(load.layers)}, {mine} previewed]"
        same = not any(off) and load.context in (0, plan.context)  # 0: it did not come that far
        # Which parts of layers lie elsewhere shows in the weights alone.
        parts = not plan.engine_view.override_tensor or all(
            abs(d.weights_bytes / MIB - load.buffers[d.device][0]) <= CLOSE for d in plan.devices if d.device in load.buffers
        )
        self.exact.add(max(off, default=0), same and parts, where)
        self.near.add(max(off, default=0), max(off, default=0) <= 2 and context <= 0.05, where)
        return same and parts

    def _device(self, case: Case, plan: Plan, load: Load, index: int) -> None:
        device = plan.devices[index]
        weights, kv, compute = load.buffers.get(device.device, (0.0, 0.0, 0.0))
        said = f"{case} [{device.device} of {len(plan.devices)}: "
        for figure, real, ours in ((self.weights, weights, device.weights_bytes), (self.kv, kv, device.kv_bytes)):
            off = abs(ours / MIB - real)
            figure.add(off, off <= CLOSE, f"{said}{real:.2f}, {ours / MIB:.2f} previewed]")
        mine = device.compute_bytes / MIB
        off, where = abs(mine - compute), f"{said}compute {compute:.2f}, {mine:.2f} previewed]"
        in_ram = plan.host.offloaded_layers or plan.host.kv_bytes or not any(d.output for d in plan.devices)
        if not in_ram:
            self.compute.add(off, off <= CLOSE, where)
        elif index == 0:
            self.first.add(off, off <= max(256, compute / 4), where)
        else:
            self.others.add(off, off <= 64, where)
        self.low.add(max(compute - mine, 0), compute - mine <= 32, where)


def previewed(case: Case, folder: Path) -> Plan:
    """What rigtui says of the case. Raises UsageError or RefusedError."""
    cards = [Card(name=name, total_mib=total, free_mib=free, compute_capability=cc) for name, total, free, cc in case.cards]
    path = folder / "rig.toml"
    path.write_bytes(files.dump_toml(rig_table(cards, 262144)))
    words = ("llama-server", "-m", case.model, *case.arguments)
    return preview(rigfile.load(path), model(case.model), read_command(words), words)


def said(error: str, refusal: str) -> bool:
    """Whether the engine ends for the reason that the preview gives."""
    return refusal in error or (error == ENDLESS and refusal.startswith(ENDLESS))


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, and print the figures."""
    options = _options(arguments)
    os.nice(5)
    loads, figures, done, skipped, beyond = Loads(), Figures(), 0, 0, 0
    seen: list[Case] = []
    until = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as folder:
        for case in draw(options.seed, only=options.only):
            if done == options.cases or time.monotonic() > until:
                break
            done += 1
            seen.append(case)
            try:
                load = loads(case)
            except BeyondThisMachineError:
                beyond += 1
                continue
            try:
                figures.compare(case, previewed(case, Path(folder)), load)
            except RefusedError as refused:
                figures.loads.add(0, said(load.error, str(refused)), f"{case} [refused: {refused}]")
            except UsageError as problem:
                skipped += 1
                print(f"not previewed: {case}: {problem}")
            if sys.stderr.isatty():
                print(f"\r{done} of {options.cases}", end="", file=sys.stderr, flush=True)
    shapes = {case.model for case in seen}
    print(
        f"\n{done} cases, seed {options.seed}: {len(shapes)} shapes of {len({model(name).architecture for name in shapes})} architectures"
    )
    print(f"{beyond} of them need more RAM than this machine has; engine figures in {loads.file}")
    for figure in figures.all:
        print(figure)
        for off, where in sorted(figure.missed, reverse=True)[: options.show]:
            print(f"       {off:7.1f} {where}")
    return 0 if all(figure.reached for figure in figures.all) and not skipped else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=320, help="how many")
    parser.add_argument("--seconds", type=float, default=3600, help="stop after that long, with what there is")
    parser.add_argument("--seed", type=int, default=1, help="other cases")
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--show", type=int, default=0, help="print so many rows that miss each figure")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

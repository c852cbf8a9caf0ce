"""`rigtui gpus`: what every card has, by kind of use."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rigtui.cli.output import print_json
from rigtui.errors import EXIT_DONE

if TYPE_CHECKING:
    from rigtui.rig.rig import Gpu, Rig

REFRESH_S = 1.0
_CLEAR = "\x1b[H\x1b[2J"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="as data on stdout")
    parser.add_argument("--watch", action="store_true", help="again every second, until Ctrl-C; with --json one line each")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    rig = reading(args.rig_file)
    if not args.watch:
        if args.json:
            print_json(as_json(rig))
        else:
            print(_text(rig))
        return EXIT_DONE
    while True:
        _show_again(rig, args.json)
        time.sleep(REFRESH_S)
        rig = reading(args.rig_file)


def reading(rig_file: str | None) -> Rig:
    """This rig now with rigtui's own engines told apart, or the rig of `rig_file`.

    Raises UsageError for a rig file that cannot be followed.
    """
    if rig_file is not None:
        from rigtui.rig import rigfile

        return rigfile.load(Path(rig_file))
    from rigtui.rig.sampler import read_rig
    from rigtui.runs.watch import engines_on_this_rig

    return read_rig(engines_on_this_rig())


def as_json(rig: Rig) -> dict[str, Any]:
    """The contract `rigtui.gpus/1`."""
    scalars = {name: getattr(rig, name) for name in rig.__struct_fields__ if name != "gpus"}
    return {"schema": "rigtui.gpus/1", "rig": scalars, "gpus": [_gpu(gpu) for gpu in rig.gpus]}


def _gpu(gpu: Gpu) -> dict[str, Any]:
    names = (
        *("index", "uuid", "pci", "name", "compute_capability", "total_bytes", "free_bytes", "reserved_bytes", "desktop_bytes"),
        *("others_bytes", "engines_bytes", "unknown_bytes", "display", "utilization", "temperature_c", "power_w", "pcie"),
    )
    processes = gpu.processes and [{"pid": p.pid, "name": p.name, "kind": p.kind, "bytes": p.bytes} for p in gpu.processes]
    return {**{name: getattr(gpu, name) for name in names}, "processes": processes, "error": gpu.error}


def _text(rig: Rig) -> str:
    from rigtui.cli.gpus_text import table

    return table(rig)


def _show_again(rig: Rig, json: bool) -> None:
    if json:
        import msgspec

        print(msgspec.json.encode(as_json(rig)).decode(), flush=True)
    else:
        # On a terminal each reading takes the place of the one before; in a file or a pipe they follow each other.
        print(_CLEAR + _text(rig) if sys.stdout.isatty() else _text(rig) + "\n", flush=True)

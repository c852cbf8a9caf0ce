"""`rigtui rig save FILE`: this rig as a rig file."""

from __future__ import annotations

import argparse
from pathlib import Path

from rigtui.cli.output import note, print_json
from rigtui.errors import EXIT_DONE, RigtuiError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("action", choices=["save"], help="what to do")
    parser.add_argument("file", metavar="FILE", help="the TOML file to write")
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there")
    parser.add_argument("--json", action="store_true", help="say what was written as data on stdout")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    from rigtui import files
    from rigtui.cli.gpus_command import reading
    from rigtui.rig import rigfile

    path = Path(args.file)
    if path.exists() and not args.force:
        raise RigtuiError(f"{path} is already there; choose another name, or replace it with --force")
    if not path.absolute().parent.is_dir():
        raise RigtuiError(f"there is no folder {path.parent}; make it first, or choose another place")
    rig = reading(args.rig_file)
    files.write_atomic(path, rigfile.dump(rig))
    saved = [gpu for gpu in rig.gpus if gpu.error is None]
    if args.json:
        print_json({"schema": "rigtui.rig/1", "path": str(path.absolute()), "name": rig.name, "gpus": len(saved)})
    else:
        note(f"saved {rig.name} with {len(saved)} {'GPU' if len(saved) == 1 else 'GPUs'} to {path}")
    if rig.problem is not None:
        note(f"no GPU was saved: {rig.problem}")
    return EXIT_DONE

"""`rigtui export`: profiles in another tool's format."""

from __future__ import annotations

import argparse
from pathlib import Path

from rigtui.cli.output import note
from rigtui.errors import EXIT_DONE


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    from rigtui.export.exported import FORMATS

    parser.add_argument("profile", nargs="+", metavar="PROFILE", help="names of profiles")
    parser.add_argument("--to", required=True, choices=FORMATS, help="the format")
    parser.add_argument("-o", "--output", metavar="FILE", help="write here instead of standard output")
    parser.add_argument(
        "--models-dir", metavar="DIR", help="models.conf, compose: the folder that the container sees (default: the one the models lie in)"
    )


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    from rigtui.export.profiles import exported

    text = exported(args, args.profile, args.to, models_dir=args.models_dir, tell=note, say=note)
    if args.output is None:
        print(text, end="")
        return EXIT_DONE
    from rigtui.export.written import write_out

    note(f"wrote {write_out(Path(args.output), text)}")
    return EXIT_DONE

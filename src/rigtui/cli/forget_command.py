"""`rigtui forget`: later plans take nothing more from the runs so far. They are marked, not erased."""

from __future__ import annotations

import argparse
from pathlib import Path

from rigtui.cli.output import note
from rigtui.errors import EXIT_DONE, UsageError
from rigtui.runs.results import mark_forgotten


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("name", metavar="PROFILE|MODEL", help="a profile, or a model by its name: its runs under every profile")
    parser.add_argument("--undo", action="store_true", help="learn from them again")


def run(args: argparse.Namespace) -> int:
    """Mark the runs and say how many there were."""
    count = mark_forgotten(_name(args.name), forgotten=not args.undo)
    if not count:
        known = "is forgotten" if args.undo else "was kept that is not forgotten already"
        raise UsageError(f"nothing of {args.name} {known}; `rigtui results {args.name}` shows what there is")
    runs = "1 run" if count == 1 else f"{count} runs"
    what = "learned from again" if args.undo else "forgotten; `rigtui results` still shows them, --undo undoes it"
    note(f"{runs} of {args.name}: {what}")
    return EXIT_DONE


def _name(text: str) -> str:
    """The name under which results are kept: a file or a reference means the model in it."""
    if not Path(text).exists() and not text.startswith(("hf:", "ollama:")):
        return text
    from rigtui.intent.config import load_config
    from rigtui.models.resolve import resolve

    return resolve(text, load_config().models.folders).name

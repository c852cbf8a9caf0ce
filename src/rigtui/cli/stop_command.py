"""`rigtui stop`: stop a run, and wait until its engine is gone."""

from __future__ import annotations

import argparse

from rigtui.cli.output import note, print_json
from rigtui.errors import EXIT_DONE, UsageError
from rigtui.runs.listing import runs_json
from rigtui.runs.watch import find_run, live_runs, stop_and_wait


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("name", nargs="?", metavar="RUN", help="the beginning of a run's id, or its profile or model")
    parser.add_argument("--all", action="store_true", help="every run on this rig")
    parser.add_argument("--now", action="store_true", help="kill the engine instead of asking it to end")
    parser.add_argument("--json", action="store_true", help="the stopped runs as JSON (rigtui.runs/1)")


def run(args: argparse.Namespace) -> int:
    """Stop, wait, say what was stopped."""
    if args.all == (args.name is not None):
        raise UsageError("name the run to stop, or say --all; `rigtui ps` shows what runs")
    states = live_runs() if args.all else [find_run(args.name)]
    ended = []
    for state in states:
        name = f"{state.run} ({state.profile or state.model})"
        ended.append(stop_and_wait(state, now=args.now))
        note(f"{name} stopped" if state.live else f"{name} had ended already ({state.phase})")
    if not states:
        note("nothing runs on this rig")
    if args.json:
        print_json(runs_json(ended))
    return EXIT_DONE

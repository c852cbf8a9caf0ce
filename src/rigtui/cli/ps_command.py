"""`rigtui ps`: the runs on this rig."""

from __future__ import annotations

import argparse

from rigtui.cli.output import note, print_json
from rigtui.errors import EXIT_DONE
from rigtui.runs import lost
from rigtui.runs.listing import runs_json
from rigtui.runs.state import RunState
from rigtui.runs.watch import all_runs
from rigtui.text import clean


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--all", action="store_true", help="with those that have ended")
    parser.add_argument("--json", action="store_true", help="as JSON (rigtui.runs/1)")


def run(args: argparse.Namespace) -> int:
    """Print the runs, oldest first."""
    known = all_runs()
    if not args.read_only:
        lost.keep(known)
    states = known if args.all else [state for state in known if state.live]
    if args.json:
        print_json(runs_json(states))
    elif states:
        print(f"{'RUN':<9} {'PHASE':<9} {'PORT':>5} {'CONTEXT':>9}  {'STARTED (UTC)':<17} NAME")
        for state in states:
            print("\n".join(run_lines(state)))
    else:
        note("no run was ever started on this rig" if args.all else "nothing runs on this rig; `rigtui ps --all` shows what ran")
    return EXIT_DONE


def run_lines(state: RunState) -> list[str]:
    """A run in one line; below it what its last attempt changed, and why it failed when it did."""
    started = state.started[:16].replace("T", " ")
    phase = f"load {state.progress:.0%}" if state.phase == "loading" and state.progress is not None else state.phase
    name = clean(f"{state.profile}: {state.model}" if state.profile else state.model)
    lines = [f"{state.run:<9} {phase:<9} {state.port:>5} {state.context:>9,}  {started:<17} {name}"]
    if state.attempt > 1:
        lines.append(f"{'':<9} attempt {state.attempt} of {state.attempts_most}: {clean(state.attempts[-1].change or '')}")
    if state.failure is not None:
        lines.append(f"{'':<9} {clean(state.failure.text)}")
        lines += [f"{'':<9} the engine said: {clean(state.failure.line)}"] if state.failure.line else []
    return lines

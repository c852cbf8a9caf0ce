"""`rigtui step`: the steps that would mend a run, and taking one of them by hand."""

from __future__ import annotations

import argparse

from rigtui.cli.output import note, print_json
from rigtui.errors import EXIT_DONE
from rigtui.runs.watch import find_run, request_step
from rigtui.text import clean

STEPS_SCHEMA = "rigtui.steps/1"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("name", metavar="RUN", help="the beginning of a run's id, or its profile or model")
    parser.add_argument("number", nargs="?", type=int, metavar="N", help="give up the attempt for the N-th step (left out: list them)")
    parser.add_argument("--json", action="store_true", help="the steps as JSON (rigtui.steps/1)")


def run(args: argparse.Namespace) -> int:
    """List the steps, or take one."""
    state = find_run(args.name, live=args.number is not None)
    if args.number is not None:
        request_step(state, args.number - 1)
        note(f"{state.run} gives up attempt {state.attempt} for: {clean(state.steps[args.number - 1].text)}")
    elif not args.json:
        for number, step in enumerate(state.steps, start=1):
            taken = "  (taken)" if number - 1 == state.step else ""
            print(f"{number}  {step.status}, {step.context:,} tokens, {clean(step.summary)}{taken}\n   {clean(step.text)}")
        if not state.steps:
            note(f"{state.run} has no step to take: nothing of it failed, or nothing would mend it")
    if args.json:
        print_json({"schema": STEPS_SCHEMA, "run": state.run, "taken": state.step, "steps": state.steps})
    return EXIT_DONE

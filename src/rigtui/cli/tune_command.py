"""`rigtui tune`: try what the user left open, measure it, keep the best."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from rigtui.cli.ending import answered_after, exit_code
from rigtui.cli.output import note, print_json
from rigtui.errors import EXIT_DONE, EXIT_FAILED
from rigtui.planning.remembered import described, numbers_of

if TYPE_CHECKING:
    from rigtui.intent.intent import Overrides
    from rigtui.runs.tune import TrialResult

TUNING_SCHEMA = "rigtui.tuning/1"
_BAR = 24


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("profile", metavar="PROFILE", help="what you set in it stays as it is")
    parser.add_argument("--save", action="store_true", help="write the best settings into the profile, too")
    parser.add_argument("--again", action="store_true", help="begin anew instead of going on where the last tuning was")
    parser.add_argument("--probe", choices=("quick", "full"), default="quick", help="full: measure with a prompt near the whole context")
    parser.add_argument("--json", action="store_true", help="the trials as JSON (rigtui.tuning/1)")


def run(args: argparse.Namespace) -> int:
    """Run the trials that are left; Ctrl-C stops the one that runs, and the next call goes on from there."""
    from rigtui.runs.tune_profile import save_best, tuning_of

    tuning = tuning_of(args, args.profile, again=args.again, probe=args.probe, say=note)
    if not tuning.axes:
        note(f"there is nothing to try: {args.profile} sets all of it, or this rig leaves no choice")
        return EXIT_DONE
    done = len(tuning.trials())
    went_on = f"; {done} are measured already" if done else ""
    note(f"tuning {args.profile}: {', '.join(axis.name for axis in tuning.axes)} in at most {tuning.limit} trials{went_on}")
    try:
        with closing(tuning.steps(unbroken=answered_after)) as steps:
            for trial in steps:
                done += 1
                note(f"{done:>3}  {_line(trial, numbers_of(tuning.rig))}")
    except KeyboardInterrupt as interrupt:
        note(f"broken off; no engine is left running, and `rigtui tune {args.profile}` goes on after {len(tuning.trials())} trials")
        return exit_code(interrupt)
    trials, best, cards = tuning.trials(), tuning.search().best, numbers_of(tuning.rig)
    if args.json:
        print_json({"schema": TUNING_SCHEMA, "tuning": tuning.id, "best": best, "trials": trials})
    else:
        print("\n".join(tuning_lines(trials, best, cards)))
    if best is None:
        note("none of the trials worked; `rigtui results` says why")
        return EXIT_FAILED
    if args.save:
        note(f"saved in {save_best(args, args.profile, best)}")
    else:
        note(f"`rigtui run {args.profile}` begins with the best from now on; the profile itself is as it was (--save writes it there)")
    return EXIT_DONE


def tuning_lines(trials: list[TrialResult], best: Overrides | None, cards: Mapping[str, str]) -> list[str]:
    """The trials as a table with a bar for each, best first; `cards` are the names of the cards."""
    top = max((trial.value for trial in trials), default=0.0)
    lines = [f"{'':<{_BAR}}  {'decode':>7} {'prefill':>8} {'first':>6} {'splits':>6} {'context':>8}  settings"]
    for trial in sorted(trials, key=lambda one: -one.value):
        bar = "█" * round(_BAR * trial.value / top) if top else ""
        mark = "  ← best" if trial.is_best(best) else trial.remark
        lines.append(f"{bar:<{_BAR}}  {_numbers(trial)}  {described(trial.settings, cards)}{mark}")
    return lines


def _line(trial: TrialResult, cards: Mapping[str, str]) -> str:
    settings = described(trial.settings, cards)
    if not trial.value:
        return f"{settings}: failed, {trial.failure or 'not measured'}"
    return f"{settings}: decode {trial.decode_tok_s or 0:,.1f} tok/s, prefill {trial.prefill_tok_s or 0:,.0f} tok/s"


def _numbers(trial: TrialResult) -> str:
    def number(value: float | None, width: int, digits: int) -> str:
        return f"{'–' if value is None else f'{value:,.{digits}f}':>{width}}"

    return (
        f"{number(trial.decode_tok_s, 7, 1)} {number(trial.prefill_tok_s, 8, 0)} {number(trial.ttft_s, 6, 2)} "
        f"{number(trial.graph_splits, 6, 0)} {trial.context:>8,}"
    )

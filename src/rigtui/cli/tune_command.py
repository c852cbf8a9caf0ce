"""`rigtui tune`: try what the user left open, measure it, keep the best."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from rigtui.cli.ending import answered_after, exit_code
from rigtui.cli.output import note, print_json
from rigtui.errors import EXIT_DONE, EXIT_FAILED, UsageError
from rigtui.planning.remembered import described, numbers_of

if TYPE_CHECKING:
    from rigtui.intent.intent import Overrides
    from rigtui.runs.tune import TrialResult, Tuning

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


def tuning_of(
    args: argparse.Namespace, name: str, *, again: bool = False, probe: str = "quick", say: Callable[[str], object] | None = None
) -> Tuning:
    """The tuning of a profile on this machine; `args` are the global options, `say` is told where an engine has to be asked first.

    Raises UsageError where there is no such profile or a rig file is planned for, RigtuiError where nothing can be tuned now.
    """
    from rigtui.intent.config import load_config
    from rigtui.intent.profiles import directories, find
    from rigtui.intent.use_cases import load_use_cases
    from rigtui.models.resolve import resolve
    from rigtui.runs.builds import builds_for
    from rigtui.runs.reading import current_rig
    from rigtui.runs.tune import Asked, Tuning

    if args.rig_file:
        raise UsageError("tuning measures this machine: it cannot be done for the rig of a rig file")
    profile = find(name, directories(args.profiles_dir)).profile
    model, intent = resolve(profile.model, load_config().models.folders), profile.intent(load_use_cases())
    asked = Asked(name=profile.name, model=model, intent=intent, builds=builds_for(model, intent, say=say), probe=probe)
    return Tuning(asked, lambda: current_rig(args), again=again)


def save_best(args: argparse.Namespace, name: str, best: Overrides) -> str:
    """Write the best settings into the profile's file, where the user set nothing; returns which file."""
    from rigtui.intent.intent import with_settings
    from rigtui.intent.profile import profile_of
    from rigtui.intent.profiles import directories, find, save
    from rigtui.intent.use_cases import load_use_cases

    dirs = directories(args.profiles_dir)
    profile = find(name, dirs).profile
    intent = with_settings(profile.intent(load_use_cases()), best)
    return str(save(profile_of(intent, profile.name, profile.model), dirs[0], overwrite=True))


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

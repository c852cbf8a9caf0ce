"""`rigtui results`: what earlier runs of a profile measured, and what is learned from it."""

from __future__ import annotations

import argparse

from rigtui.cli.output import note, print_json
from rigtui.errors import EXIT_DONE, RigtuiError, UsageError
from rigtui.planning.lesson_text import lesson_of
from rigtui.planning.outcomes import AttemptResult, ResultDevice, RunResult
from rigtui.planning.regression import regressions
from rigtui.runs import lost
from rigtui.runs.results import RESULTS_SCHEMA, load_results, results_of_profile, results_path
from rigtui.runs.watch import all_runs
from rigtui.text import MIB, clean, mib


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("profile", metavar="PROFILE", help="a profile; for runs without one, the model's name")
    parser.add_argument("--json", action="store_true", help="as JSON (rigtui.results/1)")


def run(args: argparse.Namespace) -> int:
    """Print the results, oldest first."""
    if not args.read_only:
        lost.keep(all_runs())
    results = results_of_profile(args.profile) if _is_profile(args) else load_results(args.profile)
    if args.json:
        print_json({"schema": RESULTS_SCHEMA, "runs": results})
    elif not results:
        note(f"nothing was measured for {args.profile} yet ({results_path(args.profile)} is not there); `rigtui run` measures every run")
    else:
        print("\n\n".join("\n".join([*result_lines(result), *_learned(result, results)]) for result in results))
    return EXIT_DONE


def _is_profile(args: argparse.Namespace) -> bool:
    """Whether a profile has the name; a run without one has its model's.

    Raises UsageError when neither a profile nor a model has it and nothing was measured under it.
    """
    from rigtui.intent.config import load_config
    from rigtui.intent.profiles import directories, find
    from rigtui.models.resolve import resolve

    try:
        find(args.profile, directories(args.profiles_dir))
    except UsageError as unknown:
        if results_path(args.profile).exists():
            return False
        try:
            resolve(args.profile, load_config().models.folders)
        except RigtuiError:
            raise UsageError(f"nothing was measured for {clean(args.profile)}, and {unknown}") from unknown
        return False
    return True


def result_lines(result: RunResult) -> list[str]:
    """One run as text: its attempts with what they planned and took."""
    marks = [
        text for text, holds in (("planned for another rig", result.simulated), ("a trial of tuning", result.trial is not None)) if holds
    ]
    lines = [
        f"{result.started}  {result.run}  {result.outcome}" + "".join(f"  ({mark})" for mark in marks),
        f"  {clean(result.model)} with {clean(result.build)}",
    ]
    for number, attempt in enumerate(result.attempt, 1):
        if len(result.attempt) > 1:
            lines.append(f"  attempt {number}: {clean(attempt.change or 'as planned')}")
        lines += _attempt_lines(attempt)
    return lines


def _learned(result: RunResult, results: list[RunResult]) -> list[str]:
    worse = [f"  worse: {text}" for text in regressions(result, results)]
    return [*worse, *(f"  lesson: {text}" for text in lesson_of(result))]


def _attempt_lines(attempt: AttemptResult) -> list[str]:
    kv_type = "/".join(dict.fromkeys(attempt.kv_type))
    lines = [f"  {attempt.context:,} tokens of context, KV {kv_type}"]
    speeds = [
        ("decode", attempt.decode_tok_s, "tok/s"),
        ("prefill", attempt.prefill_tok_s, "tok/s"),
        ("first token after", attempt.ttft_s, "s"),
        ("loaded in", attempt.load_s, "s"),
    ]
    known = [f"{name} {value:,.2f} {unit}" for name, value, unit in speeds if value is not None]
    if known:
        lines.append("  " + ", ".join(known))
    lines += [f"  {device.device} {clean(device.name)}: {_peak(device)}" for device in attempt.devices]
    if attempt.spilled is not None:
        lines.append(f"  spilled: {clean(attempt.spilled)}")
    if attempt.failure is not None:
        lines.append(f"  failed: {attempt.failure}" + (f": {clean(attempt.line)}" if attempt.line else ""))
        if attempt.missing_bytes is not None:
            lines.append(f"  missing: {mib(attempt.missing_bytes)} on {attempt.failed_device or 'a device'}")
    return lines


def _peak(device: ResultDevice) -> str:
    text = f"planned {mib(device.planned_bytes)}, peak {mib(device.peak_bytes)}"
    if device.peak_bytes is None:
        return text
    more = device.peak_bytes - device.planned_bytes
    return text + (f" ({mib(abs(more))} {'more' if more > 0 else 'less'})" if abs(more) >= MIB else " (as planned)")

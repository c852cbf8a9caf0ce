"""`rigtui results`: what earlier runs of a profile measured."""

from __future__ import annotations

import argparse

from rigtui.cli.output import note, print_json
from rigtui.errors import EXIT_DONE
from rigtui.runs.results import RESULTS_SCHEMA, AttemptResult, RunResult, load_results, results_path
from rigtui.text import clean, mib


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("profile", metavar="PROFILE", help="a profile; for runs without one, the model's name")
    parser.add_argument("--json", action="store_true", help="as JSON (rigtui.results/1)")


def run(args: argparse.Namespace) -> int:
    """Print the results, oldest first."""
    results = load_results(args.profile)
    if args.json:
        print_json({"schema": RESULTS_SCHEMA, "runs": results})
    elif not results:
        note(f"nothing was measured for {args.profile} yet ({results_path(args.profile)} is not there); `rigtui run` measures every run")
    else:
        print("\n\n".join("\n".join(result_lines(result)) for result in results))
    return EXIT_DONE


def result_lines(result: RunResult) -> list[str]:
    """One run as text."""
    """One run as text."""
    simulated = "  (planned for another rig)" if result.simulated else ""
    lines = [f"{result.started}  {result.run}  {result.outcome}{simulated}", f"  {clean(result.model)} with {clean(result.build)}"]
    for attempt in result.attempt:
        lines += _attempt_lines(attempt)
    return lines


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
    lines += [
        f"  {device.device} {clean(device.name)}: planned {mib(device.planned_bytes)}, peak {mib(device.peak_bytes)}"
        for device in attempt.devices
    ]
    if attempt.failure is not None:
        lines.append(f"  failed: {attempt.failure}" + (f": {clean(attempt.line)}" if attempt.line else ""))
    return lines

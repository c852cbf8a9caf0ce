"""`rigtui preview -- llama-server ARGS…`: what this very command would do on this rig."""

from __future__ import annotations

import argparse

from rigtui.cli.output import print_json
from rigtui.cli.plan_command import plan_lines
from rigtui.cli.target import current_rig
from rigtui.errors import EXIT_DONE, EXIT_NO_FIT, RigtuiError, UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="the whole plan as JSON (rigtui.plan/1)")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="-- llama-server ARGS…", help="the command, after --")


def run(args: argparse.Namespace) -> int:
    """Print what the command would do; exit code 1 when llama.cpp would refuse it, 3 when it does not fit."""
    from rigtui.engines.llamacpp.arguments import read_command
    from rigtui.engines.llamacpp.preview import RefusedError, preview
    from rigtui.models.gguf import read_gguf
    from rigtui.planning.plan import PLAN_SCHEMA

    words = tuple(args.words[1:] if args.words[:1] == ["--"] else args.words)
    asked = read_command(words)
    if asked.model is None:
        raise UsageError("the command names no model file; add -m FILE")
    try:
        plan = preview(current_rig(args), read_gguf(asked.model), asked, words)
    except RefusedError as refused:
        if args.json:
            print_json(
                {"schema": PLAN_SCHEMA, "engine": "llama.cpp", "engine_view": {"fit": {"status": "refused", "message": str(refused)}}}
            )
        raise RigtuiError(f"llama.cpp refuses this command: {refused}") from refused
    if args.json:
        print_json(plan)
    else:
        print("\n".join(plan_lines(plan, explain=False)))
    return EXIT_NO_FIT if plan.status == "no_fit" else EXIT_DONE

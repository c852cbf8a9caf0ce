"""`rigtui demo`: a rig that is only described, a tiny model, the embedded engine, and everything else real."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from rigtui.cli.output import note
from rigtui.errors import EXIT_DONE, MissingError, RigtuiError

if TYPE_CHECKING:
    from rigtui.cli.target import Target
    from rigtui.runs.state import RunState

RIG_FILE = Path(__file__).parents[1] / "demo" / "rig.toml"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--headless", action="store_true", help="without the screen: plan, launch, measure, print, stop")


def run(args: argparse.Namespace) -> int:
    """Open the screen on the demo's rig, or do all of it without one."""
    from rigtui.demo.tiny_model import NAME, make
    from rigtui.paths import cache_dir

    model = cache_dir() / "demo" / f"{NAME}.gguf"
    make(model)
    args.rig_file = args.rig_file or str(RIG_FILE)
    if args.headless or not sys.stdout.isatty():
        return _headless(args, model)
    args.model_folders, args.begins_with = (str(model.parent),), str(model)
    # By name, as in cli.main: only the screen may load textual.
    return int(import_module("rigtui.tui.app").main(args))


def _headless(args: argparse.Namespace, model: Path) -> int:
    from rigtui.cli.ending import take_sigterm_as_interrupt
    from rigtui.cli.plan_command import plan_lines
    from rigtui.cli.results_command import result_lines
    from rigtui.runs.results import load_results

    take_sigterm_as_interrupt()
    found = _target(args, model)
    print(f"the rig is simulated: {found.rig.name}; the engine runs here\n")
    print("\n".join(plan_lines(found.plan, explain=True)), flush=True)
    state = _serve(found)
    if state.measured is None or state.measured.decode_tok_s is None:
        raise RigtuiError(f"the demo's engine answered, but nothing could be measured; see: rigtui logs {state.run}")
    print("\nresult")
    print("\n".join(result_lines(load_results(model.stem)[-1])))
    print("\nmodels.conf\n")
    print(_models_conf(found, model), end="")
    return EXIT_DONE


def _target(args: argparse.Namespace, model: Path) -> Target:
    from rigtui.cli.target import Target
    from rigtui.intent.intent import Intent
    from rigtui.intent.use_cases import use_case
    from rigtui.models.gguf import read_gguf
    from rigtui.planning.choose import choose
    from rigtui.runs.builds import installed_builds
    from rigtui.runs.reading import current_rig

    builds = tuple(build for build in installed_builds() if build.embedded)
    if not builds:
        raise MissingError("the demo needs the embedded engine: pip install 'rigtui[engine]'")
    rig, read, intent = current_rig(args), read_gguf(model), Intent(use_case=use_case("chat"))
    return Target(rig=rig, model=read, served=read, intent=intent, builds=builds, plan=choose(rig, read, intent, builds, here=True))


def _serve(found: Target) -> RunState:
    """Launch, wait until it is measured, stop; the engine is gone when this returns or raises."""
    from rigtui.cli.ending import answered_after
    from rigtui.cli.run_text import Progress
    from rigtui.runs.launch import launch
    from rigtui.runs.state import LaunchRequest
    from rigtui.runs.watch import directory_of, follow, stop_and_wait

    build = found.build
    if build is None:
        raise MissingError("the demo needs the embedded engine: pip install 'rigtui[engine]'")
    name = found.model.name
    request = LaunchRequest(
        plan=found.plan, intent=found.intent, build=build, model=name, profile=name, fingerprint=found.model.fingerprint, simulated=True
    )
    state: RunState | None = None
    progress = Progress(found.plan)
    try:
        with answered_after():
            state = launch(request).state
        for change in follow(directory_of(state), log_offset=None):
            if change.state is None:
                continue
            state = change.state
            for line in progress.lines(state):
                note(line)
            if state.measured is not None and not state.measuring:
                break
    finally:
        if state is not None:
            with answered_after():
                ended = stop_and_wait(state)
    if ended.failure is not None:
        raise RigtuiError(f"the demo's engine failed: {ended.failure.text}; see: rigtui logs {ended.run}")
    note("stopped")
    return state


def _models_conf(found: Target, model: Path) -> str:
    from rigtui.export.exported import Exported
    from rigtui.export.models_conf import ConfOptions, write
    from rigtui.intent.profile import Profile

    profile = Profile(name=found.model.name, model=str(model), use_case=found.intent.use_case.name, description="The demo's tiny model")
    return write([Exported(profile, found.plan)], ConfOptions(models_dir=str(model.parent), gpus=found.rig.gpus))
